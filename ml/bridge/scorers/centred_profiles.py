"""What scorers that ask texts alone have in common: profiles in one space, centred by what is usual, one map.

    score = constant + mean over the domains a user is known in of (profile - centre) B

A domain's profiles are centred by the mean of its own users, so that a usual user of one domain is taken for
a usual user of another. What B and the constant are is for each scorer to learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse

from ml.bridge.blocks.profiles import row_norms
from ml.bridge.contract import Parts
from ml.bridge.histories import Histories, histories
from ml.data import Interactions
from ml.device import pick_device


class CentredProfiles:
    """A subclass's `fit` sets domains, device, _maps (domain -> (n_domain, r)), _centres (domain -> (r,)),
    _map (r, n) and _constant (n,)."""

    domains: tuple[str, ...] = ()
    device = "auto"
    _maps: Mapping[str, np.ndarray]
    _centres: Mapping[str, np.ndarray]
    _map: np.ndarray
    _constant: np.ndarray

    def _known(self, past: Histories) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Domain -> (u, r) profiles, and (u, 1) in how many domains a user has one, at least 1."""
        found = {d: profiles(past.liked(d, None), self._maps[d]) for d in self.domains}
        count = sum(p.any(axis=1, keepdims=True).astype(np.float32) for p in found.values())
        return found, np.maximum(np.asarray(count, np.float32), 1)

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) the constant, plus what the texts of the past say."""
        device = pick_device(self.device)
        found, count = self._known(past)
        features = np.zeros((len(past), self._map.shape[0]), np.float32)
        for domain, each in found.items():
            features += centred(each, self._centres[domain]) / count
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


def liked_by_all(domain: str, log: Interactions) -> sparse.csr_matrix:
    """(n_users, n) what every user of a log liked."""
    return histories({domain: log}, np.arange(log.n_users)).liked(domain, None)


def profiles(liked: sparse.csr_matrix, vectors: np.ndarray) -> np.ndarray:
    """(u, r) unit sums of the items' vectors (n, r); zeros where no text is known."""
    total = liked @ vectors
    return total / row_norms(total)


def usual(found: np.ndarray) -> np.ndarray:
    """(r,) the mean of the profiles (u, r) that are known."""
    known = found.any(axis=1)
    return (found[known].sum(axis=0) / max(known.sum(), 1)).astype(np.float32)


def centred(found: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(u, r) the profiles less the centre; who is not known stays at zero."""
    return found - found.any(axis=1, keepdims=True) * centre
