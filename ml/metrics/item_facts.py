"""What must be known of a catalogue to say what a list is like, beside whether it hits: how well known each
item is, and which items are alike.

Both describe everything before as-of; nothing of it is shown to a model that is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from ml.data import Catalogue, Interactions
from ml.factorize.normalise import degree
from ml.factorize.svd import truncated_svd

RANK = 32  # of the factors that stand in where items have no text
SVD_TOLERANCE = 0.1


@dataclass(frozen=True)
class ItemFacts:
    """counts: (n,) users who have each item. users: how many users the domain has.

    vectors: (n, d) float32 of length 1, centred on the catalogue, so that two items drawn at random have a
    cosine near 0; zero rows where nothing is known of an item.
    """

    counts: np.ndarray
    users: int
    vectors: np.ndarray

    @classmethod
    def of(cls, catalogue: Catalogue, log: Interactions, seed: int = 0, device: str = "auto") -> ItemFacts:
        """Facts of a domain: likeness by text where most items have one, else by who has the item."""
        counts = np.bincount(log.items, minlength=len(catalogue))
        texted = catalogue.has_vector
        if catalogue.vectors is not None and 2 * texted.sum() >= len(catalogue):
            return cls(counts, int((log.counts() > 0).sum()), _centred(catalogue.vectors))
        return cls(counts, int((log.counts() > 0).sum()), _centred(_factors(log, seed, device)))

    @cached_property
    def surprise(self) -> np.ndarray:
        """(n,) bits: -log2 of the share of users who have the item; nobody's item counts as one user's."""
        return -np.log2(np.maximum(self.counts, 1) / max(self.users, 1))

    @cached_property
    def fame(self) -> np.ndarray:
        """(n,) in [0, 1]: the bits that an item lacks to the most surprising one, as a share of those.

        Percentiles do not tell the items apart that fill most lists: the head of a long tail is all .99.
        """
        most = self.surprise.max(initial=0.0)
        return 1 - self.surprise / most if most > 0 else np.ones(len(self.counts))

    @cached_property
    def percentile(self) -> np.ndarray:
        """(n,) in (0, 1): the share of the catalogue that is less popular, ties by half; .5 on average."""
        return (stats.rankdata(self.counts) - 0.5) / max(len(self.counts), 1)


def _factors(log: Interactions, seed: int, device: str) -> np.ndarray:
    """(n, r) of the degree-normalised log's SVD, so that the cosine is near that of the items' users."""
    if not len(log):
        return np.zeros((log.n_items, 1))
    matrix = degree(log.matrix()).matrix
    svd = truncated_svd(matrix, RANK, seed=seed, tolerance=SVD_TOLERANCE, device=device)
    return svd.v * svd.s


def _centred(vectors: np.ndarray) -> np.ndarray:
    """Zero rows stay zero, and so do those that do not leave the mean."""
    known = np.abs(vectors).sum(axis=1) > 0
    apart = np.zeros(vectors.shape)
    if known.any():
        apart[known] = vectors[known] - vectors[known].mean(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(apart, axis=1, keepdims=True)
    return np.divide(apart, lengths, out=np.zeros_like(apart), where=lengths > 1e-6).astype(np.float32)
