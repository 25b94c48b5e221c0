"""The gate: which candidate of a target may be served, decided by paired lifts and nothing else.

A candidate earns its place when its recall is certainly higher than the next simpler one's (the whole 95 %
interval above 0) in some cohort, and certainly lower in none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml import columns as c
from ml.metrics.cohorts import USER_COHORTS
from ml.metrics.intervals import Interval, paired_lift

if TYPE_CHECKING:
    from ml.metrics.report import Report

METRIC = "recall"
Served = Literal["bridge", "twin", "popularity"]


@dataclass(frozen=True)
class Decision:
    """serve: the candidate to register. passed: whether it is the bridge. reasons: sentences."""

    serve: Served
    passed: bool
    reasons: list[str]


def decide(report: Report) -> Decision:
    """Serve the bridge if it earns its place over the twin, else the twin if over popularity, else that."""
    bridge, reason = earns_place("bridge", "twin", lifts(report.per_user, "bridge", "twin"))
    if bridge:
        return Decision("bridge", True, [reason])
    twin, second = earns_place("twin", "popularity", lifts(report.per_user, "twin", "popularity"))
    return Decision("twin" if twin else "popularity", False, [reason, second])


def earns_place(name: str, simpler: str, cohorts: Mapping[str, Interval]) -> tuple[bool, str]:
    """Whether `name` may replace `simpler`, and why, in one sentence."""
    better = [cohort for cohort, lift in cohorts.items() if lift.above_zero]
    worse = [cohort for cohort, lift in cohorts.items() if lift.below_zero]
    if worse:
        return False, f"The {name} is certainly worse than {_the(simpler)} for {_users(worse)}."
    if better:
        gain = ", ".join(f"{cohort} {cohorts[cohort].mean:+.4f} {METRIC}" for cohort in better)
        return True, f"The {name} is certainly better than {_the(simpler)} for {_users(better)} ({gain})."
    measured = [cohort for cohort, lift in cohorts.items() if lift.n]
    if not measured:
        return False, f"The {name} could not be compared with {_the(simpler)}: no user could be measured."
    return False, f"The {name} is not certainly better than {_the(simpler)} for {_users(measured)}."


def lifts(per_user: pa.Table, name: str, simpler: str) -> dict[str, Interval]:
    """Cohort -> the paired lift of `name` over `simpler`; per_user: `ml.metrics.report.Report.per_user`."""
    found = {}
    for cohort in USER_COHORTS:
        rows = per_user.filter(pc.equal(per_user[c.COHORT], cohort))
        a, b = _values(rows, name), _values(rows, simpler)
        users = sorted(a.keys() & b.keys())
        found[cohort] = paired_lift(np.array([a[u] for u in users]), np.array([b[u] for u in users]))
    return found


def _values(rows: pa.Table, candidate: str) -> dict[tuple[str, str], float]:
    mine = rows.filter(pc.equal(rows["candidate"], candidate))
    keys = zip(mine["scenario"].to_pylist(), mine[c.USER_ID].to_pylist(), strict=True)
    return dict(zip(keys, mine[METRIC].to_numpy(), strict=True))


def _the(name: str) -> str:
    return name if name == "popularity" else f"the {name}"


def _users(cohorts: list[str]) -> str:
    *others, last = cohorts
    return f"{', '.join(others)} and {last} users" if others else f"{last} users"
