"""Truncated SVD of a large sparse matrix: the factors that carry behaviour between domains.

Randomised block Krylov (Musco & Musco 2015) with thick restarts (Stathopoulos 1998) on the smaller of A'A and
AA': the space spanned by the products of a random block is kept orthonormal, and it grows until the residual
|A'u - s v| of each wanted triple is below `tolerance` times the k-th singular value. The test is free: it is
the last block row of the Krylov recurrence. Products run in float32, the projected problem and the last step
in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from ml.device import pick_device
from ml.factorize.sparse import SparseOperator, check_matrix

# Up to this many rows or columns the Gram matrix is decomposed whole: faster than any iteration.
DENSE_SIDE = 512


@dataclass(frozen=True)
class SVD:
    """A (m, n) ~ u @ diag(s) @ v.T, k triples, s descending.

    u: (m, k), v: (n, k) float32, orthonormal columns; the largest entry of each v column is positive.
    s: (k,) float64.
    residuals: (k,) float64, the greater of |A'u - s v| and |A v - s u| of each triple.
    energy: share of the squared entries of A that the triples explain. iterations: products with A'A.
    """

    u: np.ndarray
    s: np.ndarray
    v: np.ndarray
    residuals: np.ndarray
    energy: float
    iterations: int


def truncated_svd(
    matrix: sparse.csr_matrix,
    rank: int,
    *,
    seed: int = 0,
    tolerance: float = 0.01,
    max_iterations: int = 200,
    device: str = "auto",
) -> SVD:
    """The `rank` leading singular triples of a sparse (m, n) `matrix`; rank is clipped to min(m, n).

    tolerance: bound of every residual relative to the k-th singular value; the error of a singular value is
    of its square. Where max_iterations products with A'A do not reach it, the best triples found are returned
    and `residuals` say how good they are. Singular values beyond the matrix's own rank are 0, with
    orthonormal vectors. Raises ValueError on NaN or infinite values and on rank < 1.
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")
    csr = check_matrix(matrix, "the matrix to factorise")
    m, n = csr.shape
    k = min(rank, m, n)
    if k == 0:
        empty = np.zeros(0)
        return SVD(np.zeros((m, 0), np.float32), empty, np.zeros((n, 0), np.float32), empty, 0.0, 0)
    place = pick_device(device)
    tall = csr if n <= m else csr.T.tocsr()
    if tall.shape[1] <= max(DENSE_SIDE, 4 * k):
        basis, iterations = _dense_basis(tall, k, place), 1
    else:
        basis, iterations = _krylov_basis(SparseOperator(tall, place), k, seed, tolerance, max_iterations)
    left, s, right, residuals = _triples(SparseOperator(tall, place, torch.float64), basis)
    u, v = (left, right) if n <= m else (right, left)
    signs = np.where(v[np.abs(v).argmax(0), np.arange(k)] < 0, -1.0, 1.0)
    total = float(np.square(csr.data.astype(np.float64)).sum())
    energy = float(np.square(s).sum() / total) if total else 0.0
    return SVD(
        (u * signs).astype(np.float32), s, (v * signs).astype(np.float32), residuals, energy, iterations
    )


def _dense_basis(tall: sparse.csr_matrix, k: int, device: torch.device) -> torch.Tensor:
    wide = tall.astype(np.float64)
    gram = torch.from_numpy((wide.T @ wide).toarray()).to(device)
    return torch.linalg.eigh(gram).eigenvectors[:, -k:].flip(1)


def _krylov_basis(
    operator: SparseOperator, k: int, seed: int, tolerance: float, max_iterations: int
) -> tuple[torch.Tensor, int]:
    """(n, k) Ritz vectors of A'A, and the number of products taken."""
    n = operator.shape[1]
    block = min(max(16, k // 2), n)
    largest = min(n, 4 * k + 2 * block)
    random = np.random.default_rng(seed)
    space = torch.zeros((n, 0), device=operator.device)
    projected = torch.zeros((0, 0), dtype=torch.float64, device=operator.device)
    # A start in A's row space keeps the factors of empty columns at 0.
    start = operator.transposed.matmul(_random_block(random, operator.shape[0], block, operator))
    fresh, _ = _orthonormal(start, space, 1e-6 * float(start.norm()))
    if not fresh.shape[1]:
        fresh, _ = _orthonormal(_random_block(random, n, block, operator), space, 0.0)
    scale, iteration = 0.0, 0
    while iteration < max_iterations:
        iteration += 1
        image = operator.transposed.matmul(operator.matmul(fresh))
        old, space = space.shape[1], torch.cat([space, fresh], dim=1)
        projected = _bordered(projected, space.T @ image)
        ritz, vectors = _descending(projected)
        scale = max(scale, float(ritz[0]))
        fresh, coupling = _orthonormal(image, space, 1e-6 * scale)
        misfit = (coupling @ vectors[old:, :k]).norm(dim=0)  # |A'A v - s^2 v| = s |A'u - s v|
        values = ritz[:k].clamp_min(0).sqrt()
        if not coupling.shape[0]:
            # The space is invariant: directions that the start block missed need a new one, unless none is
            # left.
            fresh, _ = _orthonormal(_random_block(random, n, block, operator), space, 1e-3)
            if space.shape[1] >= k or not fresh.shape[1]:
                break
        elif len(values) == k and bool((misfit <= tolerance * values[-1] * values).all()):
            break
        if space.shape[1] + fresh.shape[1] > largest:
            kept = min(k + block, space.shape[1])
            space, projected = space @ vectors[:, :kept].float(), torch.diag(ritz[:kept])
    vectors = _descending(projected)[1][:, :k]
    return space.double() @ vectors, iteration


def _random_block(random: np.random.Generator, n: int, block: int, operator: SparseOperator) -> torch.Tensor:
    # Drawn on the CPU, so that a seed means the same on every device.
    return torch.from_numpy(random.standard_normal((n, block), dtype=np.float32)).to(operator.device)


def _bordered(projected: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """The (d, d) projection of A'A grown by its new columns (d + b, b); symmetric."""
    old = projected.shape[0]
    grown = torch.zeros((len(columns), len(columns)), dtype=torch.float64, device=columns.device)
    grown[:old, :old] = projected
    grown[:, old:] = columns.double()
    grown[old:, :old] = columns[:old].double().T
    return (grown + grown.T) / 2


def _descending(symmetric: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values, vectors = torch.linalg.eigh(symmetric)
    return values.flip(0), vectors.flip(1)


def _orthonormal(block: torch.Tensor, space: torch.Tensor, floor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions (n, r) of `block` outside `space`, and their coefficients (r, b) float64; r <= b.

    Directions not longer than `floor` are rounding noise and dropped.
    """
    # Once is not enough: float32 Gram-Schmidt loses orthogonality in proportion to what it removes.
    for _ in range(2):
        block = block - space @ (space.T @ block)
    Q, R = torch.linalg.qr(block)
    U, s, Wt = torch.linalg.svd(R.double())
    held = s > floor
    fresh = Q @ U[:, held].float()
    fresh = fresh - space @ (space.T @ fresh)
    return torch.linalg.qr(fresh)[0] if fresh.shape[1] else fresh, s[held, None] * Wt[held]


def _triples(operator: SparseOperator, basis: torch.Tensor) -> tuple[np.ndarray, ...]:
    """u, s, v and residuals in float64 from a basis (n, k) of the right singular space."""
    v, _ = torch.linalg.qr(basis)
    Q, R = torch.linalg.qr(operator.matmul(v))
    U, s, Wt = torch.linalg.svd(R)
    u, v = Q @ U, v @ Wt.T
    residuals = (operator.transposed.matmul(u) - v * s).norm(dim=0)
    return tuple(part.cpu().numpy() for part in (u, s, v, residuals))
