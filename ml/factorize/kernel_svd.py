"""Truncated SVD with a text kernel inside: items whose texts are alike share what is known of either.

Factorised is A = R (I + beta K)^1/2 with K = Z Z' (Frolov & Oseledets 2019, HybridSVD, with items' sides
alone). The root is again identity plus low rank: with Z'Z = Q diag(e) Q',

    (I + beta Z Z')^1/2 = I + Z Q diag(g) Q' Z',    g = beta / (1 + sqrt(1 + beta e)),

which needs no division by a small singular value. So A is a product of two operators that multiply in
O(nnz + n r), and the SVD of operators does the rest. An item's factor is its row of (I + beta K)^1/2 V =
(I + beta K) R'U S^-1: what its own users say plus beta times what those of items with like texts do. An item
with a text and no user has the second part alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from ml.device import pick_device
from ml.factorize.kernel import checked
from ml.factorize.operators import Product
from ml.factorize.sparse import SparseOperator, check_matrix
from ml.factorize.svd import SVD, svd_of_operator, truncated_svd


@dataclass(frozen=True)
class KernelSVD:
    """svd: of A = R (I + beta K)^1/2. items: (n, k) float32, (I + beta K)^1/2 V: zero for an item that has
    neither users nor text."""

    svd: SVD
    items: np.ndarray
    beta: float


class KernelRoot:
    """(I + beta Z Z')^1/2 = I + Y Y' as a symmetric (n, n) operator; `features` is Z (n, r) float32."""

    def __init__(self, features: np.ndarray, beta: float, device: torch.device) -> None:
        Z = torch.from_numpy(np.ascontiguousarray(features, np.float32)).to(device)
        values, axes = torch.linalg.eigh(Z.T.double() @ Z.double())
        gain = beta / (1 + (1 + beta * values.clamp_min(0)).sqrt())
        self.low = Z @ (axes * gain.sqrt()).float()
        self.shape, self.device = (len(Z), len(Z)), device

    @property
    def transposed(self) -> KernelRoot:
        """Itself."""
        return self

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        """dense + Y (Y' dense)."""
        low = self.low.to(dense.dtype)
        return torch.addmm(dense, low, low.T @ dense)

    def squared(self, dense: torch.Tensor) -> torch.Tensor:
        """Applied twice."""
        return self.matmul(self.matmul(dense))

    def squared_norm(self) -> float:
        """n + 2 |Y|^2 + |Y'Y|^2."""
        low = self.low.double()
        return float(len(low) + 2 * low.square().sum() + (low.T @ low).square().sum())


class Smoothed(Product):
    """rows @ root, with a squared norm that costs one thin product."""

    def __init__(self, rows: SparseOperator, root: KernelRoot) -> None:
        super().__init__(rows, root)
        self._rows, self._root = rows, root

    def squared_norm(self) -> float:
        """|R|^2 + 2 |RY|^2 + trace((RY)'(RY) Y'Y)."""
        low = self._root.low
        seen = self._rows.matmul(low).double()
        cross = seen.T @ seen
        gram = low.T.double() @ low.double()
        return self._rows.squared_norm() + 2 * float(cross.trace()) + float((cross * gram).sum())


def kernel_svd(
    matrix: sparse.csr_matrix,
    features: np.ndarray,
    rank: int,
    beta: float,
    *,
    seed: int = 0,
    tolerance: float = 0.01,
    max_iterations: int = 1000,
    device: str = "auto",
) -> KernelSVD:
    """The `rank` leading triples of R (I + beta Z Z')^1/2, R the sparse (m, n) `matrix`.

    features: Z (n, r), see `ml.factorize.kernel`; zero rows are items without text. beta: >= 0; 0, like a
    kernel without text, is `truncated_svd`. The other arguments are those of `truncated_svd`, and so are the
    bounds on the result. Raises ValueError on NaN or infinite values, on features of other items and on a
    negative beta.
    """
    if len(features) != matrix.shape[1]:
        raise ValueError(f"features of {len(features)} items, but the matrix has {matrix.shape[1]} columns")
    if not (np.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta must be a number >= 0, got {beta}: a kernel can only add likeness")
    csr = check_matrix(matrix, "the matrix to factorise")
    if not (beta and csr.nnz and checked(features).any()):
        plain = truncated_svd(
            csr, rank, seed=seed, tolerance=tolerance, max_iterations=max_iterations, device=device
        )
        return KernelSVD(plain, plain.v, beta)
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")
    place = pick_device(device)
    root = KernelRoot(features, beta, place)
    svd = svd_of_operator(
        Smoothed(SparseOperator(csr, place), root),
        rank,
        seed=seed,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    items = root.matmul(torch.from_numpy(svd.v).to(place)).cpu().numpy()
    return KernelSVD(svd, items, beta)
