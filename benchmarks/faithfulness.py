"""Are reasons true on real data? Takes the past item a reason names out of the history, and a random one.

Reads the bridges that `landbridge run` left in a home and changes nothing. Every sampled user is asked about
three times: as if the target knew nothing of them, their first two events, and all (`serve/crossing.py`).
One item of the user's list of k is drawn; without the past item named for it, and without another past item
drawn at random, the user is scored again with the same blend.

    python benchmarks/faithfulness.py --config examples/food_kitchen.yaml --home var/food_kitchen
"""

from __future__ import annotations

import os

# Before torch loads its threads: spinning ones collapse throughput when another process wants the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
from collections.abc import Iterator

import numpy as np

from ml.bridge.histories import histories
from ml.bridge.serve.crossing import sampled
from ml.bridge.serve.faithfulness import Pick, Removals, questions, removals
from ml.bridge.serve.recommender import Recommender, load
from ml.metrics.cohorts import USER_COHORTS
from ml.metrics.intervals import bootstrap_mean

PICKS: tuple[Pick, ...] = ("named", "random")
HEADER = (
    "| target | cohort | past item removed | users | rank falls | rank rises | score falls | foretold | came "
    "| correlation | distance |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def line(found: Removals) -> str:
    """The cells of one row: a share with its 95 % interval, then plain figures."""
    sank = bootstrap_mean((found.after > found.before).astype(float))
    return (
        f"{sank.n:,} | {sank.mean:.2f} [{sank.low:.2f}, {sank.high:.2f}] | {found.rose:.2f} | "
        f"{found.fell:.2f} | {found.foretold.mean():+.2f} | {found.change.mean():+.2f} | "
        f"{found.agreement:.2f} | {found.error:.2f}"
    )


def rows(model: Recommender, most: int, k: int, seed: int) -> Iterator[str]:
    """The table of one target."""
    for cohort in USER_COHORTS:
        shown, users = sampled(model, cohort, most, seed)
        for pick in PICKS if len(users) else ():
            asked = questions(shown, users.tolist(), k, pick, seed)
            if asked:
                yield f"| {model.target} | {cohort} | {pick} | {line(removals(shown, asked))} |"


def worst_sum(model: Recommender, most: int, k: int, seed: int) -> float:
    """The largest distance between a score and the sum of its parts, over the sampled users' lists."""
    worst = 0.0
    for cohort in USER_COHORTS:
        shown, users = sampled(model, cohort, most, seed)
        listed, scores = shown.rank(histories(shown.logs, users), k)
        for user, items, values in zip(users, listed, scores, strict=True):
            held = items >= 0
            names = shown.item_ids[shown.target][items[held]]
            parts = shown.explain(str(shown.user_ids[user]), names.tolist())
            worst = max(worst, float(np.abs(parts.total() - values[held]).max(initial=0.0)))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--home", required=True)
    parser.add_argument("--as-of", help="an as-of key; the newest trained if left out")
    parser.add_argument("--users", type=int, default=300, help="of each cohort")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    # Before the imports below: they read both once.
    os.environ["LANDBRIDGE_CONFIG"], os.environ["LANDBRIDGE_HOME"] = args.config, args.home
    from orchestration.config import Home, load_config

    config, models = load_config(args.config), Home().models
    key = args.as_of or max(path.name for path in models.iterdir())
    print(f"as of {key}, one item of the first {config.evaluation.k}\n\n{HEADER}")
    worst = {}
    for target in config.domain_names:
        model = load(models / key / target / "bridge")
        for row in rows(model, args.users, config.evaluation.k, args.seed):
            print(row, flush=True)
        worst[target] = worst_sum(model, min(args.users, 20), config.evaluation.k, args.seed)
    print("\nlargest distance of a score from the sum of its parts:")
    print(", ".join(f"{target} {value:.1e}" for target, value in worst.items()))


if __name__ == "__main__":
    main()
