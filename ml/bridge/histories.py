"""What is known of a batch of users at one moment: per domain, what they did, how strongly and how recently.

Every scorer reads users through this one type, in training, in evaluation and when serving, so that what is
measured is what is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ml.data import Interactions


@dataclass(frozen=True)
class Histories:
    """`weights[domain]`: (u, n_domain) CSR, interaction weights. `recency[domain]`: the same entries, holding
    the item's place in the user's sequence counted from the latest (0 = the latest)."""

    weights: Mapping[str, sparse.csr_matrix]
    recency: Mapping[str, sparse.csr_matrix]

    def __len__(self) -> int:
        return next(iter(self.weights.values())).shape[0]

    def decayed(self, domain: str, tau: float | None) -> sparse.csr_matrix:
        """(u, n) CSR: weight * exp(-recency / tau); `tau` None keeps the weights."""
        weights = self.weights[domain]
        if tau is None:
            return weights
        data = weights.data * np.exp(-self.recency[domain].data / tau)
        return _like(weights, data)

    def counts(self, domain: str) -> np.ndarray:
        """(u,) how many items of the domain each user has."""
        return np.diff(self.weights[domain].indptr)

    def rows(self, selection: np.ndarray | slice) -> Histories:
        """The users at `selection`."""
        return Histories(
            {d: m[selection] for d, m in self.weights.items()},
            {d: m[selection] for d, m in self.recency.items()},
        )

    def chunks(self, size: int) -> Iterable[tuple[slice, Histories]]:
        """The batch in slices of at most `size` users."""
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, self.rows(rows)


def histories(interactions: Mapping[str, Interactions], users: np.ndarray) -> Histories:
    """The histories of `users` (positions, (u,)) in every domain of `interactions`."""
    weights, recency = {}, {}
    for domain, log in interactions.items():
        pointers = np.concatenate([[0], np.cumsum(log.counts())])
        weights[domain] = _csr(log, log.weights, pointers)[users]
        recency[domain] = _csr(log, _places_from_latest(log, pointers), pointers)[users]
        # Both sorted by item now: a product that sorts one of them in place would part their entries.
        weights[domain].sort_indices()
        recency[domain].sort_indices()
    return Histories(weights, recency)


def past_and_next(
    log: Interactions, tau_next: float, most_rows: int
) -> tuple[np.ndarray, Histories, sparse.csr_matrix]:
    """Training rows for "what comes next": a user's log cut at each moment after the first.

    Returns the user of each row (r,), the histories before the cut under the key "" and the targets (r, n),
    the later items weighted exp(-place / tau_next), place 0 being the first after the cut. Where there are
    more than `most_rows` cuts, the latest of each user are kept.
    """
    pointers = np.concatenate([[0], np.cumsum(log.counts())])
    starts = np.zeros(len(log), dtype=bool)
    starts[1:] = (log.users[1:] == log.users[:-1]) & (log.times[1:] > log.times[:-1])
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
    weights = sparse.csr_matrix((log.weights[past], (row_past, log.items[past])), shape=shape)
    recency = sparse.csr_matrix((places_back.astype(np.float32), (row_past, log.items[past])), shape=shape)
    place = future - np.repeat(cuts, last - cuts)
    targets = sparse.csr_matrix(
        (np.exp(-place / tau_next).astype(np.float32), (row_next, log.items[future])), shape=shape
    )
    return log.users[cuts], Histories({"": weights}, {"": recency}), targets


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
