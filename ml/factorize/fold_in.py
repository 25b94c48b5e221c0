"""New users and items for factors that exist: their rows and columns projected on the side that is fixed.

A V = U S, so a row `a` of A has u = a V / s; A' U = V S, so a column has v = a' U / s. For a row or column of
A itself the answer is that of the factorisation, to within `residuals / s`. For one that A has not seen it is
what a refit gives as long as the new rows do not turn the space: `docs/FACTORISATION.md` has measurements.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ml.factorize.sparse import check_matrix
from ml.factorize.svd import SVD

# Triples this much weaker than the strongest are rounding noise; divided by, they would be all one sees.
NOISE = 1e-6


def fold_in_users(factors: SVD, rows: sparse.csr_matrix) -> np.ndarray:
    """(u, k) float32 left vectors of histories `rows` (u, n), weighed by `Weighting.of_users`.

    A history without entries gets zeros, and so does every user in a factor whose singular value is 0.
    """
    return _projected(check_matrix(rows, "the new histories"), factors.v, factors.s)


def fold_in_items(factors: SVD, columns: sparse.csr_matrix) -> np.ndarray:
    """(i, k) float32 right vectors of new items' `columns` (m, i), weighed by `Weighting.of_items`."""
    return _projected(check_matrix(columns, "the new items").T.tocsr(), factors.u, factors.s)


def _projected(rows: sparse.csr_matrix, vectors: np.ndarray, s: np.ndarray) -> np.ndarray:
    if rows.shape[1] != len(vectors):
        raise ValueError(
            f"the new rows have {rows.shape[1]} entries each, but the fixed side has {len(vectors)} factors"
        )
    inverse = np.zeros_like(s)
    np.divide(1.0, s, out=inverse, where=s > NOISE * s.max(initial=0.0))
    return np.asarray((rows @ vectors.astype(np.float64)) * inverse, np.float32)
