"""Semantic transfer without a shared user: what texts lead to is learned inside the target, and asked of the
texts of another domain's history.

    B = argmin |(Y - mean) - (X - mean) B|^2 + ridge |B|^2

X: text profiles of one half of a target user's history; Y: the items of the other half, so that an item never
explains itself. A source's profile then takes X's place. Domains meet in `common_space`; a usual
user of the source is taken for a usual user of the target, whose list is popularity (`centred_profiles`). No
link between users is read.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import linalg, sparse

from ml.bridge.contract import Task
from ml.bridge.scorers.centred_profiles import CentredProfiles, liked_by_all, profiles, usual
from ml.bridge.scorers.similarity import text_space


class TransferredText(CentredProfiles):
    """rank, floor: of the common space. strength: of the ridge, in units of the mean variance of a feature
    over all rows, so that it means the same for a hundred users and for a million."""

    def __init__(self, strength: float = 10.0, rank: int = 128, floor: float = 0.05) -> None:
        if not strength > 0:
            raise ValueError(f"strength is {strength}: give a number above 0")
        self.strength, self.rank, self.floor = strength, rank, floor
        self.settings: dict[str, Any] = {"strength": strength, "rank": rank, "floor": floor}

    def fit(self, task: Task) -> Self:
        """Learn the map on the target's users; of the sources, texts and what is usual are read.

        Raises ValueError where the target has no text embeddings.
        """
        self._maps = text_space(task, self.rank, self.floor)
        self.domains, self.device = tuple(self._maps), task.device
        everyone = {d: liked_by_all(d, task.interactions[d]) for d in self.domains}
        self._centres = {d: usual(profiles(rows, self._maps[d])) for d, rows in everyone.items()}
        liked = everyone[task.target]
        first, second = halves(liked, task.seed)
        X = profiles(sparse.vstack([first, second], format="csr"), self._maps[task.target])
        Y = sparse.vstack([second, first], format="csr").sign()
        rows = max(X.shape[0], 1)
        means = X.sum(axis=0, dtype=np.float64) / rows, np.asarray(Y.sum(axis=0)).ravel() / rows
        X = (X - means[0]).astype(np.float32)
        gram = (X.T @ X).astype(np.float64)
        # Without a user of two items nothing is learned: the map is zero, and what is left is popularity.
        gram[np.diag_indices_from(gram)] += self.strength * np.trace(gram) / len(gram) + 1e-12
        self._map = linalg.solve(gram, np.asarray((Y.T @ X).T, np.float64), assume_a="pos").astype(np.float32)
        everybody = liked.sign().mean(axis=0)
        self._constant = np.asarray(means[1] if X.shape[0] else everybody, np.float32).ravel()
        return self


def halves(liked: sparse.csr_matrix, seed: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Two random halves of every row that has two entries or more; rows that have fewer are left out."""
    held = liked[np.diff(liked.indptr) > 1]
    rows = np.repeat(np.arange(held.shape[0]), np.diff(held.indptr))
    order = np.lexsort((np.random.default_rng(seed).random(held.nnz), rows))
    place = np.empty(held.nnz, np.int64)
    place[order] = np.arange(held.nnz) - held.indptr[rows]
    return _kept(held, rows, place % 2 == 0), _kept(held, rows, place % 2 == 1)


def _kept(held: sparse.csr_matrix, rows: np.ndarray, mask: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix((held.data[mask], (rows[mask], held.indices[mask])), shape=held.shape)
