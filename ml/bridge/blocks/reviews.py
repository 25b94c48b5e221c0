"""What users wrote, as blocks: a user's own reviews, and items described by what others say of them.

Only the task's interactions are read, so that a hidden user's reviews stay hidden with the user. Reviews
count by the weight of their event times the taste they express: a complaint tells little of what is liked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from scipy import sparse

from ml.bridge.blocks.profiles import TextProfile, row_norms
from ml.bridge.contract import Task
from ml.bridge.histories import Histories
from ml.data import Interactions
from ml.text.alignment.whitening import Whitening, moments, whitened


class ReviewProfile:
    """Mean of the vectors of what the user wrote about past items, centred and whitened per domain."""

    kind = "review_profile"

    def __init__(self, domain: str, rank: int = 128, tau: float | None = None, floor: float = 0.05) -> None:
        self.domain = domain
        self.settings: dict[str, Any] = {"domain": domain, "rank": rank, "tau": tau, "floor": floor}

    def fit(self, task: Task) -> Self:
        """Learn the whitening from the visible reviews; below two of them the block says nothing.

        Raises ValueError where the reviews have no vectors.
        """
        log, rank, floor = task.interactions[self.domain], self.settings["rank"], self.settings["floor"]
        key = ("review_whitening", rank, floor)
        self._mean, self._map = task.remember(log, key, lambda: _projection(log, self.domain, rank, floor))
        return self

    def _entries(self, past: Histories) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
        """Weights (u, n) of reviewed items, the review of each entry (e,), the reviews' features (r, w)."""
        liked, reviews = past.liked(self.domain, self.settings["tau"]), past.reviews.get(self.domain)
        if reviews is None:  # a log without reviews: users of whom none is known
            empty = sparse.csr_matrix(liked.shape, dtype=np.float32)
            return empty, np.zeros(0, int), np.zeros((0, self._map.shape[1]), np.float32)
        used, rows = np.unique(reviews.data[reviews.data > 0] - 1, return_inverse=True)
        held = reviews.data > 0
        pointers = np.concatenate([[0], np.cumsum(held)])[liked.indptr]
        entries = sparse.csr_matrix((liked.data[held], liked.indices[held], pointers), shape=liked.shape)
        projected = (past.review_vectors[self.domain][used] - self._mean) @ self._map
        return entries, rows, projected

    def encode(self, past: Histories) -> np.ndarray:
        """(u, width) features, L2-normalised per user."""
        entries, rows, projected = self._entries(past)
        by_review = sparse.csr_matrix((entries.data, rows, entries.indptr), shape=(len(past), len(projected)))
        features = by_review @ projected
        return (features / row_norms(features)).astype(np.float32)

    def items(self, past: Histories) -> tuple[np.ndarray, np.ndarray]:
        """One row per past item with a review, over the user's norm."""
        entries, rows, projected = self._entries(past)
        features = projected[rows].astype(np.float64) * entries.data[:, None]
        return entries.indices, features / row_norms(features.sum(axis=0, keepdims=True))

    def arrays(self) -> dict[str, np.ndarray]:
        """The whitening."""
        return {"mean": self._mean, "map": self._map}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `arrays`."""
        self._mean, self._map = arrays["mean"], arrays["map"]
        return self


class ReviewedText(TextProfile):
    """The text profile with items described by their document and by what users wrote of them.

    document_worth: how many reviews an item's document counts for.
    """

    kind = "reviewed_text"

    def __init__(
        self,
        domain: str,
        rank: int = 128,
        tau: float | None = None,
        floor: float = 0.05,
        document_worth: float = 5.0,
    ) -> None:
        super().__init__(domain, rank, tau, floor)
        self.settings["document_worth"] = self.document_worth = document_worth

    def fit(self, task: Task) -> Self:
        """Fuse documents with the visible reviews, then whiten."""
        log, documents = task.interactions[self.domain], task.catalogues[self.domain].vectors
        key = ("reviewed", self.rank, self.floor, self.document_worth)
        self._map = task.remember(
            log, key, lambda: whitened(fused(log, documents, self.document_worth), self.rank, self.floor)
        )
        return self


def fused(log: Interactions, documents: np.ndarray | None, document_worth: float) -> np.ndarray:
    """(n_items, d) unit rows: document * worth + the item's reviews, by weight and taste; zero without both.

    documents: (n_items, d), or None where the domain has no text but reviews. Raises ValueError where the
    reviews have no vectors.
    """
    reviews = log.reviews
    if reviews is None or reviews.vectors is None:
        raise ValueError("there are no review vectors to describe items by: materialise review_embeddings")
    held = reviews.embedded
    shares = sparse.csr_matrix(
        ((log.weights * reviews.taste)[held], (log.items[held], reviews.rows[held])),
        shape=(log.n_items, len(reviews.vectors)),
    )
    total = np.asarray(shares @ reviews.vectors, dtype=np.float32)
    if documents is not None:
        total += np.float32(document_worth) * documents
    return total / row_norms(total)


def _projection(log: Interactions, domain: str, rank: int, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and map (d, width) of the whitening of the log's reviews, float32."""
    reviews = log.reviews
    if reviews is None or reviews.vectors is None:
        raise ValueError(f"{domain} has no review vectors: materialise review_embeddings first")
    found = moments(reviews.vectors[np.unique(reviews.rows[reviews.embedded])])
    width = min(rank, reviews.vectors.shape[1])
    if found.rows < 2:
        return np.zeros(reviews.vectors.shape[1], np.float32), np.zeros(
            (reviews.vectors.shape[1], width), np.float32
        )
    learned = Whitening.fit(found, rank, floor)
    return learned.mean.astype(np.float32), (learned.axes / learned.scales / np.sqrt(width)).astype(
        np.float32
    )
