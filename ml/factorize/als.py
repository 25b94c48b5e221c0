"""Weighted matrix factorisation for implicit feedback, and the exact factor of a new history.

Hu, Koren & Volinsky (2008): every user-item pair counts. Where nothing was observed the target is 0 with
weight 1, where `value` was observed it is 1 with weight c = 1 + alpha * value. Alternating ridge regressions
minimise

    sum_ui w_ui (t_ui - x_u . y_i)^2 + regularisation * (sum_u |x_u|^2 + sum_i |y_i|^2)

The ridge is plain lambda * I, as in the `implicit` package, not scaled by counts. One side's equations are
(M + sum_i alpha v_i y_i y_i') x = sum_i c_i y_i with M = Y'Y + lambda I shared by all rows. Substituting x =
L^-T z, M = LL', turns that into (I + sum_i alpha v_i y~_i y~_i') z = sum_i c_i y~_i with y~ = L^-1 y:
conjugate gradients (Takacs, Pilaszy & Tikk 2011) on it never touch M again, cost only sparse products, and
are exact after as many steps as the row has entries, plus one. Two warm-started steps a half-sweep reach the
loss that takes three on the plain equations.

Values are any numbers >= 0: counts, or what `normalise.py` makes of them (tf-idf, BM25, damped, decayed).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy import sparse

from ml.device import for_each, pick_device
from ml.factorize.als_solve import Block, approach, solve
from ml.factorize.als_sweep import STRIP, Observed, Room, Side, observed_rows, whiten
from ml.factorize.sparse import check_weights, sampled


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
    steps per half-sweep, "cholesky" solves exactly (the loss then never rises) and takes several times as
    long.
    """

    rank: int = 64
    alpha: float = 10.0
    regularisation: float = 10.0
    iterations: int = 15
    seed: int = 0
    device: str = "auto"
    solver: Literal["cg", "cholesky"] = "cg"
    cg_steps: int = 2

    def __post_init__(self) -> None:
        if self.rank < 1 or self.iterations < 1 or self.cg_steps < 1:
            raise ValueError("rank, iterations and cg_steps must be at least 1")
        if self.alpha < 0 or self.regularisation <= 0:
            raise ValueError(
                "alpha must be >= 0 and regularisation > 0, or the normal equations are singular"
            )
        if self.solver not in ("cg", "cholesky"):
            raise ValueError(f"solver {self.solver!r}: expected cg or cholesky")

    def fit(
        self, matrix: Observed, transposed: Observed | None = None, workspace: Path | None = None
    ) -> ALSFactors:
        """Factorise `matrix` (m, n): stored entries are the observed pairs, their values are >= 0 (1 =
        plain).

        Rows and columns without entries get zero factors. A matrix that does not fit in memory comes as row
        shards, its transpose as `transposed`; with `workspace` the factors are memory-mapped files there, so
        only one shard is held. Results are the same. Raises ValueError on NaN, infinite or negative values
        and where `transposed` is missing or of another shape.
        """
        device = pick_device(self.device)
        matrix, transposed = _both_sides(matrix, transposed)
        (m, n), f = matrix.shape, self.rank
        room = Room(device, workspace)
        users = Side(matrix, room.zeros("users", (m, f)), room.zeros("users_whitened", (m, f)))
        items = Side(transposed, room.zeros("items", (n, f)), room.zeros("items_whitened", (n, f)))
        self._start(items.factors)
        for _ in range(self.iterations):
            self._half_sweep(users, items)
            self._half_sweep(items, users)
        for name in ("users_whitened", "items_whitened"):
            room.drop(name)
        return ALSFactors(users.factors.cpu().numpy(), items.factors.cpu().numpy())

    def fold_in(self, items: np.ndarray, rows: sparse.csr_matrix) -> np.ndarray:
        """(u, f) float32 exact factors of new histories `rows` (u, n), the item factors (n, f) fixed.

        A row without entries gets zeros. Solved by batched Cholesky in blocks of bounded memory.
        """
        device = pick_device(self.device)
        if rows.shape[1] != len(items):
            raise ValueError(
                f"histories have {rows.shape[1]} columns, but there are {len(items)} factors to fold into"
            )
        fixed = torch.from_numpy(np.array(items, np.float32)).to(device)
        side = Side(rows, torch.zeros((rows.shape[0], fixed.shape[1]), device=device), fixed[:0])
        exact = WeightedALS(fixed.shape[1], self.alpha, self.regularisation, solver="cholesky")
        exact._half_sweep(side, Side(rows[:0], fixed, torch.empty_like(fixed)))
        return side.factors.cpu().numpy()

    def fold_in_items(self, users: np.ndarray, columns: sparse.csr_matrix) -> np.ndarray:
        """(i, f) float32 exact factors of new items, the user factors (m, f) fixed.

        columns: (m, i), who has had each new item. The objective treats both sides alike, so this is
        `fold_in` of the transpose.
        """
        return self.fold_in(users, sparse.csr_matrix(columns.T))

    def item_contributions(self, items: np.ndarray, row: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        """What each item of one history (1, n) adds to the folded-in factor.

        With the weights fixed the factor is A^-1 sum_i c_i y_i: a sum over the history. Returns the item
        positions (h,) and the vectors (h, f) float64 whose sum over axis 0 is the factor of `fold_in`.
        """
        history = check_weights(row)
        if history.shape != (1, len(items)):
            raise ValueError(f"expected one history of shape (1, {len(items)}), got {history.shape}")
        Y = np.asarray(items, np.float64)
        mine, values = Y[history.indices], history.data.astype(np.float64)
        # By torch: numpy's BLAS threads spin where another process has the cores, half a second a user.
        gram = torch.mm(torch.from_numpy(Y).T, torch.from_numpy(Y)).numpy()
        A = gram + self.regularisation * np.eye(Y.shape[1]) + (mine.T * (self.alpha * values)) @ mine
        return history.indices, np.linalg.solve(A, (mine * (1 + self.alpha * values)[:, None]).T).T

    def loss(self, matrix: Observed, factors: ALSFactors) -> float:
        """The objective of the module's docstring over all m x n pairs, in float64, never forming the
        pairs.
        """
        X, Y = (torch.from_numpy(np.asarray(side, np.float64)) for side in (factors.users, factors.items))
        total = ((X.T @ X) * (Y.T @ Y)).sum()  # sum of squared scores over all pairs
        for first, rows in observed_rows(matrix):
            scores = sampled(rows, X[first : first + rows.shape[0]], Y)
            weights = 1 + self.alpha * torch.from_numpy(rows.data.astype(np.float64))
            total += (weights * (1 - scores) ** 2 - scores**2).sum()
        return float(total + self.regularisation * (X.square().sum() + Y.square().sum()))

    def _start(self, items: torch.Tensor) -> None:
        # Vectors of length about 1/3: at length 1 the first sweeps fix directions that are noise (0.2 % more
        # loss at alpha 2, lambda 1), near 0 the sweeps run out before weak directions grow (3 % more at
        # alpha 40, lambda 0.1).
        random, scale = np.random.default_rng(self.seed), np.float32(1 / 3 / np.sqrt(items.shape[1]))
        for strip in items.split(STRIP):
            noise = random.standard_normal(tuple(strip.shape), dtype=np.float32) * scale
            strip.copy_(torch.from_numpy(noise))

    def _half_sweep(self, solved: Side, fixed: Side) -> None:
        L, inverse = whiten(fixed.factors, self.regularisation, fixed.whitened)

        def work(block: Block) -> None:
            mine = solved.factors[block.rows]
            if self.solver == "cholesky":
                z = solve(block, fixed.whitened, self.alpha)
            else:
                z = approach(block, fixed.whitened, self.alpha, mine @ L, self.cg_steps)
            torch.mm(z, inverse, out=mine)

        # One block a core: blocks are too small for threads inside each product, and the same however many.
        for piece in solved.pieces():
            for_each(work, piece, solved.factors.device)


def _both_sides(matrix: Observed, transposed: Observed | None) -> tuple[Observed, Observed]:
    if transposed is None and sparse.issparse(matrix):
        matrix = check_weights(matrix)
        return matrix, matrix.T.tocsr()
    if transposed is None or tuple(transposed.shape) != tuple(matrix.shape)[::-1]:
        found = "none" if transposed is None else f"of shape {tuple(transposed.shape)}"
        raise ValueError(
            f"rows in shards of shape {tuple(matrix.shape)} need the shards of their transpose, there are "
            f"{found}: write both"
        )
    return matrix, transposed
