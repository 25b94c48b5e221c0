"""Blocks: the groups of user features that a ridge bridge reads. Adding a source's block is the transfer.

A block turns histories into features that are a sum over the past items, divided by one number per user: so a
score can be taken apart again by item.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from scipy import sparse

from ml.bridge.contract import Task
from ml.bridge.histories import Histories
from ml.factorize.als import WeightedALS
from ml.factorize.normalise import degree
from ml.factorize.svd import truncated_svd
from ml.text.alignment.whitening import whitened

# Residuals of a tenth of the last singular value: lists do not change below that, and it is several times
# faster.
SVD_TOLERANCE = 0.1
# An event added to every count of a degree normalisation: without it each island of a sparse log, often one
# user with one item, has a singular value of 1 and a factor of its own. Chosen on validation users.
SMOOTHING = 1.0


class Block(Protocol):
    """One group of features."""

    kind: ClassVar[str]
    domain: str

    @property
    def settings(self) -> dict[str, Any]:
        """Keyword arguments that make this block again."""

    def fit(self, task: Task) -> Self:
        """Learn the item side (factors, whitening) from the task."""

    def encode(self, past: Histories) -> np.ndarray | sparse.csr_matrix:
        """(u, width) float32 features."""

    def items(self, past: Histories) -> tuple[np.ndarray, np.ndarray]:
        """For the one user in `past`: positions (h,) and features (h, width) that sum to `encode`'s row."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What `fit` learned."""

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `arrays`."""


class LinearBlock:
    """features = normalise(decayed history (u, n) @ item map (n, width))."""

    def __init__(self, domain: str, tau: float | None = None, **settings: Any) -> None:
        self.domain, self.tau = domain, tau
        self.settings = {"domain": domain, "tau": tau, **settings}

    def _past(self, past: Histories) -> sparse.csr_matrix:
        return past.decayed(self.domain, self.tau)

    def encode(self, past: Histories) -> np.ndarray:
        """(u, width) features, L2-normalised per user."""
        features = self._past(past) @ self._map
        return (features / row_norms(features)).astype(np.float32)

    def items(self, past: Histories) -> tuple[np.ndarray, np.ndarray]:
        """One row per past item, over the user's norm."""
        row = self._past(past)
        features = self._of(row.indices).astype(np.float64) * row.data[:, None]
        return row.indices, features / row_norms(features.sum(axis=0, keepdims=True))

    def _of(self, items: np.ndarray) -> np.ndarray:
        """(h, width) the map's rows of these items."""
        return self._map[items]

    def arrays(self) -> dict[str, np.ndarray]:
        """The item map."""
        return {"map": self._map}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `arrays`."""
        self._map = arrays["map"]
        return self


class SVDFactors(LinearBlock):
    """History projected on the domain's truncated-SVD item factors."""

    kind = "svd_factors"

    def __init__(self, domain: str, rank: int = 64, tau: float | None = None) -> None:
        super().__init__(domain, tau, rank=rank)
        self.rank = rank

    def fit(self, task: Task) -> Self:
        """Factors of the degree-normalised matrix of the domain."""
        log = task.interactions[self.domain]
        key = ("svd", self.rank, task.seed)
        self._map = task.remember(log, key, lambda: item_projection(log.matrix(), self.rank, task))
        return self


class TextProfile(LinearBlock):
    """Mean of the history items' text embeddings, centred and whitened per domain (ALGORITHM.md).

    Where reviews tell that a user disliked an item, its text does not count as the user's taste.
    """

    kind = "text_profile"

    def __init__(self, domain: str, rank: int = 128, tau: float | None = None, floor: float = 0.05) -> None:
        super().__init__(domain, tau, rank=rank, floor=floor)
        self.rank, self.floor = rank, floor

    def _past(self, past: Histories) -> sparse.csr_matrix:
        return past.liked(self.domain, self.tau)

    def fit(self, task: Task) -> Self:
        """Whiten the catalogue's embeddings; items without text contribute nothing."""
        vectors = task.catalogues[self.domain].vectors
        if vectors is None:
            raise ValueError(f"{self.domain} has no text embeddings: materialise item_embeddings first")
        key = ("whitened", self.rank, self.floor)
        self._map = task.remember(vectors, key, lambda: whitened(vectors, self.rank, self.floor))
        return self


class TargetHistory:
    """The target items themselves, one column each, recency-decayed; items seen fewer than `least` times are
    left to the other blocks, which keeps the solve small."""

    kind = "target_history"

    def __init__(self, domain: str, tau: float = 3.0, least: int = 5, most: int = 3000) -> None:
        self.domain = domain
        self.settings: dict[str, Any] = {"domain": domain, "tau": tau, "least": least, "most": most}

    def fit(self, task: Task) -> Self:
        """Choose the columns: the items seen most, at most `most` of them."""
        log = task.interactions[self.domain]
        counts = np.bincount(log.items, minlength=log.n_items)
        chosen = np.argsort(-counts, kind="stable")[: self.settings["most"]]
        self._columns = np.sort(chosen[counts[chosen] >= self.settings["least"]]).astype(np.int32)
        return self

    def encode(self, past: Histories) -> sparse.csr_matrix:
        """(u, width) sparse features."""
        return past.decayed(self.domain, self.settings["tau"])[:, self._columns]

    def items(self, past: Histories) -> tuple[np.ndarray, np.ndarray]:
        """One row per past item that has a column."""
        row = past.decayed(self.domain, self.settings["tau"])
        place = np.searchsorted(self._columns, row.indices).clip(max=max(len(self._columns) - 1, 0))
        known = np.isin(row.indices, self._columns)
        features = np.zeros((known.sum(), len(self._columns)))
        features[np.arange(known.sum()), place[known]] = row.data[known]
        return row.indices[known], features

    def arrays(self) -> dict[str, np.ndarray]:
        """The columns."""
        return {"columns": self._columns}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `arrays`."""
        self._columns = arrays["columns"]
        return self


class ALSUserFactors:
    """The user's folded-in factor of the domain's weighted factorisation, over all users' RMS norm."""

    kind = "als_factors"

    def __init__(
        self,
        domain: str,
        rank: int = 64,
        alpha: float = 10.0,
        regularisation: float = 10.0,
        iterations: int = 10,
    ) -> None:
        self.domain = domain
        self.settings: dict[str, Any] = {
            "domain": domain,
            "rank": rank,
            "alpha": alpha,
            "regularisation": regularisation,
            "iterations": iterations,
        }

    def _als(self, seed: int = 0, device: str = "auto") -> WeightedALS:
        facts = {key: value for key, value in self.settings.items() if key != "domain"}
        return WeightedALS(**facts, seed=seed, device=device)

    def fit(self, task: Task) -> Self:
        """Factorise the domain's users that have a history."""
        log = task.interactions[self.domain]
        matrix, als = log.matrix(), self._als(task.seed, task.device)
        factors = task.remember(log, als, lambda: als.fit(matrix[np.diff(matrix.indptr) > 0]))
        scale = np.sqrt(np.square(factors.users).sum(axis=1).mean()) if len(factors.users) else 1.0
        self._items, self._scale = factors.items, np.array([max(float(scale), 1e-12)], np.float32)
        return self

    def encode(self, past: Histories) -> np.ndarray:
        """(u, rank) factors."""
        return self._als().fold_in(self._items, past.weights[self.domain]) / self._scale

    def items(self, past: Histories) -> tuple[np.ndarray, np.ndarray]:
        """The fold-in is a sum over the history."""
        positions, vectors = self._als().item_contributions(self._items, past.weights[self.domain])
        return positions, vectors / self._scale

    def arrays(self) -> dict[str, np.ndarray]:
        """Item factors and scale."""
        return {"items": self._items, "scale": self._scale}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `arrays`."""
        self._items, self._scale = arrays["items"], arrays["scale"]
        return self


def item_projection(matrix: sparse.csr_matrix, rank: int, task: Task) -> np.ndarray:
    """(n, rank) (D_i + 1)^-1/2 V of the degree-normalised truncated SVD: projects histories on it."""
    normalised = degree(matrix, smoothing=SMOOTHING)
    svd = truncated_svd(normalised.matrix, rank, seed=task.seed, tolerance=SVD_TOLERANCE, device=task.device)
    return (svd.v * normalised.items[:, None]).astype(np.float32)


def row_norms(features: np.ndarray) -> np.ndarray:
    """(u, 1) L2 norms to divide by; 1 for a row of zeros."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.where(norms > 0, norms, 1.0)
