"""What crosses to cold users when training knows few links between domains, or none: who helps, by how much.

Reads a home in which `landbridge run` has got as far as the embeddings, and writes nothing. The cold users of
the evaluation are asked about as ever, but training takes everybody for somebody else in every domain, except
for a share of known links (`--links`). Only scorers that read texts can help at 0. "chosen" is what the
platform's own selection makes of all candidates on validation users, whose links it may see. With
`--sources-linked` the target alone is apart, and maps between the sources can be reused for it; `--users`
leaves training a share of the target's users: a domain that has just opened.

    python benchmarks/zero_overlap.py --config examples/food_kitchen.yaml --home var/food_kitchen
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import prepared  # first: it sets what torch reads once

from ml.bridge.contract import Scorer
from ml.bridge.controls import opened_lately, unlinked
from ml.bridge.protocol import Protocol, Split
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.reused_map import ReusedMap, reusable
from ml.bridge.scorers.similarity import TextSimilarity
from ml.bridge.scorers.transferred_text import TransferredText
from ml.bridge.select.blend import Blend
from ml.bridge.select.candidates import REUSED, TRANSFERRED, fitted, scenario_candidates
from ml.bridge.select.choose import choose
from ml.metrics.intervals import bootstrap_mean, paired_lift
from ml.metrics.ranking import recall_at_k
from ml.retrieval.exact import top_k_scores

CHUNK_SCORES = 8_000_000  # dense scores held at once


def semantic(split: Split) -> dict[str, Scorer]:
    """The scorers that need no link to the target."""
    measures = {
        f"text {measure}, {space}": TextSimilarity(measure, space)
        for measure in ("cosine", "euclidean")
        for space in ("raw", "common")
    }
    learned = {f"transferred_text:f{rank}-s{s:g}": TransferredText(s, rank) for rank, s in TRANSFERRED}
    reused: dict[str, Scorer] = (
        {f"reused_map:f{rank}-s{s:g}": ReusedMap(s, rank) for rank, s in REUSED}
        if reusable(split.task)
        else {}
    )
    return {**measures, **learned, **reused}


def recalls(members: dict[str, Scorer], blend: Blend, split: Split, k: int) -> np.ndarray:
    """(u,) recall at k of the split's users; their sources' histories are given."""
    past, truth = split.past, split.truth.matrix()[split.users] > 0
    found = [
        recall_at_k(top_k_scores(blend.score(members, part), k)[0], truth[rows])
        for rows, part in past.chunks(max(1, CHUNK_SCORES // truth.shape[1]))
    ]
    return np.concatenate(found)


def alone(scorer: Scorer, split: Split, k: int) -> np.ndarray:
    """The recalls of one scorer."""
    return recalls({"it": scorer.fit(split.task)}, Blend({"it": 1.0}), split, k)


def chosen(choosing: Split, split: Split, k: int) -> tuple[str, np.ndarray]:
    """What selection made of all candidates on `choosing`, and its recalls on `split`."""
    found = choose(choosing, k, lambda line: None)
    blend = found["cold"].bridge if "cold" in found else Blend({"popularity": 1.0})
    offered = scenario_candidates("cold", split.task)
    members = {name: fitted(name, offered[name], split.task) for name in blend.weights}
    weights = ", ".join(f"{name} {weight:.1f}" for name, weight in blend.weights.items())
    return weights, recalls(members, blend, split, k)


@dataclass(frozen=True)
class Known:
    """What training knows: a share of the links to the target, the links among the sources or none of them,
    and a share of the target's users."""

    links: float
    sources_linked: bool
    users: float

    def of(self, split: Split) -> Split:
        """The split as such a training sees it."""
        return opened_lately(unlinked(split, self.links, self.sources_linked), self.users)


def table(protocol: Protocol, known: Known, k: int, stage: str, choose_too: bool) -> Iterator[str]:
    """One line a scorer."""
    choosing = known.of(protocol.cold("choose"))
    split = choosing if stage == "choose" else known.of(protocol.cold("measure"))
    floor = alone(Popularity(), split, k)
    rows = {name: alone(scorer, split, k) for name, scorer in semantic(split).items()}
    if stage == "measure" and choose_too:
        weights, values = chosen(choosing, split, k)
        rows[f"chosen: {weights}"] = values
    for name, values in {"popularity": floor, **rows}.items():
        mean, lift = bootstrap_mean(values), paired_lift(values, floor)
        yield (
            f"| {split.task.target} | {known.links:g} | {known.users:g} | {name} | {mean.mean:.4f} | "
            f"{lift.mean:+.4f} [{lift.low:+.4f}, {lift.high:+.4f}] | {lift.n:,} |"
        )


def main() -> None:
    parser = prepared.parser(__doc__)
    parser.add_argument("--links", type=float, nargs="+", default=[0.0], help="shares of known links")
    parser.add_argument("--stage", choices=("choose", "measure"), default="measure")
    parser.add_argument("--sources-linked", action="store_true", help="links among the sources are known")
    parser.add_argument("--users", type=float, nargs="+", default=[1.0], help="shares of the target's users")
    parser.add_argument("--no-choice", action="store_true", help="leave the platform's own selection out")
    args = parser.parse_args()
    home = prepared.opened(args)
    print(f"{home.snapshot.digest[:16]} as of {home.key}, cold users, stage {args.stage}\n")
    print(f"| target | links known | users known | scorer | recall@{home.k} | over popularity | users |")
    print("|---|---|---|---|---|---|---|")
    for protocol in home.protocols():
        for links, users in product(args.links, args.users):
            known = Known(links, args.sources_linked, users)
            for line in table(protocol, known, home.k, args.stage, not args.no_choice):
                print(line, flush=True)


if __name__ == "__main__":
    main()
