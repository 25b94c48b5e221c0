"""What is known of a batch of users at one moment: per domain, what they did, how strongly and how recently.

Every scorer reads users through this one type, in training, in evaluation and when serving, so that what is
measured is what is served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import sparse

from ml.data import Interactions


@dataclass(frozen=True)
class Histories:
    """`weights[domain]`: (u, n_domain) CSR, interaction weights. `recency[domain]`: the same entries, holding
    the item's place in the user's sequence counted from the latest (0 = the latest).

    Where a log has reviews, the same entries again: `taste`, how much the user liked the item, in [0, 1], and
    `reviews`, one more than the row of `review_vectors` (r, d) that holds what the user wrote (0 = nothing).

    `attributes`: (u, v) CSR of ones, which of the domain's `attribute_names` (v) hold of the user.
    """

    weights: Mapping[str, sparse.csr_matrix]
    recency: Mapping[str, sparse.csr_matrix]
    taste: Mapping[str, sparse.csr_matrix] = field(default_factory=dict)
    reviews: Mapping[str, sparse.csr_matrix] = field(default_factory=dict)
    review_vectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, sparse.csr_matrix] = field(default_factory=dict)
    attribute_names: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return next(iter(self.weights.values())).shape[0]

    def decayed(self, domain: str, tau: float | None) -> sparse.csr_matrix:
        """(u, n) CSR: weight * exp(-recency / tau); `tau` None keeps the weights."""
        weights = self.weights[domain]
        if tau is None:
            return weights
        data = weights.data * np.exp(-self.recency[domain].data / tau)
        return _like(weights, data)

    def liked(self, domain: str, tau: float | None) -> sparse.csr_matrix:
        """`decayed`, times the taste where reviews tell it: what a user disliked is not what they like."""
        weights = self.decayed(domain, tau)
        taste = self.taste.get(domain)
        return weights if taste is None else _like(weights, weights.data * taste.data)

    def counts(self, domain: str) -> np.ndarray:
        """(u,) how many items of the domain each user has."""
        return np.diff(self.weights[domain].indptr)

    def rows(self, selection: np.ndarray | slice) -> Histories:
        """The users at `selection`."""
        return self.changed(lambda matrix: matrix[selection])

    def changed(self, change: Callable[[sparse.csr_matrix], sparse.csr_matrix]) -> Histories:
        """Every matrix changed in the same way."""
        names = ("weights", "recency", "taste", "reviews", "attributes")
        return replace(self, **{n: {d: change(m) for d, m in getattr(self, n).items()} for n in names})

    def chunks(self, size: int) -> Iterable[tuple[slice, Histories]]:
        """The batch in slices of at most `size` users."""
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, self.rows(rows)


def histories(interactions: Mapping[str, Interactions], users: np.ndarray) -> Histories:
    """The histories of `users` (positions, (u,)) in every domain of `interactions`."""
    found: dict[str, dict[str, sparse.csr_matrix]] = {
        "weights": {},
        "recency": {},
        "taste": {},
        "reviews": {},
    }
    for domain, log in interactions.items():
        pointers = np.concatenate([[0], np.cumsum(log.counts())])
        entries = {"weights": log.weights, "recency": _places_from_latest(log, pointers), **_said(log)}
        for name, data in entries.items():
            matrix = _csr(log, data, pointers)[users]
            # All sorted by item now: a product that sorts one of them in place would part their entries.
            matrix.sort_indices()
            found[name][domain] = matrix
    return Histories(**found, review_vectors=_vectors(interactions), **_known(interactions, users))


def past_and_next(
    log: Interactions, tau_next: float, most_rows: int, domain: str = ""
) -> tuple[np.ndarray, Histories, sparse.csr_matrix]:
    """Training rows for "what comes next": a user's log cut before each item but the first.

    Items of one moment are cut too, in the log's order: what is taken together tells of each other.

    Returns the user of each row (r,), the histories before the cut under the key `domain` and the targets
    (r, n), the later items weighted exp(-place / tau_next), place 0 being the first after the cut. Where
    there are more than `most_rows` cuts, the latest of each user are kept.
    """
    pointers = np.concatenate([[0], np.cumsum(log.counts())])
    starts = np.zeros(len(log), dtype=bool)
    starts[1:] = log.users[1:] == log.users[:-1]
    cuts = np.flatnonzero(starts)
    if len(cuts) > most_rows:
        from_end = pointers[log.users[cuts] + 1] - cuts
        cuts = np.sort(cuts[np.argsort(from_end, kind="stable")[:most_rows]])
    first, last = pointers[log.users[cuts]], pointers[log.users[cuts] + 1]
    past, places_back = _spans(first, cuts)
    future, _ = _spans(cuts, last)
    row_past, row_next = (
        np.repeat(np.arange(len(cuts)), cuts - first),
        np.repeat(np.arange(len(cuts)), last - cuts),
    )
    shape = (len(cuts), log.n_items)
    entries = {"weights": log.weights[past], "recency": places_back.astype(np.float32)}
    entries |= {name: data[past] for name, data in _said(log).items()}
    cells = (row_past, log.items[past])
    found = {name: {domain: sparse.csr_matrix((data, cells), shape=shape)} for name, data in entries.items()}
    place = future - np.repeat(cuts, last - cuts)
    targets = sparse.csr_matrix(
        (np.exp(-place / tau_next).astype(np.float32), (row_next, log.items[future])), shape=shape
    )
    rows, logs = log.users[cuts], {domain: log}
    return rows, Histories(**found, review_vectors=_vectors(logs), **_known(logs, rows)), targets


def _known(interactions: Mapping[str, Interactions], users: np.ndarray) -> dict[str, Any]:
    """The fields of Histories that users' attributes fill."""
    known = {domain: log.attributes for domain, log in interactions.items() if log.attributes is not None}
    return {
        "attributes": {domain: attributes.held[users] for domain, attributes in known.items()},
        "attribute_names": {domain: attributes.names for domain, attributes in known.items()},
    }


def _said(log: Interactions) -> dict[str, np.ndarray]:
    """The entries of a log that reviews add."""
    if log.reviews is None:
        return {}
    found = {"taste": log.reviews.taste}
    if log.reviews.vectors is not None:
        found["reviews"] = np.where(log.reviews.embedded, log.reviews.rows + 1, 0).astype(np.int32)
    return found


def _vectors(interactions: Mapping[str, Interactions]) -> dict[str, np.ndarray]:
    held = {domain: log.reviews.vectors for domain, log in interactions.items() if log.reviews is not None}
    return {domain: vectors for domain, vectors in held.items() if vectors is not None}


def _spans(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the half-open spans, concatenated, and each one's distance to its span's last element."""
    lengths = last - first
    offsets = np.repeat(np.cumsum(lengths) - lengths, lengths)
    within = np.arange(lengths.sum()) - offsets
    return np.repeat(first, lengths) + within, np.repeat(lengths, lengths) - 1 - within


def _places_from_latest(log: Interactions, pointers: np.ndarray) -> np.ndarray:
    return (pointers[log.users + 1] - 1 - np.arange(len(log))).astype(np.float32)


def _csr(log: Interactions, data: np.ndarray, pointers: np.ndarray) -> sparse.csr_matrix:
    # Built from pointers, not from coordinates: a recency of 0 must stay a stored entry.
    return sparse.csr_matrix((data, log.items, pointers), shape=(log.n_users, log.n_items))


def _like(matrix: sparse.csr_matrix, data: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix((data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
