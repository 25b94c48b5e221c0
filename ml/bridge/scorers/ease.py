"""EASE on the union of domains: each item from all others by one ridge regression (Steck 2019).

    B = argmin |X - X B|^2 + ridge |B|^2   with diag(B) = 0,    score = x B

X is 1 where a user took an item. With P = (X'X + ridge I)^-1, B_ij = -P_ij / P_jj off the diagonal. Where
users are fewer than items the same B comes from the users' side, by Woodbury's identity: with
K = (XX' + ridge I)^-1 and H = X'KX, P = (I - H) / ridge and so B_ij = H_ij / (1 - H_jj). Only K is kept then,
since x B = (((x X') K) X - x diag(H)) / (1 - diag(H)).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import torch
from scipy import sparse

from ml.bridge.contract import Parts, Task, pack_csr, unpack_csr
from ml.bridge.histories import Histories
from ml.bridge.scorers.union import UnionScorer
from ml.device import pick_device

Side = Literal["auto", "items", "users"]
BLOCK_ITEMS = 1024  # items whose own share is found at once


class EASE(UnionScorer):
    """The map from the union's items to the target's.

    ridge: > 0. side: whose Gram matrix is solved; "auto" takes the smaller. most: bounds that matrix (most x
    most float32, held twice: 72 MB at 3,000). Where both items and users are more, the items with the most
    users take part and the others score 0. tau: as `UnionScorer.tau`, in the score only. ValueError for
    settings without meaning.
    """

    def __init__(
        self, ridge: float = 100.0, most: int = 3000, side: Side = "auto", tau: float | None = None
    ) -> None:
        meant = ridge > 0 and most >= 1 and side in ("auto", "items", "users")
        if not meant or (tau is not None and not tau > 0):
            raise ValueError(
                f"EASE with ridge {ridge}, most {most}, side {side!r}, tau {tau}: "
                "expected ridge > 0, most >= 1, side auto, items or users, and tau > 0 or None"
            )
        self.tau = tau
        self.settings: dict[str, Any] = {"ridge": ridge, "most": most, "side": side, "tau": tau}

    def fit(self, task: Task) -> Self:
        """Solve on the items that take part."""
        matrix = _binary(self._lay_out(task))
        matrix = matrix[np.diff(matrix.indptr) > 0]
        counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
        self._kept, side = np.flatnonzero(counts), self.settings["side"]
        if side == "auto":
            fits = matrix.shape[0] <= min(len(self._kept), self.settings["most"])
            side = "users" if fits else "items"
        if side == "items":
            # Stable: of items with equally many users the earlier ones take part.
            popular = np.argsort(-counts, kind="stable")[: min(self.settings["most"], len(self._kept))]
            self._kept = np.sort(popular)
        first = int((self._kept < self._target_columns.start).sum())
        solve = _ItemSide if side == "items" else _UserSide
        device = pick_device(self.device)
        self._map = solve.fit(matrix[:, self._kept], first, self.settings["ridge"], device)
        return self

    @property
    def _outputs(self) -> np.ndarray:
        """Positions in the target of the map's outputs."""
        first = self._target_columns.start
        return self._kept[self._kept >= first] - first

    def _rows(self, past: Histories) -> sparse.csr_matrix:
        """How strongly an item was taken is no matter here, how long ago it was may be."""
        matrices = [_binary(past.weights[d]) for d in self.domains]
        if self.tau is not None:
            for matrix, domain in zip(matrices, self.domains, strict=True):
                matrix.data = np.exp(-past.recency[domain].data / self.tau)
        return sparse.hstack(matrices, format="csr")

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) x B."""
        device = pick_device(self.device)
        scores = torch.zeros(len(past), self._sizes[-1], device=device)
        found = self._map.score(self._rows(past)[:, self._kept], device)
        scores[:, torch.from_numpy(self._outputs).to(device)] = torch.from_numpy(found).to(device)
        return scores

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """One term per past item that takes part."""
        row = self._rows(past)[:, self._kept]
        place = np.full(self._sizes[-1], -1)
        place[self._outputs] = np.arange(len(self._outputs))
        listed = place[items] >= 0
        values = np.zeros((row.nnz, len(items)))
        values[:, listed] = self._map.terms(row.indices, place[items][listed]) * row.data[:, None]
        return Parts(np.zeros(len(items)), self._split(self._kept[row.indices], values))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The items that take part and the map."""
        return self._facts(), {"kept": self._kept, **self._map.arrays()}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        self._restore_facts(facts)
        self._kept = arrays["kept"]
        self._map = _ItemSide(arrays["map"]) if "map" in arrays else _UserSide.restore(arrays)
        return self


class _ItemSide:
    """B itself: (n, o) from the n items that take part to the o outputs, the last of them."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    @classmethod
    def fit(cls, taken: sparse.csr_matrix, first: int, ridge: float, device: torch.device) -> Self:
        """taken: (m, n) of ones. first: the items before it are no outputs."""
        factor = _cholesky(taken.T @ taken, ridge, device)
        # Only the outputs' columns of the inverse are wanted: by blocks, the outputs last, half the work.
        own = torch.cholesky_inverse(factor[first:, first:])
        others = factor[first:, :first].T @ own
        others = -torch.linalg.solve_triangular(factor[:first, :first].T, others, upper=True)
        weights = torch.cat([others, own]) / -own.diagonal()
        outputs = torch.arange(len(own), device=device)
        weights[first + outputs, outputs] = 0
        # LAPACK's columns as rows: a sparse product with a map of columns would copy it every time.
        return cls(np.ascontiguousarray(weights.cpu().numpy()))

    def score(self, taken: sparse.csr_matrix, device: torch.device) -> np.ndarray:
        """(u, o) of histories (u, n)."""
        return np.asarray(taken @ self.weights, np.float32)

    def terms(self, items: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """(h, j) what each item adds to each output."""
        return self.weights[np.ix_(items, outputs)]

    def arrays(self) -> dict[str, np.ndarray]:
        """All that it is made of."""
        return {"map": self.weights}


class _UserSide:
    """B through the users: taken (m, n), K (m, m), and own (o,), the outputs' diagonal of H."""

    def __init__(self, taken: sparse.csr_matrix, inverse: np.ndarray, own: np.ndarray) -> None:
        self.taken, self.inverse, self.own = taken, inverse, own
        self.first = taken.shape[1] - len(own)

    @classmethod
    def fit(cls, taken: sparse.csr_matrix, first: int, ridge: float, device: torch.device) -> Self:
        """As `_ItemSide.fit`."""
        inverse = torch.cholesky_inverse(_cholesky(taken @ taken.T, ridge, device)).cpu().numpy()
        columns, own = taken.T.tocsr()[first:], np.zeros(taken.shape[1] - first, np.float32)
        for start in range(0, len(own), BLOCK_ITEMS):
            block = columns[start : start + BLOCK_ITEMS]
            own[start : start + BLOCK_ITEMS] = np.asarray(block.multiply(block @ inverse).sum(axis=1)).ravel()
        return cls(taken, inverse, own)

    def score(self, taken: sparse.csr_matrix, device: torch.device) -> np.ndarray:
        """As `_ItemSide.score`."""
        shared = torch.from_numpy((taken @ self.taken.T).toarray()).to(device)
        through = (shared @ torch.from_numpy(self.inverse).to(device)).cpu().numpy()
        reached = (self.taken[:, self.first :].T @ through.T).T
        return np.asarray((reached - taken[:, self.first :].multiply(self.own)) / (1 - self.own), np.float32)

    def terms(self, items: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """As `_ItemSide.terms`."""
        through = self.taken[:, items].T @ self.inverse
        reached = (self.taken[:, self.first + outputs].T @ through.T).T / (1 - self.own[outputs])
        return np.where(items[:, None] == self.first + outputs, 0, reached)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that it is made of."""
        return {"inverse": self.inverse, "own": self.own, **pack_csr("taken", self.taken)}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `arrays`."""
        return cls(unpack_csr("taken", arrays), arrays["inverse"], arrays["own"])


def _binary(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    ones = np.ones(matrix.nnz, np.float32)
    return sparse.csr_matrix((ones, matrix.indices, matrix.indptr), shape=matrix.shape)


def _cholesky(gram: sparse.csr_matrix, ridge: float, device: torch.device) -> torch.Tensor:
    dense = torch.from_numpy(gram.toarray().astype(np.float32)).to(device)
    dense.diagonal().add_(ridge)
    return torch.linalg.cholesky(dense)
