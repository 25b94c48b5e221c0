"""What a search finds beside the built-in settings, on the validation users who choose among both.

Reads a home in which `landbridge run` has got as far as the embeddings, and writes nothing. Prints for each
scenario the best built-in candidate of the families that a search may set, and the best trials; then what
both are worth to test users, whom neither has asked.

    python benchmarks/search.py --config examples/food_kitchen.yaml --home var/food_kitchen --target food
        --trials 20 --scenario cold
"""

from __future__ import annotations

import prepared  # first: it sets what torch reads once

from ml.bridge.protocol import Protocol, Split
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


def compare(protocol: Protocol, scenario: str, trials: int, k: int) -> None:
    """The tables of one target."""
    from orchestration.search import Trial, best, study
    from orchestration.search_config import Search

    split = getattr(protocol, scenario)("choose")
    print(f"\n{protocol.target}")
    grid = built_in(split, k)
    print(f"-- {trials} trials")

    def shown(trial: Trial) -> None:
        print(line(trial.name, trial.worth) if trial.worth else trial.fault, flush=True)

    families = space(scenario, split.task)
    tried = study(split, families, Search(trials=trials), k, shown)
    print("-- test users: the best built-in, then the best found of two families")
    test = getattr(protocol, scenario)("measure")
    first = max(grid, key=lambda name: grid[name].mean)
    print(line(first, worth(test, scenario_candidates(scenario, test.task)[first], k)))
    for trial in best(tried, 2):
        print(line(trial.name, worth(test, made(trial.family, trial.settings, test.task)[1], k)))


def main() -> None:
    parser = prepared.parser(__doc__)
    parser.add_argument("--scenario", default="cold", choices=("cold", "time"))
    parser.add_argument("--trials", type=int, default=20)
    args = parser.parse_args()
    home = prepared.opened(args)
    for protocol in home.protocols():
        compare(protocol, args.scenario, args.trials, home.k)


if __name__ == "__main__":
    main()
