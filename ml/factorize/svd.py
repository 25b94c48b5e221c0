"""Truncated SVD of large sparse matrices: the factors that carry behaviour between domains.

The right singular space comes from `krylov.py`, products in float32. Where the spectrum is so steep that the
rounding of A'A reaches the wanted triples, the products are repeated in float64; the last step, orthonormal
triples and their residuals, is in float64 wherever numbers are summed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from ml.device import one_thread, pick_device
from ml.factorize.dense import CHUNK_ROWS, orthonormal_columns, rotate
from ml.factorize.krylov import ritz_basis
from ml.factorize.operators import Operator
from ml.factorize.shards import ShardedOperator, Shards
from ml.factorize.sparse import SparseOperator, check_matrix

# Up to this many rows or columns the Gram matrix is decomposed whole: faster than any iteration.
DENSE_SIDE = 512
# Numbers in a block of k vectors below which threads wait for each other more than they compute.
SMALL = 1 << 20


@dataclass(frozen=True)
class SVD:
    """A (m, n) ~ u @ diag(s) @ v.T, k triples, s descending.

    u: (m, k), v: (n, k) float32, orthonormal columns; the largest entry of each v column is positive.
    s: (k,) float64.
    residuals: (k,) float64, of each triple |A'u - s v| (or |A v - s u| where A is wide; the other is 0 up to
    rounding).
    energy: share of the squared entries of A that the triples explain. iterations: products with A'A.
    """

    u: np.ndarray
    s: np.ndarray
    v: np.ndarray
    residuals: np.ndarray
    energy: float
    iterations: int


def truncated_svd(
    matrix: sparse.csr_matrix | Shards,
    rank: int,
    *,
    seed: int = 0,
    tolerance: float = 0.01,
    max_iterations: int = 1000,
    device: str = "auto",
    workspace: Path | None = None,
) -> SVD:
    """The `rank` leading singular triples of a sparse (m, n) `matrix`; rank is clipped to min(m, n).

    matrix: in memory, or in row groups on disk (`shards.py`), of which one at a time is read.
    workspace: a folder on a disk with room, where large dense blocks lie; None keeps them in memory.
    tolerance: bound of every residual relative to the k-th singular value; the error of a singular value is
    of its square. Where max_iterations products with A'A do not reach it, the best triples found are returned
    and `residuals` say how good they are. Singular values beyond the matrix's own rank are 0, with
    orthonormal vectors; those below about 1e-7 of the greatest are as near as float64 comes to A'A, which
    `residuals` shows. Raises ValueError on values that are NaN or infinite in float32 and on rank < 1.
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")
    place = pick_device(device)
    if not sparse.issparse(matrix):
        pieces = ShardedOperator(matrix, place, workspace)
        return svd_of_operator(
            pieces,
            rank,
            seed=seed,
            tolerance=tolerance,
            max_iterations=max_iterations,
            workspace=workspace,
        )
    csr = check_matrix(matrix, "the matrix to factorise")
    operator, k = SparseOperator(csr, place), min(rank, *csr.shape)
    if 0 < min(csr.shape) <= max(DENSE_SIDE, 4 * k):
        tall = csr if csr.shape[1] <= csr.shape[0] else csr.T.tocsr()
        return _finished(operator, _dense_basis(tall, k, place), 1)
    return svd_of_operator(
        operator,
        rank,
        seed=seed,
        tolerance=tolerance,
        max_iterations=max_iterations,
        workspace=workspace,
    )


def svd_of_operator(
    operator: Operator,
    rank: int,
    *,
    seed: int = 0,
    tolerance: float = 0.01,
    max_iterations: int = 1000,
    workspace: Path | None = None,
    known: torch.Tensor | None = None,
) -> SVD:
    """`truncated_svd` of anything that can multiply; its entries are never asked for.

    known: (n, j) right vectors from which the search starts (`update.py`).
    """
    m, n = operator.shape
    k = min(rank, m, n)
    if k == 0:
        empty = np.zeros(0)
        return SVD(np.zeros((m, 0), np.float32), empty, np.zeros((n, 0), np.float32), empty, 0.0, 0)
    tall = operator if n <= m else operator.transposed
    if known is not None and tall is not operator:
        known = operator.matmul(known)
    with one_thread(max(m, n) * k < SMALL):
        for dtype in (torch.float32, torch.float64):
            found = ritz_basis(
                tall,
                k,
                seed=seed,
                tolerance=tolerance,
                max_products=max_iterations,
                dtype=dtype,
                workspace=workspace,
                known=known,
            )
            if found.precise:
                break
        return _finished(operator, found.vectors, found.products)


def _finished(operator: Operator, basis: torch.Tensor, iterations: int) -> SVD:
    """The triples of `operator` from a basis of the singular space of its smaller side."""
    right = operator.shape[1] <= operator.shape[0]
    u, s, v, residuals = _triples(operator if right else operator.transposed, basis)
    if not right:
        u, v = v, u
    signs = torch.where(v.gather(0, v.abs().argmax(0)[None]) < 0, -1.0, 1.0).squeeze(0)
    total, values = operator.squared_norm(), s.cpu().numpy()
    energy = float(np.square(values).sum() / total) if total else 0.0
    left, other = (part.mul_(signs).float().cpu().numpy() for part in (u, v))
    return SVD(left, values, other, residuals.cpu().numpy(), energy, iterations)


def _dense_basis(tall: sparse.csr_matrix, k: int, device: torch.device) -> torch.Tensor:
    wide = tall.astype(np.float64)
    gram = torch.from_numpy((wide.T @ wide).toarray()).to(device)
    return torch.linalg.eigh(gram).eigenvectors[:, -k:].flip(1)


def _triples(operator: Operator, basis: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """u, s, v and residuals from a basis (n, k) of the right singular space, in the basis's precision."""
    v, _ = orthonormal_columns(basis)
    u, R = orthonormal_columns(operator.matmul(v))
    U, s, Wt = torch.linalg.svd(R)
    u, v = rotate(u, U), rotate(v, Wt.T)
    # A v = s u holds by construction; what the basis lacks shows in the transpose.
    squares = torch.zeros_like(s)
    for image, wanted in zip(
        operator.transposed.matmul(u).split(CHUNK_ROWS), v.split(CHUNK_ROWS), strict=True
    ):
        squares += (image.double() - wanted.double() * s).square_().sum(dim=0)
    return u, s, v, squares.sqrt_()
