"""Semantic transfer without a shared user: what texts lead to is learned inside the target, and asked of the
texts of another domain's history.

    B = argmin |(Y - mean) - (X - mean) B|^2 + ridge |B|^2

X: text profiles of one half of a target user's history; Y: the items of the other half, so that an item never
explains itself. A source's profile then takes X's place. Domains meet in `common_space`; each domain's
profiles are centred by the mean of its own users, so that a usual user of the source is taken for a usual
user of the target, whose list is popularity. No link between users is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from scipy import linalg, sparse

from ml.bridge.blocks.profiles import row_norms
from ml.bridge.contract import Parts, Task
from ml.bridge.histories import Histories, histories
from ml.bridge.scorers.similarity import text_space
from ml.data import Interactions
from ml.device import pick_device


class TransferredText:
    """rank, floor: of the common space. strength: of the ridge, in units of the mean variance of a feature
    over all rows, so that it means the same for a hundred users and for a million."""

    domains: tuple[str, ...] = ()
    device = "auto"

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
        self._centres = {d: self._usual(d, task.interactions[d]) for d in self.domains}
        liked = _everyone(task.target, task.interactions[task.target]).liked(task.target, None)
        first, second = halves(liked, task.seed)
        X = self._profiles(task.target, sparse.vstack([first, second], format="csr"))
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

    def _profiles(self, domain: str, liked: sparse.csr_matrix) -> np.ndarray:
        """(u, r) unit sums of the items' vectors; zeros where no text is known."""
        total = liked @ self._maps[domain]
        return total / row_norms(total)

    def _usual(self, domain: str, log: Interactions) -> np.ndarray:
        profiles = self._profiles(domain, _everyone(domain, log).liked(domain, None))
        known = profiles.any(axis=1)
        return (profiles[known].sum(axis=0) / max(known.sum(), 1)).astype(np.float32)

    def _known(self, past: Histories) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Domain -> (u, r) profiles, and (u, 1) in how many domains a user has one, at least 1."""
        found = {d: self._profiles(d, past.liked(d, None)) for d in self.domains}
        count = sum(p.any(axis=1, keepdims=True).astype(np.float32) for p in found.values())
        return found, np.maximum(np.asarray(count, np.float32), 1)

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) popularity among the rows learned from, plus what the texts of the past say."""
        device = pick_device(self.device)
        found, count = self._known(past)
        features = np.zeros((len(past), self._map.shape[0]), np.float32)
        for domain, profiles in found.items():
            features += (profiles - profiles.any(axis=1, keepdims=True) * self._centres[domain]) / count
        constant, B = (torch.from_numpy(x).to(device) for x in (self._constant, self._map))
        return torch.from_numpy(features).to(device) @ B + constant

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """One term per past item, over the user's norms; what is usual in a domain is in the constant."""
        found, count = self._known(past)
        B = self._map[:, items].astype(np.float64)
        constant, by_domain = self._constant[items].astype(np.float64), {}
        for domain, profile in found.items():
            row = past.liked(domain, None)
            vectors = self._maps[domain][row.indices].astype(np.float64) * row.data[:, None]
            norm = row_norms(vectors.sum(axis=0, keepdims=True)) * float(count[0, 0])
            by_domain[domain] = (row.indices, (vectors / norm) @ B)
            if profile.any():
                constant -= (self._centres[domain] / count[0, 0]) @ B
        return Parts(constant, by_domain)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The space, each domain's usual profile, the map."""
        arrays = {f"map.{d}": Z for d, Z in self._maps.items()}
        arrays |= {f"centre.{d}": centre for d, centre in self._centres.items()}
        facts = {"domains": list(self.domains), "device": self.device}
        return facts, {**arrays, "map": self._map, "constant": self._constant}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        self.domains, self.device = tuple(facts["domains"]), facts["device"]
        self._maps = {d: arrays[f"map.{d}"] for d in self.domains}
        self._centres = {d: arrays[f"centre.{d}"] for d in self.domains}
        self._map, self._constant = arrays["map"], arrays["constant"]
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


def _everyone(domain: str, log: Interactions) -> Histories:
    return histories({domain: log}, np.arange(log.n_users))
