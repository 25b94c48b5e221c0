"""Search with a budget: Optuna proposes settings, validation users judge them, the best become candidates.

What is found competes in training like everything else; test users are asked by nobody here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchestration.pages import Table
from orchestration.review.peers import short
from orchestration.search_config import Search

if TYPE_CHECKING:
    from ml.bridge.protocol import Protocol, Split
    from ml.bridge.select.search import Worth
    from ml.bridge.select.search_space import Space

SHOWN = 10  # of a scenario's trials


@dataclass(frozen=True)
class Trial:
    """Settings that were tried; worth None where they could not be, `fault` says why."""

    number: int
    name: str
    family: str
    settings: Mapping[str, float] = field(default_factory=dict)
    worth: Worth | None = None
    fault: str = ""

    @property
    def value(self) -> float:
        """What the search maximises; below everything where nothing is known."""
        return float("-inf") if self.worth is None else self.worth.mean


Log = Callable[[Trial], None]
Logged = Callable[[str], AbstractContextManager[Log]]  # scenario -> where its trials are logged


def search(
    protocol: Protocol, rules: Search, k: int, logged: Logged, say: Callable[[str], None]
) -> dict[str, list[Trial]]:
    """Scenario -> trials, for the scenarios in which there is something to set and somebody to ask."""
    from ml.bridge.measure import SCENARIOS
    from ml.bridge.select.choose import asked_users
    from ml.bridge.select.search_space import space

    found = {}
    for scenario in SCENARIOS:
        split = getattr(protocol, scenario)("choose")
        families = space(scenario, split.task)
        if not families or not asked_users(split):
            say(f"{protocol.target}: nothing to search ({scenario})")
            continue
        with logged(scenario) as log:
            found[scenario] = study(split, families, rules, k, log)
        say(f"{protocol.target}: {in_short(found[scenario], rules.keep)} ({scenario})")
    return found


def study(split: Split, families: Space, rules: Search, k: int, log: Log = lambda trial: None) -> list[Trial]:
    """One Optuna study (TPE, Bergstra et al. 2011) in memory: the same trials for the same data and seed,
    unless `rules.seconds` ends it early. At least one trial is made."""
    optuna = _optuna()
    sampler = optuna.samplers.TPESampler(seed=split.task.seed)
    asking = optuna.create_study(direction="maximize", sampler=sampler)
    begun, trials, known = time.monotonic(), list[Trial](), dict[str, Trial]()
    while len(trials) < rules.trials:
        if trials and rules.seconds is not None and time.monotonic() - begun > rules.seconds:
            break
        asked = asking.ask()
        trial = tried(split, asked.number, *_settings(asked, families), k, known)
        if trial.worth is None:
            asking.tell(asked, state=optuna.trial.TrialState.PRUNED)
        else:
            asking.tell(asked, trial.value)
        log(trial)
        trials.append(trial)
    return trials


def tried(
    split: Split, number: int, family: str, settings: Mapping[str, float], k: int, known: dict[str, Trial]
) -> Trial:
    """One trial. Settings that were tried before are not fitted again; those that fail are told of."""
    from ml.bridge.select.search import worth
    from ml.bridge.select.search_space import made

    name = family
    try:
        name, scorer = made(family, settings, split.task)
        if name not in known:
            known[name] = Trial(number, name, family, settings, worth(split, scorer, k))
        return Trial(number, name, family, settings, known[name].worth)
    # What numbers can do to a solver: settings without meaning, a matrix that is not positive definite.
    except (ValueError, ArithmeticError, RuntimeError) as error:
        return Trial(number, name, family, settings, fault=f"{type(error).__name__}: {error}")


def best(trials: Iterable[Trial], keep: int) -> list[Trial]:
    """The `keep` best trials, one of a family: its second best is nearly the same and adds nothing to a
    blend."""
    leaders: dict[str, Trial] = {}
    for trial in _ranked(trials):
        leaders.setdefault(trial.family, trial)
    return list(leaders.values())[:keep]


def candidates(
    found: Mapping[str, Sequence[Trial]], keep: int
) -> dict[str, list[tuple[str, dict[str, float]]]]:
    """`TrainSettings.found`."""
    return {
        scenario: [(trial.name, dict(trial.settings)) for trial in best(trials, keep)]
        for scenario, trials in found.items()
    }


def in_short(trials: Sequence[Trial], keep: int) -> str:
    """One line: how many were tried, how many failed, and what is kept."""
    failed = sum(trial.worth is None for trial in trials)
    seconds = sum(trial.worth.seconds for trial in trials if trial.worth is not None)
    kept = ", ".join(trial.name for trial in best(trials, keep)) or "nothing"
    return f"{len(trials)} trials, {failed} failed, {seconds:.0f} s; tried in training: {kept}"


def trials_table(trials: Sequence[Trial]) -> Table:
    """The best trials, what they are worth by cohort and how long they took."""
    once: dict[str, Trial] = {}
    for trial in _ranked(trials):
        once.setdefault(trial.name, trial)
    shown = [(trial, trial.worth) for trial in list(once.values())[:SHOWN] if trial.worth is not None]
    cohorts = sorted({cohort for _, worth in shown for cohort in worth.values})
    rows = [
        [
            trial.name,
            str(trial.number),
            *(short(figures[cohort]) for figures in (worth.values, worth.ndcg) for cohort in cohorts),
            f"{worth.seconds:.1f}",
        ]
        for trial, worth in shown
    ]
    of_cohorts = [f"{what}, {cohort}" for what in ("value", "ndcg") for cohort in cohorts]
    return Table(["settings", "trial", *of_cohorts, "seconds"], rows)


def _ranked(trials: Iterable[Trial]) -> list[Trial]:
    """Those that are worth anything, the best first; ties go to the earlier one."""
    return sorted((t for t in trials if t.worth is not None), key=lambda t: (-t.value, t.number))


def _settings(asked: Any, families: Space) -> tuple[str, dict[str, float]]:
    """What Optuna proposes: a family, and settings of its own."""
    from ml.bridge.select.search_space import OneOf

    family = asked.suggest_categorical("family", sorted(families))
    settings = {}
    for key, what in families[family].items():
        name = f"{family}.{key}"
        if isinstance(what, OneOf):
            settings[key] = asked.suggest_categorical(name, what.values)
        else:
            settings[key] = what.rounded(asked.suggest_float(name, what.low, what.high, log=True))
    return family, settings


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "search.trials is above 0 and Optuna is not installed: pip install optuna==5.0.0, or set "
            "search: {trials: 0} in landbridge.yaml"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
