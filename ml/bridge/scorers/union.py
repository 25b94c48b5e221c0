"""Scorers of the union: all domains' matrices side by side, factorised as one.

UnionALS: one weighted factorisation (Hu et al. 2008); a user's factor is folded in from whatever history
there is.
JointSVD: truncated SVD of R = D_u^-1/2 X D_i^-1/2; score (x D_i^-1/2 V) V' D_i^beta (ALGORITHM.md).
Both need shared users. With the target alone they are their own twins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse

from ml.bridge.blocks.profiles import SMOOTHING, item_projection
from ml.bridge.contract import Parts, Task
from ml.bridge.histories import Histories
from ml.device import pick_device
from ml.factorize.als import WeightedALS


class UnionScorer:
    """The columns of the union: where each domain's items start."""

    domains: tuple[str, ...] = ()
    device = "auto"
    # What a user did `tau` items ago in a domain counts 1/e as much as the latest; None: all alike.
    tau: float | None = None

    def _lay_out(self, task: Task) -> sparse.csr_matrix:
        self.domains, self.device = task.domains, task.device
        self._sizes = [task.interactions[d].n_items for d in self.domains]
        return sparse.hstack([task.interactions[d].matrix() for d in self.domains], format="csr")

    def _rows(self, past: Histories) -> sparse.csr_matrix:
        return sparse.hstack([past.decayed(d, self.tau) for d in self.domains], format="csr")

    @property
    def _target_columns(self) -> slice:
        return slice(sum(self._sizes[:-1]), sum(self._sizes))

    def _split(self, positions: np.ndarray, values: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        starts = np.cumsum([0, *self._sizes])
        found = {}
        for domain, first, last in zip(self.domains, starts[:-1], starts[1:], strict=True):
            mine = (positions >= first) & (positions < last)
            found[domain] = (positions[mine] - first, values[mine])
        return found

    def _facts(self) -> dict[str, Any]:
        return {"domains": list(self.domains), "sizes": self._sizes, "device": self.device}

    def _restore_facts(self, facts: Mapping[str, Any]) -> None:
        self.domains, self._sizes, self.device = (
            tuple(facts["domains"]),
            list(facts["sizes"]),
            facts["device"],
        )


class UnionALS(UnionScorer):
    """Weighted matrix factorisation of the union."""

    def __init__(
        self, rank: int = 32, alpha: float = 10.0, regularisation: float = 100.0, iterations: int = 10
    ) -> None:
        self.settings: dict[str, Any] = {
            "rank": rank,
            "alpha": alpha,
            "regularisation": regularisation,
            "iterations": iterations,
        }

    def _als(self, seed: int = 0) -> WeightedALS:
        return WeightedALS(**self.settings, seed=seed, device=self.device)

    def fit(self, task: Task) -> Self:
        """Factorise; users without any interaction do not enter."""
        matrix = self._lay_out(task)
        self._items = self._als(task.seed).fit(matrix[np.diff(matrix.indptr) > 0]).items
        return self

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) inner products of the folded-in users with the target's items."""
        device = pick_device(self.device)
        users = torch.from_numpy(self._als().fold_in(self._items, self._rows(past))).to(device)
        return users @ torch.from_numpy(self._items[self._target_columns]).to(device).T

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """The folded-in factor is a sum over the history; so is the score."""
        positions, vectors = self._als().item_contributions(self._items, self._rows(past))
        values = vectors @ self._items[self._target_columns][items].T.astype(np.float64)
        return Parts(np.zeros(len(items)), self._split(positions, values))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The item factors of the union."""
        return self._facts(), {"items": self._items}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        self._restore_facts(facts)
        self._items = arrays["items"]
        return self


class JointSVD(UnionScorer):
    """Truncated SVD of the degree-normalised union."""

    def __init__(self, rank: int = 128, beta: float = 0.7) -> None:
        self.settings: dict[str, Any] = {"rank": rank, "beta": beta}

    def fit(self, task: Task) -> Self:
        """Factorise; V enters as item-to-item maps in and out."""
        matrix = self._lay_out(task)
        matrix = matrix[np.diff(matrix.indptr) > 0]
        self._into = item_projection(matrix, self.settings["rank"], task)
        # V D_i^beta, where `into` is (D_i + 1)^-1/2 V.
        degrees = np.asarray(matrix.sum(axis=0)).ravel()[self._target_columns]
        outward = (degrees + SMOOTHING) ** 0.5 * degrees ** self.settings["beta"]
        self._out = (self._into[self._target_columns] * outward[:, None]).astype(np.float32)
        return self

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) scores."""
        device = pick_device(self.device)
        users = torch.from_numpy(np.asarray(self._rows(past) @ self._into, np.float32)).to(device)
        return users @ torch.from_numpy(self._out).to(device).T

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """One term per past item."""
        row = self._rows(past)
        vectors = self._into[row.indices].astype(np.float64) * row.data[:, None]
        return Parts(np.zeros(len(items)), self._split(row.indices, vectors @ self._out[items].T))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The maps into and out of the factor space."""
        return self._facts(), {"into": self._into, "out": self._out}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        self._restore_facts(facts)
        self._into, self._out = arrays["into"], arrays["out"]
        return self
