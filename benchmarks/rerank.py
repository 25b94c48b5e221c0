"""What diversity and exposure cost: the trade-off curve of the re-ranker on a prepared home.

Reads a home in which `landbridge run` has got as far as the embeddings and writes nothing. One bridge is
fitted for cold users and one for users with history, and their lists are re-ranked with every strength.
Changes are paired by user, with their 95 % interval. Strengths are for people to choose: ask the validation
users (`--stage choose`) while trying, the test users once.

    python benchmarks/rerank.py --config examples/food_kitchen.yaml --home var/food_kitchen
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import prepared  # first: it sets what torch reads once

from ml.bridge.lists import Asked
from ml.bridge.protocol import Protocol, Split
from ml.bridge.select.blend import Blend
from ml.bridge.select.candidates import fitted, kind_of, scenario_candidates
from ml.bridge.serve.recommender import Member, Recommender
from ml.bridge.serve.reranked import plain_and_reranked, reranker_of
from ml.data import Snapshot
from ml.metrics.cohorts import USER_COHORTS
from ml.metrics.item_facts import ItemFacts
from ml.metrics.price import price
from ml.metrics.report import PriceRow
from ml.retrieval.rerank import RerankRules

CANDIDATES = {"cold": "factor_bridge:f32-a10-t0.3", "time": "next_items:tau3-r20"}
DIVERSITY = (0.05, 0.1, 0.2, 0.3, 0.5)
PENALTY = (0.05, 0.1, 0.2, 0.4, 0.8)
COLUMNS = ("recall", "ndcg", "coverage", "diversity", "novelty", "popularity")


def recommender(split: Split, name: str) -> Recommender:
    """One candidate of training for every cohort, popularity where nothing is known."""
    task = split.task
    makers = scenario_candidates(split.scenario, task)
    if name not in makers:
        raise SystemExit(f"no candidate {name!r} for {split.scenario}; there are: {', '.join(makers)}")
    members = {n: Member(kind_of(n), fitted(n, makers[n], task)) for n in {name, "popularity"}}
    blends = dict.fromkeys(USER_COHORTS, Blend({name: 1.0}))
    ids = {task.target: task.catalogues[task.target].item_ids}
    return Recommender(task.target, np.array([]), ids, {}, task.interactions, members, blends, {})


def figure(row: PriceRow, width: int = 4) -> str:
    """The change and its interval."""
    interval = "" if np.isnan(row.low) else f" [{row.low:+.{width}f}, {row.high:+.{width}f}]"
    return f"{row.mean:+.{width}f}{interval}"


def curve(
    split: Split, name: str, facts: ItemFacts, k: int, depth: int, strengths: list[tuple[float, float]]
) -> Iterator[str]:
    """The lines of one split's table: the plain lists by cohort, then a line for each strength."""
    asked, model = Asked.of(split), recommender(split, name)
    for diversity, penalty in strengths:
        reranker = reranker_of(RerankRules(diversity, penalty, depth), split.task)
        began = time.perf_counter()
        plain, shown = plain_and_reranked(name, model, asked, k, reranker)
        seconds = time.perf_counter() - began
        rows = price(plain, plain if shown is None else shown, facts, k)
        cohorts = sorted({row.cohort for row in rows} - {"all"}, key=USER_COHORTS.index)
        for cohort in cohorts:
            found = {row.metric: row for row in rows if row.cohort == cohort}
            cells = (f"{found[m].plain:.4f}" if shown is None else figure(found[m]) for m in COLUMNS)
            users = f"{cohort} ({found['recall'].users:,})"
            yield f"| {diversity:g} | {penalty:g} | {users} | {' | '.join(cells)} | {seconds:.1f} |"


def strengths() -> list[tuple[float, float]]:
    """Plain, then each strength alone, then a mild and a strong mixture."""
    alone = [(d, 0.0) for d in DIVERSITY] + [(0.0, p) for p in PENALTY]
    return [(0.0, 0.0), *alone, (0.1, 0.1), (0.3, 0.2)]


def tables(snapshot: Snapshot, protocol: Protocol, args: argparse.Namespace, k: int) -> Iterator[str]:
    """The lines of a target's tables."""
    target = protocol.target
    facts = ItemFacts.of(snapshot.catalogues[target], snapshot.interactions[target])
    for scenario in args.scenario or ("cold", "time"):
        split = getattr(protocol, scenario)(args.stage)
        name = args.candidate or CANDIDATES[scenario]
        yield f"\n{target}, {scenario}, {args.stage}: {name} at {k}, from its best {args.depth}\n"
        header = ("diversity", "popularity penalty", "cohort (users)", *COLUMNS, "seconds")
        yield f"| {' | '.join(header)} |"
        yield "|---" * len(header) + "|"
        yield from curve(split, name, facts, k, args.depth, strengths())


def main() -> None:
    parser = prepared.parser(__doc__)
    parser.add_argument("--scenario", action="append", choices=("cold", "time"), help="both if left out")
    parser.add_argument("--stage", choices=("measure", "choose"), default="measure")
    parser.add_argument(
        "--candidate", help="the scorer whose lists are re-ranked; one a scenario if left out"
    )
    parser.add_argument("--depth", type=int, default=50, help="candidates of a list")
    args = parser.parse_args()
    home = prepared.opened(args)
    for protocol in home.protocols():
        for line in tables(home.snapshot, protocol, args, home.k):
            print(line, flush=True)


if __name__ == "__main__":
    main()
