"""An SVD brought up to date when a window is added: a few products from the old item factors.

The old right vectors span nearly what the new ones do. So the search starts from them (items that are new
start at 0) instead of from noise: one block Krylov step is the product of that block with A'A, and the best
triples of all blocks are taken (Rayleigh-Ritz). A block of random probes rides along, because an island of
new users with new items is out of reach of every old vector. All interactions are multiplied, not only the
new ones: starting from the old factors plus the window's entries (Zha & Simon 1999) loses the tail of the
spectrum at every window, which on logs as flat as those of shops costs more energy and is no faster.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from ml.device import pick_device
from ml.factorize.sparse import SparseOperator, check_matrix
from ml.factorize.svd import SVD, svd_of_operator


def placed(factors: np.ndarray, old_ids: np.ndarray, new_ids: np.ndarray) -> np.ndarray:
    """(n_new, k) float32: the rows of `factors` (n_old, k) at their items' new places, 0 for new items.

    old_ids (n_old,), new_ids (n_new,): unicode arrays without duplicates, in any order.
    """
    _, old, new = np.intersect1d(old_ids, new_ids, assume_unique=True, return_indices=True)
    found = np.zeros((len(new_ids), factors.shape[1]), np.float32)
    found[new] = factors[old]
    return found


def update(
    matrix: sparse.csr_matrix,
    item_factors: np.ndarray,
    rank: int,
    *,
    steps: int = 2,
    seed: int = 0,
    device: str = "auto",
) -> SVD:
    """The `rank` leading triples of `matrix` (m, n), found from earlier right vectors `item_factors` (n, k).

    The values, vectors and residuals are those of `matrix` in the searched space: singular values never too
    high, each within its residual of a true one. `lost_energy` of the result says whether to solve anew;
    `iterations` are the products with A'A. rank is clipped to min(m, n).
    """
    if steps < 1 or rank < 1:
        raise ValueError(f"rank ({rank}) and steps ({steps}) must be at least 1")
    csr = check_matrix(matrix, "the matrix to factorise")
    if len(item_factors) != csr.shape[1]:
        raise ValueError(
            f"{len(item_factors)} item factors for {csr.shape[1]} items: place them by their ids first"
        )
    if not np.isfinite(item_factors).all():
        raise ValueError("the item factors hold NaN or infinite values: solve anew instead of updating them")
    place = pick_device(device)
    known = torch.from_numpy(np.ascontiguousarray(item_factors, np.float32)).to(place)
    return svd_of_operator(SparseOperator(csr, place), rank, seed=seed, max_iterations=steps + 1, known=known)


def lost_energy(factors: SVD) -> float:
    """A lower bound of the share of attainable energy that these triples miss; 0 for converged ones.

    With A V = U S the left vectors alone capture |A'U|^2 = sum s^2 + sum residual^2: so much is surely there,
    and the triples explain sum s^2. After two steps of `update` the true loss was 4 to 10 times this.
    """
    missed, explained = np.square(factors.residuals).sum(), np.square(factors.s).sum()
    return float(missed / (missed + explained)) if explained else 0.0
