"""How the bridge stands against the best of its peers: the candidates beside bridge, twin and popularity.

The best peer of a cohort is the one with the highest mean on the very test users it is compared on: the
choice favours the peers, so a lift that is above 0 all the same is no luck of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from ml import columns as c
from ml.metrics.intervals import paired_lift
from ml.metrics.report import ALL, CANDIDATE, CANDIDATES, Report

METRIC = "recall"


@dataclass(frozen=True)
class PeerLift:
    """The best peer of a cohort, its mean recall, and bridge - peer paired by user with its 95 % interval."""

    cohort: str
    peer: str
    recall: float
    mean: float
    low: float
    high: float
    users: int


def peer_lifts(report: Report, seed: int = 0) -> list[PeerLift]:
    """A row for each cohort with a measured user, in the report's order; none where no peer was measured."""
    found = []
    for cohort in dict.fromkeys(row.cohort for row in report.rows):
        best = best_peer(report, cohort)
        if best is None:
            continue
        bridge, peer = (_values(report, cohort, name) for name in ("bridge", best))
        lift = paired_lift(bridge, peer, seed=seed)
        found.append(PeerLift(cohort, best, float(np.nanmean(peer)), lift.mean, lift.low, lift.high, lift.n))
    return found


def best_peer(report: Report, cohort: str) -> str | None:
    """The peer with the highest mean recall in a cohort, the first of equals; None without a measured one."""
    means = {
        row.candidate: row.mean
        for row in report.rows
        if row.cohort == cohort and row.metric == METRIC and row.candidate not in CANDIDATES and row.users
    }
    return max(means, key=lambda name: means[name], default=None)


def _values(report: Report, cohort: str, candidate: str) -> np.ndarray:
    """(u,) the recall of every user of a cohort, in one order for all candidates."""
    table = report.per_user.filter(pc.equal(report.per_user[CANDIDATE], candidate))
    if cohort != ALL:
        table = table.filter(pc.equal(table[c.COHORT], cohort))
    keys = [(name, "ascending") for name in ("scenario", c.COHORT, c.USER_ID)]
    return table.sort_by(keys)[METRIC].to_numpy()
