"""The classical peers on a prepared home: what each setting is worth by cohort and what its fit costs.

Reads a home in which `landbridge run` has got as far as training_snapshot and changes nothing in it. Every
setting that training may choose is fitted on what the measured models see and asked for the test users;
`--stage choose` asks the validation users, which is where settings may be tried. Seconds are a ratio to the
weighted factorisation (ALS, the first setting) fitted in the same run on the same interactions.

    python benchmarks/peers.py --config examples/food_kitchen.yaml --home var/food_kitchen
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import prepared  # first: it sets what torch reads once

from ml.bridge.contract import Scorer, Task
from ml.bridge.histories import histories
from ml.bridge.protocol import Split
from ml.bridge.scorers.ease import EASE
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.union import UnionALS
from ml.bridge.select.baselines import peers
from ml.metrics.cohorts import USER_COHORTS, user_cohort
from ml.metrics.ranking import recall_at_k
from ml.retrieval.exact import top_k_scores

# Dense scores held at once.
CHUNK_SCORES = 8_000_000


def recall_by_cohort(scorer: Scorer, split: Split, k: int) -> dict[str, tuple[float, int]]:
    """Cohort -> mean recall at k of the split's users and their number; seen items are left out."""
    target = split.task.target
    past = histories(split.task.interactions, split.users)
    truth = split.truth.matrix(np.ones(len(split.truth)))[split.users]
    new = truth - truth.multiply(past.weights[target] > 0)
    new.eliminate_zeros()
    found = [
        recall_at_k(top_k_scores(scorer.score(part), k, exclude=part.weights[target])[0], new[rows] > 0)
        for rows, part in past.chunks(max(1, CHUNK_SCORES // max(truth.shape[1], 1)))
    ]
    values = np.concatenate(found) if found else np.zeros(0)
    cohorts = user_cohort(past.counts(target))
    means = {}
    for cohort in USER_COHORTS:
        mine = values[(cohorts == cohort) & ~np.isnan(values)]
        if len(mine):
            means[cohort] = float(mine.mean()), len(mine)
    return means


def asked(split: Split, most: int | None) -> Iterator[tuple[str, str, Scorer, Task]]:
    """(peer, setting, unfitted scorer, its task): popularity first, then every setting of every peer."""
    yield "popularity", "popularity", Popularity(), split.task.twin()
    for peer, scorers in peers(split.scenario, split.task).items():
        for name, (scorer, task) in scorers.items():
            yield peer, name, scorer, task
            if most is not None and isinstance(scorer, EASE):
                yield peer, f"{name}, {most:,} items", EASE(scorer.settings["ridge"], most), task


def fit_seconds(scorer: Scorer, task: Task) -> float:
    """Seconds of one fit."""
    began = time.perf_counter()
    scorer.fit(task)
    return time.perf_counter() - began


def table(split: Split, k: int, most: int | None) -> Iterator[str]:
    """The lines of one split's table."""
    unit = fit_seconds(UnionALS(32, 10.0, 100.0), split.task)
    yield f"| peer | setting | fit / ALS | recall@{k} by cohort (users) |"
    yield "|---|---|---|---|"
    for peer, name, scorer, task in asked(split, most):
        ratio = fit_seconds(scorer, task) / unit
        means = recall_by_cohort(scorer, split, k)
        figures = ", ".join(f"{cohort} {mean:.4f} ({users:,})" for cohort, (mean, users) in means.items())
        yield f"| {peer} | {name} | {ratio:.2f} | {figures} |"


def main() -> None:
    parser = prepared.parser(__doc__)
    parser.add_argument("--scenario", action="append", choices=("cold", "time"), help="both if left out")
    parser.add_argument("--stage", choices=("measure", "choose"), default="measure")
    parser.add_argument("--ease-items", type=int, help="measure EASE with this bound on items as well")
    args = parser.parse_args()
    home = prepared.opened(args)
    for protocol in home.protocols():
        for scenario in args.scenario or ("cold", "time"):
            split = getattr(protocol, scenario)(args.stage)
            digest = home.snapshot.digest[:16]
            print(f"\n{protocol.target}, {scenario}, {args.stage}: {digest} as of {home.key}\n")
            for line in table(split, home.k, args.ease_items):
                print(line, flush=True)


if __name__ == "__main__":
    main()
