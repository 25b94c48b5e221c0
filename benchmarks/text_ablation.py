"""What whitening, the text profile and fine-tuning are each worth: recall of cold users, without and with.

Reads a home in which `landbridge run` has got as far as training_snapshot; computes what is missing (vectors,
an adapter) in the same places and changes nothing else. Differences are paired by user, over all targets. The
users are the test users, which neither the bridge's settings nor the adapter have seen; `--stage choose` asks
the validation users, which is where settings may be tried. The penalty of either side is chosen on them.

    python benchmarks/text_ablation.py --config examples/food_kitchen.yaml --home var/food_kitchen
"""

from __future__ import annotations

import os

# Before torch loads its threads: spinning ones collapse throughput when another process wants the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ml.bridge.blocks.profiles import LinearBlock, SVDFactors, TextProfile
from ml.bridge.contract import Task
from ml.bridge.scorers.ridge import RidgeBridge
from ml.data import Snapshot
from ml.text.adapt.lift import Recalls, cold_recall, pooled
from ml.text.adapt.pairs import PairRules, Visibility, find_pairs
from ml.text.adapt.train import AdaptSettings, adapt

Make = Callable[[list[str], float], RidgeBridge]
# What a feature is worth depends on the penalty: each side of a comparison has its own, chosen on validation
# users.
RIDGES = (10.0, 30.0, 100.0, 300.0)


class RawProfile(LinearBlock):
    """The text profile without whitening: the mean of the history items' embeddings as they are."""

    kind = "raw_profile"

    def fit(self, task: Task) -> Self:
        """The catalogue's embeddings."""
        self._map = task.catalogues[self.domain].vectors
        return self


def bridge(*blocks: Callable[[str], Any]) -> Make:
    """A bridge with the given blocks for every source."""
    return lambda sources, ridge: RidgeBridge([(make(d), 1.0) for make in blocks for d in sources], ridge)


@dataclass(frozen=True)
class Row:
    """One comparison: what changes, and the two bridges with the snapshots they read."""

    name: str
    without: tuple[Snapshot, Make]
    having: tuple[Snapshot, Make]


def rows(base: Snapshot, adapted: Snapshot | None) -> Iterator[Row]:
    """Whitening, text profile, fine-tuning: each alone, and in the bridge with factors."""
    raw, text = bridge(RawProfile), bridge(TextProfile)
    factors, both, raw_both = (
        bridge(SVDFactors),
        bridge(SVDFactors, TextProfile),
        bridge(SVDFactors, RawProfile),
    )
    yield Row("whitening, text alone", (base, raw), (base, text))
    yield Row("whitening, text and factors", (base, raw_both), (base, both))
    yield Row("text profile beside factors", (base, factors), (base, both))
    if adapted is not None:
        yield Row("fine-tuning, text alone", (base, text), (adapted, text))
        yield Row("fine-tuning, text and factors", (base, both), (adapted, both))


class Measurement:
    """Recall of a bridge on every target, each side with the penalty that served validation users best."""

    def __init__(self, sources: dict[str, list[str]], hidden: Visibility, k: int, stage: Any) -> None:
        self.sources, self.hidden, self.k, self.stage = sources, hidden, k, stage
        self._found: dict[tuple[int, Make], tuple[float, list[Recalls]]] = {}

    def side(self, snapshot: Snapshot, make: Make) -> tuple[float, list[Recalls]]:
        """The chosen penalty, and the recalls target by target."""
        key = id(snapshot), make
        if key not in self._found:
            tried = {ridge: self._recalls(snapshot, make, ridge, "choose") for ridge in RIDGES}
            best = max(RIDGES, key=lambda ridge: np.mean([np.nanmean(r.recall) for r in tried[ridge]]))
            measured = (
                tried[best] if self.stage == "choose" else self._recalls(snapshot, make, best, "measure")
            )
            self._found[key] = best, measured
        return self._found[key]

    def _recalls(self, snapshot: Snapshot, make: Make, ridge: float, stage: Any) -> list[Recalls]:
        return [
            cold_recall(snapshot, target, read, make(read, ridge), self.hidden, self.k, stage)
            for target, read in sorted(self.sources.items())
        ]

    def row(self, row: Row) -> str:
        """One line of the table."""
        (before, without), (after, having) = self.side(*row.without), self.side(*row.having)
        lift = pooled(list(zip(without, having, strict=True)), len(row.without[0].users), {})
        found = lift.difference
        return (
            f"| {row.name} | {lift.base.mean:.4f} ({before:g}) | {lift.adapted.mean:.4f} ({after:g}) "
            f"| {found.mean:+.4f} | [{found.low:+.4f}, {found.high:+.4f}] | {found.n:,} |"
        )


def fine_tuned(
    snapshot: Snapshot, texts: dict[str, str], encoder: Any, hidden: Visibility, args: Any
) -> Path:
    """The folder of the adapter: the one given, or a new one."""
    if args.adapter is not None:
        return Path(args.adapter)
    pairs = find_pairs(snapshot, hidden, PairRules(args.pairs, args.reach, args.across))
    settings = AdaptSettings(args.objective, args.rank, args.epochs, args.batch, args.learning_rate)
    folder = Path(args.home) / "encoders" / ".ablation"
    print(f"fine-tuning on {len(pairs):,} pairs, {pairs.crosses.mean():.0%} across domains", flush=True)
    training = adapt(
        encoder.source, encoder.pooling, texts, pairs, settings, folder, lambda line: print(line, flush=True)
    )
    print(json.dumps(training, indent=2), flush=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--home", required=True)
    parser.add_argument("--as-of", help="an as-of key; the newest snapshot if left out")
    parser.add_argument("--stage", choices=("measure", "choose"), default="measure")
    parser.add_argument("--without-fine-tuning", action="store_true")
    parser.add_argument("--adapter", help="a folder with an adapter, instead of training one")
    parser.add_argument("--objective", default="contrastive")
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--reach", type=int, default=5)
    parser.add_argument("--across", type=float, help="share of pairs across domains; else as they come")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    args = parser.parse_args()
    # Before the imports below: they read both once.
    os.environ["LANDBRIDGE_CONFIG"], os.environ["LANDBRIDGE_HOME"] = args.config, args.home
    from datetime import date

    from orchestration.adapters import visibility
    from orchestration.config import Home, load_config
    from orchestration.defs.adapt import embed, readable
    from orchestration.defs.snapshot import snapshot_of
    from orchestration.features import text_encoder, with_vectors_of

    began = time.monotonic()
    config, home = load_config(args.config), Home()
    as_of = args.as_of or max(path.stem for path in (home.snapshots / "as_of").glob("*.json"))
    hidden, encoder = visibility(config, date.fromisoformat(as_of)), text_encoder(config)
    snapshot, texts = readable(snapshot_of(as_of), home)
    embed(encoder, texts, home, print)
    base = with_vectors_of(snapshot, encoder, home)
    adapted = None
    if not args.without_fine_tuning:
        folder = fine_tuned(base, texts, encoder, hidden, args)
        tuned = text_encoder(config, folder)
        embed(tuned, texts, home, print)
        adapted = with_vectors_of(snapshot, tuned, home)
    sources = {target: config.sources(target) for target in config.domain_names}
    users = "test" if args.stage == "measure" else "validation"
    print(f"\n{snapshot.digest[:16]} as of {as_of}, cold {users} users, recall@{config.evaluation.k}\n")
    print("| what | without (penalty) | with (penalty) | difference | 95 % interval | users |")
    print("|---|---|---|---|---|---|")
    measurement = Measurement(sources, hidden, config.evaluation.k, args.stage)
    for row in rows(base, adapted):
        print(measurement.row(row), flush=True)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
