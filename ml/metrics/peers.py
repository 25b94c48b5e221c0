"""How the bridge stands against the best of its peers: the candidates beside bridge and twin.

The best peer of a cohort is the one with the highest mean on the very test users it is compared on: the
choice favours the peers, so a lift that is above 0 all the same is no luck of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml import columns as c
from ml.metrics.cohorts import USER_COHORTS
from ml.metrics.intervals import paired_lift
from ml.metrics.report import ALL, CANDIDATE, CANDIDATES, CHAMPION, CohortRow, Report

METRIC, POPULARITY = "recall", "popularity"
# Neither the three nor today's champion, which is one of the three of an earlier day, is a peer.
OWN = (*CANDIDATES, CHAMPION)


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
        best = best_peer(report.rows, cohort)
        if best is None:
            continue
        bridge, peer = (_values(report, cohort, name) for name in ("bridge", best.candidate))
        lift = paired_lift(bridge, peer, seed=seed).within(-1, 1)
        recall = float(np.nanmean(peer))
        found.append(PeerLift(cohort, best.candidate, recall, lift.mean, lift.low, lift.high, lift.n))
    return found


def best_peer(rows: Sequence[CohortRow], cohort: str, metric: str = METRIC) -> CohortRow | None:
    """The peer with the highest mean in a cohort; None where no peer but popularity was measured.

    Popularity, the simplest of them, comes first among equals: a peer that knows nothing of a cohort's users
    lists what is popular.
    """
    measured = {r.candidate: r for r in rows if (r.cohort, r.metric) == (cohort, metric) and r.users}
    if not set(measured) - set(OWN):
        return None
    peers = [POPULARITY, *(name for name in measured if name not in OWN)]
    return max((measured[name] for name in peers if name in measured), key=lambda row: row.mean)


def _values(report: Report, cohort: str, candidate: str) -> np.ndarray:
    """(u,) the recall of every user of a cohort, in one order for all candidates."""
    table = report.per_user.filter(pc.equal(report.per_user[CANDIDATE], candidate))
    mine = USER_COHORTS if cohort == ALL else (cohort,)
    table = table.filter(pc.is_in(table[c.COHORT], pa.array(mine)))
    keys = [(name, "ascending") for name in ("scenario", c.COHORT, c.USER_ID)]
    return table.sort_by(keys)[METRIC].to_numpy()
