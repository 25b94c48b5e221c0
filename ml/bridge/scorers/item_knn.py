"""Item-kNN on the union of domains: an item is recommended for being taken with what the user has taken.

Sarwar et al. (2001) with the shrinkage of Bell & Koren (2007):

    s_ij = x_i . x_j / (|x_i| |x_j| + shrink),    score_j = sum over the user's items i of w_i s_ij

x_i is the item's column of users. Of each target item only its `neighbours` most similar items of every
domain count. They are chosen domain by domain, since those of the target alone would say nothing to a user
who is known elsewhere only.
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
from ml.factorize.normalise import tf_idf

# Similarities computed at once, as if they were all above 0: 256 MiB with their positions.
CHUNK_NUMBERS = 1 << 24


class ItemKNN(UnionScorer):
    """Neighbours among the union's items. similarity: "cosine" of the interaction weights, or "tf_idf", where
    a user of many items says less about each. tau: as `UnionScorer.tau`. ValueError for settings without
    meaning.
    """

    def __init__(
        self,
        neighbours: int = 100,
        shrink: float = 10.0,
        similarity: Literal["cosine", "tf_idf"] = "cosine",
        tau: float | None = None,
    ) -> None:
        meant = neighbours >= 1 and shrink >= 0 and similarity in ("cosine", "tf_idf")
        if not meant or (tau is not None and not tau > 0):
            raise ValueError(
                f"item-kNN with neighbours {neighbours}, shrink {shrink}, similarity {similarity!r}, "
                f"tau {tau}: expected neighbours >= 1, shrink >= 0, similarity cosine or tf_idf, and tau > 0 "
                "or None"
            )
        self.tau = tau
        self.settings: dict[str, Any] = {
            "neighbours": neighbours,
            "shrink": shrink,
            "similarity": similarity,
            "tau": tau,
        }

    def fit(self, task: Task) -> Self:
        """Find the neighbours of every target item."""
        matrix = self._lay_out(task)
        if self.settings["similarity"] == "tf_idf":
            # Users are the terms that describe an item.
            matrix = sparse.csr_matrix(tf_idf(matrix.T.tocsr()).matrix.T)
        columns = matrix.tocsc()
        first = self._target_columns.start
        step = max(1, CHUNK_NUMBERS // max(matrix.shape[1], 1))
        found = [
            self._neighbours(columns, np.arange(start, min(start + step, matrix.shape[1])))
            for start in range(first, matrix.shape[1], step)
        ]
        empty = sparse.csc_matrix((matrix.shape[1], 0), dtype=np.float32)
        self._similar = sparse.hstack([empty, *found], format="csr", dtype=np.float32)
        return self

    def _neighbours(self, matrix: sparse.csc_matrix, asked: np.ndarray) -> sparse.csc_matrix:
        """(n, asked) the similarities that count."""
        lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0))).ravel()
        similar = sparse.csc_matrix(matrix.T @ matrix[:, asked])
        column = np.repeat(np.arange(len(asked)), np.diff(similar.indptr))
        row = similar.indices
        values = similar.data / (lengths[row] * lengths[asked[column]] + self.settings["shrink"])
        domain = np.searchsorted(np.cumsum(self._sizes), row, side="right")
        kept = np.flatnonzero((row != asked[column]) & (values > 0))
        groups = (column * len(self._sizes) + domain)[kept]
        kept = kept[_largest(values[kept], groups, self.settings["neighbours"])]
        entries = values[kept].astype(np.float32), (row[kept], column[kept])
        return sparse.csc_matrix(entries, shape=similar.shape)

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) sums of similarities."""
        scores = sparse.csr_matrix(self._rows(past) @ self._similar).toarray()
        return torch.from_numpy(scores.astype(np.float32)).to(pick_device(self.device))

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """One term per past item."""
        row = self._rows(past)
        values = self._similar[row.indices][:, items].toarray().astype(np.float64) * row.data[:, None]
        return Parts(np.zeros(len(items)), self._split(row.indices, values))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The similarities that count."""
        return self._facts(), pack_csr("similar", self._similar)

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        self._restore_facts(facts)
        self._similar = unpack_csr("similar", arrays)
        return self


def _largest(values: np.ndarray, groups: np.ndarray, most: int) -> np.ndarray:
    """Where the `most` largest values of each group stand; ties go to the earlier entry."""
    sizes = np.bincount(groups) if len(groups) else np.zeros(0, np.int64)
    crowded = sizes[groups] > most
    # Sorting is most of a fit, and few items have so many neighbours.
    part = np.flatnonzero(crowded)
    order = part[np.lexsort((part, -values[part], groups[part]))]
    sizes = np.where(sizes > most, sizes, 0)
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.concatenate([np.flatnonzero(~crowded), order[place < most]])
