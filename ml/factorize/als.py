"""Weighted matrix factorisation for implicit feedback, and the exact factor of a new user's history.

Hu, Koren & Volinsky (2008): every user-item pair counts. Where nothing was observed the target is 0 with
weight 1, where `value` was observed it is 1 with weight c = 1 + alpha * value. Alternating ridge regressions
minimise

    sum_ui w_ui (t_ui - x_u . y_i)^2 + regularisation * (sum_u |x_u|^2 + sum_i |y_i|^2)

The ridge is plain lambda * I, as in the `implicit` package, not scaled by counts. One side's equations are
(M + sum_i alpha v_i y_i y_i') x = sum_i c_i y_i with M = Y'Y + lambda I shared by all rows. Substituting x =
L^-T z, M = LL', turns that into (I + sum_i alpha v_i y~_i y~_i') z = sum_i c_i y~_i with y~ = L^-1 y:
conjugate gradients (Takacs, Pilaszy & Tikk 2011) on it never touch M again, cost only sparse products, and
are exact after as many steps as the row has entries, plus one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy import sparse

from ml.device import pick_device
from ml.factorize.sparse import SparseOperator, check_matrix

# One chunk of the batched exact solve holds about this many float32 numbers (256 MiB).
CHUNK_NUMBERS = 1 << 26
# Conjugate gradients run on blocks of this many rows: five (rows, f) vectors at f = 64 hold 320 MiB.
BLOCK_ROWS = 1 << 18


@dataclass(frozen=True)
class ALSFactors:
    """users: (m, f) float32. items: (n, f) float32. A score is their inner product."""

    users: np.ndarray
    items: np.ndarray


@dataclass(frozen=True)
class WeightedALS:
    """Settings of the factorisation; every result is a function of them, the matrix and the device kind.

    rank: factors per user and item (f). alpha: extra weight of an observed value of 1.
    regularisation: lambda.
    iterations: full sweeps (users, then items). solver: "cg" does `cg_steps` warm-started conjugate-gradient
    steps per half-sweep, "cholesky" solves exactly (the loss then never rises), about 10x slower.
    """

    rank: int = 64
    alpha: float = 10.0
    regularisation: float = 10.0
    iterations: int = 15
    seed: int = 0
    device: str = "auto"
    solver: Literal["cg", "cholesky"] = "cg"
    cg_steps: int = 3

    def __post_init__(self) -> None:
        if self.rank < 1 or self.iterations < 1 or self.cg_steps < 1:
            raise ValueError("rank, iterations and cg_steps must be at least 1")
        if self.alpha < 0 or self.regularisation <= 0:
            raise ValueError(
                "alpha must be >= 0 and regularisation > 0, or the normal equations are singular"
            )

    def fit(self, matrix: sparse.csr_matrix) -> ALSFactors:
        """Factorise `matrix` (m, n): stored entries are the observed pairs, their values are >= 0 (1 =
        plain).

        Rows and columns without entries get zero factors. Raises ValueError on NaN, infinite or negative
        values.
        """
        device = pick_device(self.device)
        observed = _check(matrix)
        (m, n), f = observed.shape, self.rank
        by_user, by_item = _blocks(observed, device), _blocks(observed.T.tocsr(), device)
        noise = np.random.default_rng(self.seed).standard_normal((n, f), dtype=np.float32) / np.sqrt(f)
        users = torch.zeros((m, f), device=device)
        items = torch.from_numpy(noise.astype(np.float32)).to(device)
        for _ in range(self.iterations):
            users = self._half_sweep(by_user, items, users)
            items = self._half_sweep(by_item, users, items)
        return ALSFactors(users.cpu().numpy(), items.cpu().numpy())

    def fold_in(self, items: np.ndarray, rows: sparse.csr_matrix) -> np.ndarray:
        """(u, f) float32 exact factors of new histories `rows` (u, n), the item factors (n, f) fixed.

        A row without entries gets zeros. Solved by batched Cholesky in chunks of bounded memory.
        """
        device = pick_device(self.device)
        observed = _check(rows)
        if observed.shape[1] != len(items):
            raise ValueError(
                f"histories have {observed.shape[1]} columns, but there are {len(items)} item factors"
            )
        fixed = torch.from_numpy(np.asarray(items, np.float32)).to(device)
        L = self._shared_cholesky(fixed)
        whitened = torch.linalg.solve_triangular(L, fixed.T, upper=False).T.contiguous()
        solved = self._solve_exactly(observed, whitened)
        return torch.linalg.solve_triangular(L, solved, upper=False, left=False).cpu().numpy()

    def item_contributions(self, items: np.ndarray, row: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        """What each item of one history (1, n) adds to the folded-in factor.

        With the weights fixed the factor is A^-1 sum_i c_i y_i: a sum over the history. Returns the item
        positions (h,) and the vectors (h, f) float64 whose sum over axis 0 is the factor of `fold_in`.
        """
        history = _check(row)
        if history.shape != (1, len(items)):
            raise ValueError(f"expected one history of shape (1, {len(items)}), got {history.shape}")
        Y = np.asarray(items, np.float64)
        mine, values = Y[history.indices], history.data.astype(np.float64)
        A = Y.T @ Y + self.regularisation * np.eye(Y.shape[1]) + (mine.T * (self.alpha * values)) @ mine
        return history.indices, np.linalg.solve(A, (mine * (1 + self.alpha * values)[:, None]).T).T

    def loss(self, matrix: sparse.csr_matrix, factors: ALSFactors) -> float:
        """The objective of the module's docstring over all m x n pairs, in float64, never forming the
        pairs.
        """
        observed = SparseOperator(_check(matrix), torch.device("cpu"), torch.float64)
        X, Y = (torch.from_numpy(side.astype(np.float64)) for side in (factors.users, factors.items))
        scores = observed.sampled(X, Y)
        weights = 1 + self.alpha * observed.values
        everywhere = ((X.T @ X) * (Y.T @ Y)).sum()  # sum of squared scores over all pairs
        entries = (weights * (1 - scores) ** 2 - scores**2).sum()
        return float(everywhere + entries + self.regularisation * (X.square().sum() + Y.square().sum()))

    def _half_sweep(
        self, blocks: list[SparseOperator], fixed: torch.Tensor, start: torch.Tensor
    ) -> torch.Tensor:
        L = self._shared_cholesky(fixed)
        whitened = torch.linalg.solve_triangular(L, fixed.T, upper=False).T.contiguous()
        solved, first = torch.empty_like(start), 0
        for block in blocks:
            rows = slice(first, first := first + block.shape[0])
            if self.solver == "cholesky":
                solved[rows] = self._solve_exactly(block.csr, whitened)
            else:
                solved[rows] = self._approach(block, whitened, start[rows] @ L)
        return torch.linalg.solve_triangular(L, solved, upper=False, left=False)

    def _approach(
        self, observed: SparseOperator, whitened: torch.Tensor, start: torch.Tensor
    ) -> torch.Tensor:
        extra = self.alpha * observed.values

        def apply(z: torch.Tensor) -> torch.Tensor:
            return observed.matmul(whitened, observed.sampled(z, whitened).mul_(extra)).add_(z)

        return conjugate_gradients(apply, observed.matmul(whitened, extra + 1), start, self.cg_steps)

    def _shared_cholesky(self, fixed: torch.Tensor) -> torch.Tensor:
        ridge = self.regularisation * torch.eye(fixed.shape[1], dtype=torch.float64, device=fixed.device)
        gram = fixed.double().T @ fixed.double()
        return torch.linalg.cholesky(gram + ridge).to(fixed.dtype)

    def _solve_exactly(self, observed: sparse.csr_matrix, whitened: torch.Tensor) -> torch.Tensor:
        f, device = whitened.shape[1], whitened.device
        identity = torch.eye(f, device=device)
        z = torch.zeros((observed.shape[0], f), device=device)
        for rows, columns, values, held in _padded_chunks(observed, f):
            vectors = whitened[columns.to(device)]
            extra = self.alpha * values.to(device)
            A = identity + vectors.transpose(1, 2) @ (vectors * extra[:, :, None])
            rhs = ((held.to(device) + extra)[:, :, None] * vectors).sum(1)
            z[rows.to(device)] = torch.cholesky_solve(rhs[:, :, None], torch.linalg.cholesky(A))[:, :, 0]
        return z


def conjugate_gradients(
    apply: Callable[[torch.Tensor], torch.Tensor], rhs: torch.Tensor, start: torch.Tensor, steps: int
) -> torch.Tensor:
    """`steps` steps towards A_r z_r = rhs_r for every row r at once; `apply` maps (m, f) rows z_r to A_r z_r.
    `start` is overwritten.

    Every A_r is symmetric positive definite; a row that is solved already stays as it is.
    """
    z, residual = start, rhs - apply(start)
    direction, size = residual.clone(), _row_dots(residual, residual)
    tiny = torch.finfo(rhs.dtype).tiny
    for _ in range(steps):
        image = apply(direction)
        step = size / _row_dots(direction, image).clamp_min_(tiny)
        z.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
        before, size = size, _row_dots(residual, residual)
        direction.mul_(size / before.clamp_min(tiny)).add_(residual)
    return z


def _row_dots(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.einsum("rf,rf->r", left, right)[:, None]


def _blocks(observed: sparse.csr_matrix, device: torch.device) -> list[SparseOperator]:
    starts = range(0, observed.shape[0], BLOCK_ROWS)
    return [SparseOperator(observed[start : start + BLOCK_ROWS], device) for start in starts]


def _padded_chunks(
    observed: sparse.csr_matrix, f: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Rows of similar length together, padded: positions (b,), columns, values and 0/1 held (b, longest)."""
    lengths = np.diff(observed.indptr)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    while len(order):
        longest = np.maximum(
            lengths[order], f
        )  # a chunk holds b x longest x f vectors and b x f x f equations
        fits = np.cumsum(np.ones(len(order))) * longest * f * 2 <= CHUNK_NUMBERS
        # Doubling lengths end a chunk, so that padding at most doubles the work.
        alike = lengths[order] <= max(2 * lengths[order[0]], 8)
        size = max(1, int(np.argmin(np.append(fits & alike, False))))
        rows, order = order[:size], order[size:]
        slots = np.arange(lengths[rows[-1]])
        held = slots < lengths[rows][:, None]
        at = np.where(held, observed.indptr[rows][:, None] + slots, 0)
        columns = torch.from_numpy(np.where(held, observed.indices[at], 0).astype(np.int64))
        values = torch.from_numpy(np.where(held, observed.data[at], 0).astype(np.float32))
        yield torch.from_numpy(rows), columns, values, torch.from_numpy(held.astype(np.float32))


def _check(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    csr = check_matrix(matrix, "the interaction matrix")
    if csr.nnz and csr.data.min() < 0:
        raise ValueError(
            f"the interaction matrix has negative values (least {csr.data.min()}): drop them first"
        )
    return csr
