"""The gate: which candidate of a target may be served, and whether that version may become champion.

The serve decision is a ladder: a candidate earns its place when its recall is certainly higher than the next
simpler one's in some cohort, certainly lower in none, and the lower bound over all users reaches the gate's
margin: no version is made that its own gate would refuse for that. "Certainly" is a false discovery rate of
5 % among the cohorts (`ml.metrics.significance`). The verdict then holds the version that carries that
candidate to conditions, each of which passes or fails with a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ml.metrics.cohorts import USER_COHORTS
from ml.metrics.report import ALL, CHAMPION
from ml.metrics.significance import CERTAIN

if TYPE_CHECKING:
    from ml.metrics.report import LiftRow, Report

METRIC = "recall"
Served = Literal["bridge", "twin", "popularity"]
SIMPLER: Mapping[str, Served | None] = {"bridge": "twin", "twin": "popularity", "popularity": None}


@dataclass(frozen=True)
class Decision:
    """serve: the candidate to register. passed: whether it is the bridge. reasons: sentences."""

    serve: Served
    passed: bool
    reasons: list[str]


@dataclass(frozen=True)
class Rules:
    """What a version must hold up to: margins of the lower bounds of its lifts, floors; None is no limit."""

    margin_twin: float = 0.0
    margin_champion: float = 0.0
    least_coverage: float = 0.0
    most_milliseconds: float | None = None


@dataclass(frozen=True)
class Against:
    """What part today's champion had in a report: `words` say which version it is, or why it had none.

    changed: users get another champion now than the one in the report.
    """

    state: Literal["none", "compared", "not_comparable", "changed"]
    words: str


@dataclass(frozen=True)
class Trial:
    """A version tried where nothing of its training is. milliseconds: 95th percentile of one user's list."""

    passed: bool
    words: str
    milliseconds: float | None = None


@dataclass(frozen=True)
class Condition:
    """One thing that the gate asks of a version."""

    name: str
    passed: bool
    words: str


@dataclass(frozen=True)
class Verdict:
    """Whether a version may become champion: if every condition holds."""

    conditions: tuple[Condition, ...]

    @property
    def passed(self) -> bool:
        """Whether every condition holds."""
        return all(condition.passed for condition in self.conditions)

    @property
    def words(self) -> str:
        """The verdict as a paragraph: what failed first, or everything that held."""
        failed = [condition.words for condition in self.conditions if not condition.passed]
        if failed:
            return " ".join(["The gate refuses this version.", *failed])
        return " ".join(["The gate lets this version pass.", *(c.words for c in self.conditions)])

    def to_json(self) -> list[dict[str, Any]]:
        """The conditions as plain values."""
        return [asdict(condition) for condition in self.conditions]

    @classmethod
    def from_json(cls, found: Sequence[Mapping[str, Any]]) -> Verdict:
        """Undo `to_json`."""
        return cls(tuple(Condition(**condition) for condition in found))


def decide(report: Report, margin: float = 0.0) -> Decision:
    """Serve the bridge if it earns its place over the twin, else the twin if over popularity, else that;
    margin: what the lower bound of a lift over all users must reach."""
    bridge, reason = earns_place("bridge", "twin", compared(report, "bridge", "twin"), margin)
    if bridge:
        return Decision("bridge", True, [reason])
    twin, second = earns_place("twin", "popularity", compared(report, "twin", "popularity"), margin)
    return Decision("twin" if twin else "popularity", False, [reason, second])


def judge(report: Report, decision: Decision, rules: Rules, champion: Against, trial: Trial) -> Verdict:
    """Whether the version that carries `decision.serve` may become champion of its target."""
    return Verdict(
        (
            _over_simpler(report, decision.serve, rules.margin_twin),
            _over_champion(report, decision.serve, rules.margin_champion, champion),
            _no_cohort_worse(report, decision.serve, champion),
            _coverage(report, decision.serve, rules.least_coverage),
            _latency(trial, rules.most_milliseconds),
            Condition("clean_process", trial.passed, trial.words),
        )
    )


def certainly(lift: LiftRow) -> int:
    """1 where the lift is certainly above 0, -1 where below, else 0.

    Raises ValueError for a measured lift without q, which an older version of the report wrote.
    """
    if not lift.users:
        return 0
    if lift.q != lift.q:
        raise ValueError("the report says nothing of certainty by cohort: materialise evaluation again")
    return 0 if lift.q > CERTAIN else 1 if lift.mean > 0 else -1


def compared(report: Report, of: str, over: str) -> dict[str, LiftRow]:
    """Cohort ("all" among them) -> the lift in recall of one candidate over another; {} if nobody was
    measured. ValueError where the report compares other pairs only."""
    rows = [row for row in (*report.lifts, *report.comparisons) if row.metric == METRIC]
    found = {row.cohort: row for row in rows if (row.of, row.over) == (of, over)}
    if rows and not found:
        raise ValueError(f"the report does not compare {of} with {over}: materialise evaluation again")
    return found


def earns_place(
    name: str, simpler: str, lifts: Mapping[str, LiftRow], margin: float = 0.0
) -> tuple[bool, str]:
    """Whether `name` may replace `simpler`, and why, in one sentence."""
    better, worse = _cohorts(lifts, 1), _cohorts(lifts, -1)
    if worse:
        return False, f"The {name} is certainly worse than {_the(simpler)} for {_users(worse)}."
    if better:
        gain = ", ".join(f"{cohort} {lifts[cohort].mean:+.4f} {METRIC}" for cohort in better)
        won = f"The {name} is certainly better than {_the(simpler)} for {_users(better)} ({gain})"
        if ALL in lifts and lifts[ALL].low < margin:
            low = lifts[ALL].low
            return False, f"{won}, but for all users together the lower bound is {low:+.4f}."
        return True, f"{won}."
    measured = [cohort for cohort in USER_COHORTS if cohort in lifts and lifts[cohort].users]
    if not measured:
        return False, f"The {name} could not be compared with {_the(simpler)}: no user could be measured."
    return False, f"The {name} is not certainly better than {_the(simpler)} for {_users(measured)}."


def _over_simpler(report: Report, served: str, margin: float) -> Condition:
    simpler = SIMPLER[served]
    if simpler is None:
        words = "Popularity is served: there is nothing simpler that it would have to be better than."
        return Condition("over_twin", True, words)
    return _reaches("over_twin", report, served, simpler, margin)


_EITHER = "Neither is certainly better; margin_champion says how much less is accepted for newer data."


def _over_champion(report: Report, served: str, margin: float, champion: Against) -> Condition:
    if champion.state == "compared":
        held = _reaches("over_champion", report, served, CHAMPION, margin)
        lift = compared(report, served, CHAMPION).get(ALL)
        undecided = not held.passed and lift is not None and lift.low < 0 < lift.high
        said = [held.words, _EITHER if undecided else "", champion.words]
        return Condition(held.name, held.passed, " ".join(filter(None, said)))
    return Condition("over_champion", champion.state != "changed", champion.words)


def _reaches(name: str, report: Report, served: str, over: str, margin: float) -> Condition:
    """Whether the lower bound of the lift over all users reaches the margin."""
    lift = compared(report, served, over).get(ALL)
    if lift is None or not lift.users:
        words = f"{_capital(served)} could not be compared with {_the(over)}: no user could be measured."
        return Condition(name, False, words)
    gain = (
        f"{_capital(served)} has {lift.mean:+.4f} {METRIC}@{report.k} over {_the(over)} for all users "
        f"(95 % interval {lift.low:+.4f} to {lift.high:+.4f}, {lift.users:,} users)"
    )
    passed = lift.low >= margin
    asked = "0" if not margin else f"{'the allowed ' if margin < 0 else ''}{margin:+.4f}"
    return Condition(name, passed, f"{gain}: the lower bound is {'not ' if passed else ''}below {asked}.")


def _no_cohort_worse(report: Report, served: str, champion: Against) -> Condition:
    rivals = [SIMPLER[served], CHAMPION if champion.state == "compared" else None]
    worse = [
        f"{_capital(served)} is certainly worse than {_the(rival)} for {_users(lost)}."
        for rival, lost in _losses(report, served, rivals)
    ]
    others = " or ".join(f"with {_the(rival)}" for rival in rivals if rival)
    fine = (
        f"No cohort is certainly worse off than {others}." if others else "There is nothing to be worse than."
    )
    return Condition("no_cohort_worse", not worse, " ".join(worse) or fine)


def _losses(report: Report, served: str, rivals: Sequence[str | None]) -> Iterator[tuple[str, list[str]]]:
    for rival in rivals:
        if rival and (lost := _cohorts(compared(report, served, rival), -1)):
            yield rival, lost


def _coverage(report: Report, served: str, least: float) -> Condition:
    shown = [
        row.value
        for row in report.beyond
        if (row.candidate, row.cohort, row.metric) == (served, ALL, "coverage")
    ]
    if not shown:
        return Condition("coverage", not least, "How much of the catalogue lists show was not measured.")
    asked = f"at least {least:.1%} is asked" if least else "no floor is set"
    words = f"The lists of all test users show {shown[0]:.1%} of the catalogue; {asked}."
    return Condition("coverage", shown[0] >= least, words)


def _latency(trial: Trial, most: float | None) -> Condition:
    if trial.milliseconds is None:
        words = "How long one user's list takes was not measured, as the version does not predict."
        return Condition("latency", most is None, words)
    took = f"One user's list takes {trial.milliseconds:.1f} ms at the 95th percentile"
    if most is None:
        return Condition("latency", True, f"{took}; no limit is set.")
    return Condition("latency", trial.milliseconds <= most, f"{took}; at most {most:g} ms are allowed.")


def _cohorts(lifts: Mapping[str, LiftRow], side: int) -> list[str]:
    return [cohort for cohort in USER_COHORTS if cohort in lifts and certainly(lifts[cohort]) == side]


def _the(name: str) -> str:
    return name if name == "popularity" else f"the {name}"


def _capital(name: str) -> str:
    return _the(name)[0].upper() + _the(name)[1:]


def _users(cohorts: Sequence[str]) -> str:
    *others, last = cohorts
    return f"{', '.join(others)} and {last} users" if others else f"{last} users"
