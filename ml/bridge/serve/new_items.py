"""Room for new items: the last places of a list, for what no list would hold otherwise.

Items without a past score next to nothing in the models of the cohorts, so they stay without a past. Those
who want them seen give them a fixed number of places, and are told what that costs (`reranked.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ml.bridge.serve.reasons import Support

NEW = "new item: from its text"


@dataclass(frozen=True)
class NewItems:
    """mask: (n,) bool, the items with text that nobody had touched when the model was fitted. slots: how many
    places of a list they get, never the first one."""

    mask: np.ndarray
    slots: int

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError(f"{self.slots} slots for new items: give at least 1, or none at all")

    def room(self, k: int) -> int:
        """The places they may take of a list of k."""
        return min(self.slots, k - 1)

    def among(self, allowed: np.ndarray | None) -> np.ndarray:
        """(n,) bool, those that pass a filter."""
        return self.mask if allowed is None else self.mask & allowed


def without_listed(seen: sparse.csr_matrix, ranked: np.ndarray, exclude_seen: bool) -> sparse.csr_matrix:
    """(u, n) what must not come again: what a list (u, k) already holds and, if asked, what is seen."""
    user, slot = np.nonzero(ranked >= 0)
    listed = sparse.csr_matrix((np.ones(len(user)), (user, ranked[user, slot])), shape=seen.shape)
    return (abs(seen) + listed).tocsr() if exclude_seen else listed


def given_room(
    ranked: np.ndarray, scores: np.ndarray, new: np.ndarray, new_scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists (u, k) whose last places hold a user's `new` items (u, s), as many as there are.

    Empty slots, -1, come last in all. Returns positions, scores and (u, k) bool, which of them are new. A
    score is one of its own model: those of new items do not compare with those before them.
    """
    k, count = ranked.shape[1], (new >= 0).sum(axis=1)
    kept = np.minimum((ranked >= 0).sum(axis=1), k - count)
    column = np.arange(k)[None]
    place = column - kept[:, None]
    is_new = (place >= 0) & (place < count[:, None])
    row = np.arange(len(ranked))[:, None]
    source = np.clip(place, 0, new.shape[1] - 1)
    held = column < kept[:, None]
    positions = np.where(is_new, new[row, source], np.where(held, ranked, -1))
    values = np.where(is_new, new_scores[row, source], np.where(held, scores, -np.inf))
    return positions, values.astype(np.float32), is_new


def like(support: Support, j: int, title: Callable[[str, int], str]) -> str:
    """Why new item `j` has its place: the past items whose text, or whose readers, it is near to.

    title: domain, position -> how a past item is called.
    """
    named = [
        f"{what if isinstance(what, str) else title(domain, what)} in {domain}: {share * 100:.0f} %"
        for domain, what, share in support.strongest(j)
    ]
    return f"new item like {'; '.join(named)}" if named else NEW
