"""How much of what users are recommended came from where: the mean share of every domain, by cohort.

Few logs have users of every cohort. So people are sampled, and the model is asked about each as if the target
knew nothing of them, their first two events or all, as the evaluation does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ml.bridge.histories import histories
from ml.bridge.serve.recommender import Recommender
from ml.metrics.cohorts import COLD, SPARSE, USER_COHORTS

SPARSE_EVENTS = 2  # that the target knows of a sparse user


@dataclass(frozen=True)
class Crossing:
    """The lists of a cohort's sampled users. shares: domain -> mean share, in [0, 1], of what speaks for the
    listed items; with what holds for every user they sum to 1."""

    cohort: str
    users: int
    shares: Mapping[str, float]


def as_cohort(model: Recommender, cohort: str) -> tuple[Recommender, np.ndarray]:
    """The model as it knows users of the cohort, and the users (positions) whom it knows so."""
    log = model.logs[model.target]
    if cohort in (COLD, SPARSE):
        log = log.first(0 if cohort == COLD else SPARSE_EVENTS)
    shown = replace(model, logs={**model.logs, model.target: log})
    cohorts, informed = shown.cohorts(histories(shown.logs, np.arange(len(model.user_ids))))
    return shown, np.flatnonzero((cohorts == cohort) & informed)


def sampled(model: Recommender, cohort: str, most: int, seed: int) -> tuple[Recommender, np.ndarray]:
    """`as_cohort`, at most `most` of the users, in the order of a draw."""
    shown, members = as_cohort(model, cohort)
    return shown, np.random.default_rng(seed).permutation(members)[:most]


def crossing(model: Recommender, users: int = 20, k: int = 10, seed: int = 0) -> list[Crossing]:
    """One entry for each cohort that has users, over at most `users` of them and their lists of `k`."""
    found = []
    for cohort in USER_COHORTS:
        shown, members = sampled(model, cohort, users, seed)
        if len(members):
            found.append(Crossing(cohort, len(members), _mean_shares(shown, cohort, members, k)))
    return found


def _mean_shares(model: Recommender, cohort: str, users: np.ndarray, k: int) -> dict[str, float]:
    past = histories(model.logs, users)
    listed, _ = model.rank(past, k)
    totals = dict.fromkeys(model.logs, 0.0)
    for row, items in enumerate(listed):
        shares = model.support(past.rows(slice(row, row + 1)), cohort, items[items >= 0]).shares()
        for domain, share in shares.items():
            totals[domain] += float(share.mean()) / len(users) if len(share) else 0.0
    return totals
