"""How sure a reviewer can be, in words: a certain gain, a certain loss, no difference worth the name, or too
few users to tell.

The last two read alike in a table of intervals. What tells them apart is the least lift that so many users
would have shown, beside what there is to gain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestration.pages import Section, Table
from orchestration.review.peers import interval, short

if TYPE_CHECKING:
    from ml.metrics.report import CohortRow, LiftRow

# A lift is worth finding from a fifth of what the simpler candidate reaches, and never below LEAST.
SHARE, LEAST = 0.2, 0.001
MEANING = (
    "certain: q up to .05; q is p adjusted for the cohorts asked together (Benjamini and Hochberg)",
    "could have found: the least true lift that so many users show in four of five tests",
    "no difference: a lift worth having (a fifth of what there is) would have been found; else too few users",
)


def certainty_section(
    lifts: Iterable[LiftRow], rows: Iterable[CohortRow], metric: str = "recall"
) -> Section | None:
    """What each paired difference proves; lifts: those of a report and its comparisons, rows: its rows.

    None where nothing was measured.
    """
    before = _before(rows, metric)
    measured = [lift for lift in lifts if lift.metric == metric and lift.users]
    body = [
        [
            f"{lift.of} over {lift.over}",
            lift.cohort.replace("_", " "),
            proven(lift, before.get((lift.over, lift.cohort), 0.0)),
            f"{short(lift.mean, '+')} {interval(lift.low, lift.high, '+')}",
            _known(lift.q, f"{lift.q:.3f}"),
            _known(lift.detectable, short(lift.detectable)),
            f"{lift.users:,}",
        ]
        for lift in measured
    ]
    header = ["difference", "cohort", "what it proves", "lift", "q", "could have found", "users"]
    return Section("How sure this is", MEANING, Table(header, body)) if body else None


def certainty_lines(
    lifts: Iterable[LiftRow], rows: Sequence[CohortRow] = (), metric: str = "recall"
) -> list[str]:
    """One sentence for each difference that the figures do not settle; empty where they settle all."""
    before, lines = _before(rows, metric), []
    for lift in lifts:
        words = proven(lift, before.get((lift.over, lift.cohort), 0.0))
        if lift.metric == metric and lift.users and not words.startswith("certain"):
            who = "" if lift.cohort == "all" else lift.cohort.replace("_", " ") + " "
            lines.append(f"{lift.of.capitalize()} over {lift.over}, {lift.users:,} {who}users: {words}.")
    return lines


def proven(lift: LiftRow, before: float) -> str:
    """What one difference proves, in words; before: the mean of the candidate that is compared with."""
    from ml.metrics.significance import CERTAIN, FEWEST

    if not lift.users:
        return "no user could be measured"
    if lift.q != lift.q or lift.detectable != lift.detectable:
        return "too few users to tell" if lift.users < 2 else "not known (an older report: evaluate again)"
    rough = f", though only {lift.differing} users differ" if lift.differing < FEWEST else ""
    direction = "gain" if lift.mean > 0 else "loss"
    if lift.q <= CERTAIN:
        return f"certain {direction}{rough}"
    if not lift.differing:
        return "no difference: every user gets as much from both"
    if lift.low > 0 or lift.high < 0:
        return f"likely {direction}, not certain beside the other cohorts{rough}"
    if lift.detectable <= max(SHARE * before, LEAST):
        return f"no difference of more than {short(max(-lift.low, lift.high))}"
    return f"too few users to tell (could only have found {short(lift.detectable)})"


def certain_side(lift: LiftRow) -> int:
    """1 where a lift is certainly above 0, -1 where below, else 0; an older report's by its interval."""
    from ml.metrics.significance import CERTAIN

    certain = lift.q <= CERTAIN if lift.q == lift.q else lift.low > 0 or lift.high < 0
    return (1 if lift.mean > 0 else -1) if certain and lift.users else 0


def _before(rows: Iterable[CohortRow], metric: str) -> dict[tuple[str, str], float]:
    return {(row.candidate, row.cohort): row.mean for row in rows if row.metric == metric}


def _known(value: float, words: str) -> str:
    return words if value == value else "–"
