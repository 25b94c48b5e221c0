"""A map fitted between other domains, reused for a target that need not share a user with them.

What people take in A tells what they take in B. Where both are described by texts, a map from one to the
other reads text and writes text, and knows of neither domain: fitted on every pair of sources that share
users, it is asked for the target.

    W = argmin |Y - X W|^2 + ridge |W|^2        X, Y: a user's profiles in A and in B, centred
    log p(item j | user) = log popularity(j) + beta x'W z_j        z_j: the text of the target's item

beta, how much texts decide, is the likeliest one for users of the sources that had no say in the W it is
judged with (the conditional logit of McFadden 1974). Of the target, texts and popularity are read, no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any, Self

import numpy as np
from scipy import linalg, sparse

from ml.bridge.contract import Task
from ml.bridge.scorers.centred_profiles import CentredProfiles, centred, liked_by_all, profiles, usual
from ml.bridge.scorers.similarity import text_space
from ml.data import Interactions

LEAST_SHARED = 30  # users whom two sources share, below which no map between them is fitted
JUDGED_SCORES = 2_000_000  # dense scores on which beta is judged, all pairs together
NEWTON_STEPS = 30
LONGEST_STEP = 3.0  # in deviations of the score: further than that the quadratic says nothing

Pair = tuple[str, str, np.ndarray]  # from, to, the users known in both
Judged = tuple[np.ndarray, np.ndarray, sparse.csr_matrix]  # (u, n) x'W z, (n,) log popularity, (u, n) taken


class ReusedMap(CentredProfiles):
    """rank, floor: of the common space. strength: of the ridge, in units of the mean variance of a feature
    over all rows, as in `TransferredText`. A twin has no sources, so it has no such map."""

    def __init__(self, strength: float = 1.0, rank: int = 64, floor: float = 0.05) -> None:
        if not strength > 0:
            raise ValueError(f"strength is {strength}: give a number above 0")
        self.strength, self.rank, self.floor = strength, rank, floor
        self.settings: dict[str, Any] = {"strength": strength, "rank": rank, "floor": floor}

    def fit(self, task: Task) -> Self:
        """Learn the map on users that sources share; with too few it is zero, and what is left is popularity.

        Raises ValueError where the target has no text embeddings.
        """
        spaces = text_space(task, self.rank, self.floor)
        self.domains, self.device = tuple(d for d in spaces if d != task.target), task.device
        self._maps = {d: spaces[d] for d in self.domains}
        liked = {d: liked_by_all(d, task.interactions[d]) for d in self.domains}
        found = {d: profiles(rows, spaces[d]) for d, rows in liked.items()}
        self._centres = {d: usual(each) for d, each in found.items()}
        tastes = {d: centred(each, self._centres[d]) for d, each in found.items()}
        pairs = shared_users(found)
        out = spaces[task.target]
        self._map = np.zeros_like(out.T)
        if pairs:
            W = self._pooled(tastes, pairs, slice(None)) * self._beta(task, tastes, liked, pairs)
            self._map = np.asarray(W @ out.T, np.float32)
        self._constant = log_popularity(task.interactions[task.target])
        return self

    def _pooled(self, tastes: Mapping[str, np.ndarray], pairs: Sequence[Pair], part: slice) -> np.ndarray:
        """(r, r) the ridge W of all pairs, each with this part of its users."""
        width = len(self._map)
        gram, cross = np.zeros((width, width)), np.zeros((width, width))
        for source, other, users in pairs:
            X, Y = (tastes[d][users[part]].astype(np.float64) for d in (source, other))
            gram, cross = gram + X.T @ X, cross + X.T @ Y
        gram[np.diag_indices_from(gram)] += self.strength * np.trace(gram) / width + 1e-12
        return linalg.solve(gram, cross, assume_a="pos")

    def _beta(
        self,
        task: Task,
        tastes: Mapping[str, np.ndarray],
        liked: Mapping[str, sparse.csr_matrix],
        pairs: Sequence[Pair],
    ) -> float:
        """The likeliest beta: W of every second user, judged on users in between."""
        W, judged = self._pooled(tastes, pairs, slice(0, None, 2)), []
        rng = np.random.default_rng(task.seed)
        for source, other, users in pairs:
            space, between = self._maps[other], users[1::2]
            most = max(LEAST_SHARED, JUDGED_SCORES // (len(pairs) * len(space)))
            asked = np.sort(rng.permutation(between)[:most])
            scores = tastes[source][asked] @ W.astype(np.float32) @ space.T
            judged.append((scores, log_popularity(task.interactions[other]), liked[other][asked].sign()))
        return likeliest(judged)


def shared_users(found: Mapping[str, np.ndarray]) -> list[Pair]:
    """The ordered pairs of domains that share LEAST_SHARED users with a profile (u, r) in both, and more."""
    known = {domain: each.any(axis=1) for domain, each in found.items()}
    pairs = [(a, b, np.flatnonzero(known[a] & known[b])) for a, b in permutations(known, 2)]
    return [pair for pair in pairs if len(pair[2]) >= LEAST_SHARED]


def reusable(task: Task) -> bool:
    """Whether two sources with text share enough users for a map between them."""
    texts = {d: task.catalogues[d].has_vector for d in task.sources}
    logs = {d: task.interactions[d] for d in texts}
    told = {d: np.bincount(log.users, texts[d][log.items], log.n_users)[:, None] for d, log in logs.items()}
    return bool(shared_users(told))


def log_popularity(log: Interactions) -> np.ndarray:
    """(n,) log of the share of interactions, half an interaction added to every item (Jeffreys 1946)."""
    counts = np.bincount(log.items, minlength=log.n_items) + 0.5
    return np.log(counts / counts.sum()).astype(np.float32)


def likeliest(judged: Sequence[Judged]) -> float:
    """The beta >= 0 under which what was taken is likeliest, by Newton's method: the likelihood is concave.

    0 without judges, or where the scores speak against what was taken.
    """
    spread = np.sqrt(np.mean([scores.var() for scores, _, _ in judged])) if judged else 0.0
    if not spread > 0:
        return 0.0
    beta = 0.0
    for _ in range(NEWTON_STEPS):
        slope, curve = np.sum([_slope(beta, *each) for each in judged], axis=0)
        step = float(np.clip(slope / max(curve, 1e-12) * spread, -LONGEST_STEP, LONGEST_STEP)) / spread
        beta = max(beta + step, 0.0)
        if abs(step) * spread < 1e-4:
            break
    return beta


def _slope(
    beta: float, scores: np.ndarray, base: np.ndarray, taken: sparse.csr_matrix
) -> tuple[float, float]:
    """The log likelihood's slope at beta, and minus its curvature."""
    logits = base + np.float32(beta) * scores
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    mean, square = (chances * scores).sum(axis=1), (chances * scores**2).sum(axis=1)
    count = np.asarray(taken.sum(axis=1), np.float64).ravel()
    return float(taken.multiply(scores).sum() - count @ mean), float(count @ (square - mean**2))
