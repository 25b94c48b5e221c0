"""Cohorts: users sliced by how much the target domain knows of them, the axis along which transfer
matters.
"""

from __future__ import annotations

import numpy as np

COLD, SPARSE, WARM = "cold", "sparse", "warm"
USER_COHORTS = (COLD, SPARSE, WARM)
# The least number of target interactions of a sparse and of a warm user: cold 0, sparse 1-4, warm 5 and more.
SPARSE_FROM, WARM_FROM = 1, 5


def user_cohort(counts: np.ndarray) -> np.ndarray:
    """(u,) cohort name of users with `counts` (u,) visible target interactions."""
    return np.array(USER_COHORTS)[np.digitize(counts, [SPARSE_FROM, WARM_FROM])]
