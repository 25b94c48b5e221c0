"""Does a label tell what users take? A permutation test, so that a column of noise is never tried at all.

Every candidate that says nothing is a chance to be chosen by luck, and attribute files bring many columns.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

LEVEL = 0.005  # a column of noise passes once in two hundred
DRAWS = 199  # the fewest with which that level can be reached
FEWEST_ROWS = 30
MOST_ROWS = 20_000


def association(taken: sparse.csr_matrix, held: sparse.csr_matrix, seed: int = 0) -> float:
    """p-value of "who holds a value has nothing to do with what is taken".

    taken: (r, n), who took what. held: (r, v) CSR of ones, at most one in a row. The statistic is the part of
    the unit rows that their groups' means explain, beside that of shuffled groups; it stops at the first
    shuffle that explains as much (Besag & Clifford 1991, "Sequential Monte Carlo p-values", h = 1). 1 where
    fewer than FEWEST_ROWS rows have both.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero((np.diff(taken.indptr) > 0) & (np.diff(held.indptr) > 0))
    if len(rows) < FEWEST_ROWS:
        return 1.0
    if len(rows) > MOST_ROWS:
        rows = np.sort(rng.choice(rows, MOST_ROWS, replace=False))
    units, groups = _unit_rows(taken[rows]), held[rows]
    observed = _explained(units, groups)
    for draw in range(1, DRAWS + 1):
        if _explained(units, groups[rng.permutation(len(rows))]) >= observed * (1 - 1e-6):
            return 1 / draw
    return 1 / (DRAWS + 1)


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    shares = np.repeat(1 / np.where(norms > 0, norms, 1), np.diff(matrix.indptr))
    return sparse.csr_matrix((matrix.data * shares, matrix.indices, matrix.indptr), shape=matrix.shape)


def _explained(units: sparse.csr_matrix, groups: sparse.csr_matrix) -> float:
    """Sum over groups of the squared length of their sum, over their size."""
    sums = groups.T.tocsr() @ units
    sizes = np.bincount(groups.indices, minlength=groups.shape[1])
    return float((np.asarray(sums.multiply(sums).sum(axis=1)).ravel() / np.maximum(sizes, 1)).sum())
