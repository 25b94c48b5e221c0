"""What a search finds beside the built-in settings, on the validation users who choose among both.

Reads a home in which `landbridge run` has got as far as the embeddings, and writes nothing. Prints for each
scenario the best built-in candidate of the families that a search may set, and the best trials; then what
both are worth to test users, whom neither has asked.

    python benchmarks/search.py --config examples/food_kitchen.yaml --home var/food_kitchen --target food
        --as-of 2014-01-01 --trials 20 --scenario cold
"""

from __future__ import annotations

import os

# Before torch loads its threads: spinning ones collapse throughput when another process wants the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
from datetime import date

from ml.bridge import Blocks, TrainSettings
from ml.bridge.protocol import Split
from ml.bridge.select.candidates import scenario_candidates
from ml.bridge.select.search import Worth, worth
from ml.bridge.select.search_space import made, space


def built_in(split: Split, k: int) -> dict[str, Worth]:
    """Every built-in candidate of the families that a search may set."""
    families = space(split.scenario, split.task)
    found = {}
    for name, scorer in scenario_candidates(split.scenario, split.task).items():
        plain = "@" not in name and "reviews" not in name
        if plain and name.split(":")[0] in families:
            found[name] = worth(split, scorer, k)
            print(line(name, found[name]), flush=True)
    return found


def line(name: str, found: Worth) -> str:
    by_cohort = "  ".join(f"{c} {v:.4f} (ndcg {found.ndcg[c]:.4f})" for c, v in found.values.items())
    return f"{name:<46} {by_cohort}  {found.seconds:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--home", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--as-of", required=True)
    parser.add_argument("--scenario", default="cold", choices=("cold", "time"))
    parser.add_argument("--trials", type=int, default=20)
    arguments = parser.parse_args()
    os.environ["LANDBRIDGE_HOME"] = arguments.home
    os.environ["LANDBRIDGE_CONFIG"] = arguments.config
    from ml.bridge.train import protocol_of
    from orchestration.config import Home
    from orchestration.defs.transfer import horizon
    from orchestration.features import embedded_snapshot
    from orchestration.partitions import CONFIG
    from orchestration.search import Trial, best, study
    from orchestration.search_config import Search

    evaluation = CONFIG.evaluation
    span = horizon(CONFIG.calendar, evaluation.horizon, date.fromisoformat(arguments.as_of))
    settings = TrainSettings(
        evaluation.k,
        evaluation.cold_user_fraction,
        span,
        evaluation.seed,
        blocks=Blocks(**CONFIG.blocks.switches),
    )
    snapshot = embedded_snapshot(arguments.as_of, CONFIG, Home())
    protocol, _ = protocol_of(snapshot, arguments.target, CONFIG.sources(arguments.target), settings)
    split = getattr(protocol, arguments.scenario)("choose")
    grid = built_in(split, settings.k)
    print(f"-- {arguments.trials} trials")

    def shown(trial: Trial) -> None:
        print(line(trial.name, trial.worth) if trial.worth else trial.fault, flush=True)

    families = space(arguments.scenario, split.task)
    trials = study(split, families, Search(trials=arguments.trials), settings.k, shown)
    print("-- test users: the best built-in, then the best found of two families")
    test = getattr(protocol, arguments.scenario)("measure")
    first = max(grid, key=lambda name: grid[name].mean)
    print(line(first, worth(test, scenario_candidates(arguments.scenario, test.task)[first], settings.k)))
    for trial in best(trials, 2):
        print(line(trial.name, worth(test, made(trial.family, trial.settings, test.task)[1], settings.k)))


if __name__ == "__main__":
    main()
