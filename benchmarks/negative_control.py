"""Does a lift vanish when its cause is taken out, and how often is the gate wrong?

    python benchmarks/negative_control.py worlds --count 200
    python benchmarks/negative_control.py home --config examples/food_kitchen.yaml --home var/food_kitchen

worlds: seeded tiny worlds (`ml.demo.tiny_world`), trained and judged as any target is. In a world without
transfer the links to the source are shuffled or the source has no taste; a gate that lets the bridge pass
there has promoted falsely. In a world with planted transfer one that does not has missed it.
home: a prepared home's snapshot as it is, with shuffled links, and with shuffled links and random text.
Nothing is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import sqrt

import prepared  # first: it sets what torch reads once

from ml.bridge.controls import per_domain, random_text, shuffled_links
from ml.bridge.train import TrainSettings, train
from ml.data import Snapshot
from ml.demo.tiny_world import DAY, SIZES
from ml.demo.tiny_world import snapshot as tiny_world
from ml.metrics.gate import Decision, decide
from ml.metrics.report import Report, evaluate

# Enough users for selection to have a say: about 60 of validation and 120 to measure on.
USERS, TARGET, SOURCE = 400, "books", "films"
TINY = TrainSettings(k=5, cold_user_fraction=0.4, horizon=12 * DAY, device="cpu")
WORLDS: dict[str, Callable[[int], Snapshot]] = {
    "planted transfer": lambda seed: tiny_world(seed, USERS),
    "shuffled links": lambda seed: shuffled_links(tiny_world(seed, USERS), SOURCE, seed),
    "source without taste": lambda seed: tiny_world(seed, USERS, tastes=(TARGET,)),
    "links unknown": lambda seed: per_domain(tiny_world(seed, USERS)),
}


def judged(
    snapshot: Snapshot, target: str, sources: list[str], settings: TrainSettings
) -> tuple[Report, Decision]:
    """The report of one training, and what the gate decides."""
    training = train(snapshot, target, sources, settings)
    size = len(snapshot.catalogues[target])
    report = evaluate(training.lists, size, settings.k, settings.seed)
    return report, decide(report)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z = 1.959964
    share, room = hits / of, 1 + z * z / of
    middle = (share + z * z / (2 * of)) / room
    half = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / room
    return max(0.0, middle - half), min(1.0, middle + half)


def count_worlds(count: int, first: int, kinds: list[str]) -> None:
    """How often the bridge passes, of `count` worlds of each kind."""
    print("| worlds | bridge passes | share [95 %] | twin served | popularity served |")
    print("|---|---|---|---|---|")
    for kind in kinds:
        served = []
        for seed in range(first, first + count):
            served.append(judged(WORLDS[kind](seed), TARGET, [SOURCE], TINY)[1].serve)
        passed = served.count("bridge")
        low, high = wilson(passed, count)
        print(
            f"| {kind} | {passed} of {count} | {passed / count:.3f} [{low:.3f}, {high:.3f}] "
            f"| {served.count('twin')} | {served.count('popularity')} |",
            flush=True,
        )


def shuffled(snapshot: Snapshot, sources: list[str], seed: int) -> Snapshot:
    """The links of every source shuffled."""
    for place, source in enumerate(sources):
        snapshot = shuffled_links(snapshot, source, seed + place)
    return snapshot


def shuffled_and_random(snapshot: Snapshot, sources: list[str], seed: int) -> Snapshot:
    """Shuffled links, and texts that say nothing."""
    return random_text(shuffled(snapshot, sources, seed), seed)


CONTROLS: dict[str, Callable[[Snapshot, list[str], int], Snapshot]] = {
    "as it is": lambda snapshot, sources, seed: snapshot,
    "shuffled links": shuffled,
    "shuffled links, random text": shuffled_and_random,
}


def judge_home(args: argparse.Namespace) -> None:
    """The lift over the twin by cohort, as it is and under each control."""
    opened = prepared.opened(args)
    config, whole, settings = opened.config, opened.snapshot, opened.settings
    print(f"{whole.digest[:16]} as of {opened.key}: recall@{settings.k} of the bridge over the twin\n")
    print("| target | control | cold | sparse | warm | served |\n|---|---|---|---|---|---|")
    for target in opened.targets:
        sources = config.sources(target)
        for name in args.control or CONTROLS:
            report, decision = judged(CONTROLS[name](whole, sources, args.seed), target, sources, settings)
            lifts = {row.cohort: row for row in report.lifts if row.metric == "recall"}
            cells = [
                f"{lifts[c].mean:+.4f} [{lifts[c].low:+.4f}, {lifts[c].high:+.4f}]" if c in lifts else "–"
                for c in ("cold", "sparse", "warm")
            ]
            print(f"| {target} | {name} | {' | '.join(cells)} | {decision.serve} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="what", required=True)
    worlds = kinds.add_parser("worlds", help=f"tiny worlds of {SIZES[TARGET]} items")
    worlds.add_argument("--count", type=int, default=200)
    worlds.add_argument("--first", type=int, default=0, help="the first seed")
    worlds.add_argument("--kind", action="append", choices=tuple(WORLDS), help="all if left out")
    home = kinds.add_parser("home", help="a home in which `landbridge run` has got as far as the embeddings")
    prepared.add_options(home)
    home.add_argument("--control", action="append", choices=tuple(CONTROLS), help="all if left out")
    home.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.what == "worlds":
        count_worlds(args.count, args.first, args.kind or list(WORLDS))
    else:
        judge_home(args)


if __name__ == "__main__":
    main()
