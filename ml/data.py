"""The training data as arrays: a snapshot of every domain's interactions before one moment.

External ids become integer positions once, here; every model, metric and index speaks positions and the
snapshot carries the maps back. One user space serves all domains (shared ids), one item space per domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ml.reviews import Reviews
from ml.user_attributes import UserAttributes

if TYPE_CHECKING:
    from ml.retrieval.filters import ItemAttributes


@dataclass(frozen=True)
class Catalogue:
    """One domain's items.

    item_ids: (n,) unicode array, sorted. titles: (n,) object array, None where the item has no text.
    text_hashes: (n,) object array, None where the item has no text.
    vectors: (n, d) float32, L2-normalised text embeddings, zero rows where there is no text; None before
    embedding. modalities: name -> (n, d) float32, further vectors of any length (images, audio, behaviour),
    zero rows where an item has none. attributes: what lists are filtered by; None where nothing is known.
    """

    item_ids: np.ndarray
    titles: np.ndarray
    text_hashes: np.ndarray
    vectors: np.ndarray | None = None
    modalities: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: ItemAttributes | None = None

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def has_vector(self) -> np.ndarray:
        """(n,) bool: the items that have a text embedding."""
        if self.vectors is None:
            return np.zeros(len(self), dtype=bool)
        return np.abs(self.vectors).sum(axis=1) > 0


@dataclass(frozen=True)
class Interactions:
    """One domain's interactions, sorted by user, then time, then item; at most one per user and item.

    users, items: (m,) int32 positions. weights: (m,) float32 > 0. times: (m,) int64, microseconds since
    epoch UTC. reviews: what users wrote with them; None where the log has no text. attributes: what the
    domain knows of its users besides; None where that is nothing.
    """

    users: np.ndarray
    items: np.ndarray
    weights: np.ndarray
    times: np.ndarray
    n_users: int
    n_items: int
    reviews: Reviews | None = None
    attributes: UserAttributes | None = None

    def __len__(self) -> int:
        return len(self.users)

    def select(self, mask: np.ndarray) -> Interactions:
        """The interactions where `mask` (m,) is true."""
        return replace(
            self,
            users=self.users[mask],
            items=self.items[mask],
            weights=self.weights[mask],
            times=self.times[mask],
            reviews=None if self.reviews is None else self.reviews.select(mask),
        )

    def before(self, time: int) -> Interactions:
        """The interactions strictly before `time` (microseconds since epoch)."""
        return self.select(self.times < time)

    def since(self, time: int) -> Interactions:
        """The interactions at or after `time` (microseconds since epoch)."""
        return self.select(self.times >= time)

    def of_users(self, users: np.ndarray) -> Interactions:
        """The interactions of the users where `users` (n_users,) bool is true, and what is known of them."""
        kept = self.select(users[self.users])
        return kept if self.attributes is None else replace(kept, attributes=self.attributes.of_users(users))

    def first(self, most: int | np.ndarray) -> Interactions:
        """The first `most` interactions of every user; (n_users,) gives each user a number of its own."""
        return self.select(self._place() < np.broadcast_to(most, self.n_users)[self.users])

    def after_first(self, fewest: int | np.ndarray) -> Interactions:
        """What `first` leaves out."""
        return self.select(self._place() >= np.broadcast_to(fewest, self.n_users)[self.users])

    def _place(self) -> np.ndarray:
        """(m,) each interaction's place in its user's sequence, from 0."""
        starts = np.cumsum(self.counts()) - self.counts()
        return np.arange(len(self)) - starts[self.users]

    def matrix(self, values: np.ndarray | None = None) -> sparse.csr_matrix:
        """(n_users, n_items) CSR, float32; `values` (m,) in place of the weights."""
        data = self.weights if values is None else values
        shape = (self.n_users, self.n_items)
        return sparse.csr_matrix((data.astype(np.float32), (self.users, self.items)), shape=shape)

    def counts(self) -> np.ndarray:
        """(n_users,) number of interactions of each user."""
        return np.bincount(self.users, minlength=self.n_users)


@dataclass(frozen=True)
class Snapshot:
    """Everything a model may read: all domains before `as_of` (microseconds since epoch UTC).

    users: (n_users,) sorted unicode array, shared by all domains. digest: SHA-256 of the content.
    """

    users: np.ndarray
    catalogues: Mapping[str, Catalogue]
    interactions: Mapping[str, Interactions]
    as_of: int
    digest: str = ""

    @property
    def domains(self) -> list[str]:
        """Domain names, sorted."""
        return sorted(self.catalogues)

    def with_vectors(self, vectors: Mapping[str, np.ndarray]) -> Snapshot:
        """The same snapshot with text embeddings, one (n_items, d) float32 matrix per domain."""
        catalogues = {d: replace(cat, vectors=vectors.get(d)) for d, cat in self.catalogues.items()}
        return replace(self, catalogues=catalogues)

    def with_modalities(self, modalities: Mapping[str, Mapping[str, np.ndarray]]) -> Snapshot:
        """The same snapshot with further vectors: domain -> name -> (n_items, d) float32."""
        catalogues = {
            d: replace(cat, modalities=dict(modalities.get(d, {}))) for d, cat in self.catalogues.items()
        }
        return replace(self, catalogues=catalogues)

    def with_review_vectors(self, vectors: Mapping[str, np.ndarray], encoder: str) -> Snapshot:
        """The same snapshot with its reviews' embeddings by the key `encoder`: domain -> (r, d) float32."""
        logs = dict(self.interactions)
        for domain, found in vectors.items():
            reviews = logs[domain].reviews
            if reviews is not None:
                embedded = replace(reviews, vectors=found, encoder=encoder)
                logs[domain] = replace(logs[domain], reviews=embedded)
        return replace(self, interactions=logs)

    def with_interactions(self, **domains: Interactions) -> Snapshot:
        """The same snapshot with the interactions of the named domains replaced."""
        return replace(self, interactions={**self.interactions, **domains})
