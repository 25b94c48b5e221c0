"""Cohorts: users sliced by how much the target domain knows of them, the axis along which transfer
matters; and the scenarios in which they are measured.

A user is in one of USER_COHORTS, and those decide what is served. The further cohorts ask further questions
of the same models: what the first events of a new user change, and whether items without a past find the
right users. Each stands for itself; no mean over users holds them.
"""

from __future__ import annotations

import numpy as np

COLD, SPARSE, WARM = "cold", "sparse", "warm"
USER_COHORTS = (COLD, SPARSE, WARM)
# The least number of target interactions of a sparse and of a warm user: cold 0, sparse 1-4, warm 5 and more.
SPARSE_FROM, WARM_FROM = 1, 5
# Test users shown to the model with only their first events in the target.
NEW_USER_EVENTS = (1, 2, 3, 5)
NEW_USERS = tuple(f"new_{events}" for events in NEW_USER_EVENTS)
# Users whose future holds items without an interaction before the cut, ranked among such items only.
COLD_ITEMS = "cold_items"
COHORTS_OF = {"cold": (COLD,), "time": (SPARSE, WARM), "new_users": NEW_USERS, "cold_items": (COLD_ITEMS,)}
FURTHER_COHORTS = (*NEW_USERS, COLD_ITEMS)


def user_cohort(counts: np.ndarray) -> np.ndarray:
    """(u,) cohort name of users with `counts` (u,) visible target interactions."""
    return np.array(USER_COHORTS)[np.digitize(counts, [SPARSE_FROM, WARM_FROM])]
