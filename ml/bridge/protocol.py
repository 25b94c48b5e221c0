"""Who is hidden from what, so that a model is chosen and measured on what it has not seen.

cold: a fixed share of users, drawn by a hash of their id, loses its whole target history; everything else
stays.
time: everything at or after `as_of - horizon`, in every domain, is hidden; what users with target history do
in that horizon is the truth. Validation users and test users are disjoint in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ml.bridge.contract import Task
from ml.data import Interactions, Snapshot


@dataclass(frozen=True)
class Split:
    """task: what may be read. users: (u,) positions of the users asked about. truth: their hidden target
    items. user_ids: all users, to name them."""

    scenario: Literal["cold", "time"]
    task: Task
    users: np.ndarray
    truth: Interactions
    user_ids: np.ndarray


def hash_fractions(user_ids: np.ndarray, seed: int = 0) -> np.ndarray:
    """(u,) a number in [0, 1) per user, uniform and fixed: the decimal digits of SHA-1, last digit first.

    With seed 0 a fraction below 0.2 means `sha1(user_id) mod 10` in {0, 1}; another seed salts the id.
    """
    salt = f"{seed}:" if seed else ""
    digits = (str(int(hashlib.sha1(f"{salt}{u}".encode()).hexdigest(), 16))[::-1][:9] for u in user_ids)
    return np.array([int(d.ljust(9, "0")) / 1e9 for d in digits])


def scaled(interactions: Mapping[str, Interactions]) -> dict[str, Interactions]:
    """The same interactions, weights of mean 1 in every domain: settings then mean the same everywhere."""
    return {
        d: replace(log, weights=(log.weights / max(float(log.weights.mean()), 1e-12)).astype(np.float32))
        if len(log)
        else log
        for d, log in interactions.items()
    }


@dataclass(frozen=True)
class Protocol:
    """The four splits of one target, and the task with nothing hidden that is served."""

    snapshot: Snapshot
    target: str
    sources: tuple[str, ...]
    cold_user_fraction: float
    horizon: int
    seed: int = 0
    device: str = "auto"
    memo: dict[Hashable, tuple[Any, Any]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def _interactions(self) -> dict[str, Interactions]:
        return scaled(self.snapshot.interactions)

    @cached_property
    def _fractions(self) -> np.ndarray:
        return hash_fractions(self.snapshot.users, self.seed)

    def _task(self, interactions: Mapping[str, Interactions]) -> Task:
        kept = {d: interactions[d] for d in (*self.sources, self.target)}
        catalogues = self.snapshot.catalogues
        return Task(self.target, self.sources, kept, catalogues, self.seed, self.device, self.memo)

    def served(self) -> Task:
        """Everything before as-of."""
        return self._task(self._interactions)

    def cold(self, stage: Literal["choose", "measure"]) -> Split:
        """Hashed users without target history. While choosing, test users are hidden too, and not asked."""
        fractions, share = self._fractions, self.cold_user_fraction
        test, validation = fractions < share, (fractions >= share) & (fractions < 1.5 * share)
        hidden, asked = (test | validation, validation) if stage == "choose" else (test, test)
        log = self._interactions[self.target]
        task = self._task({**self._interactions, self.target: log.of_users(~hidden)})
        users = np.flatnonzero(asked & (log.counts() > 0))
        return Split("cold", task, users, log, self.snapshot.users)

    def time(self, stage: Literal["choose", "measure"]) -> Split:
        """Users with target history before the cut and new items after; a horizon earlier while choosing."""
        fractions, share = self._fractions, self.cold_user_fraction
        validation = (fractions >= share) & (fractions < (1 + share) / 2)
        end = self.snapshot.as_of - (self.horizon if stage == "choose" else 0)
        cut = end - self.horizon
        task = self._task({d: log.before(cut) for d, log in self._interactions.items()})
        log = self._interactions[self.target]
        truth = log.since(cut).before(end)
        asked = validation if stage == "choose" else ~validation
        users = np.flatnonzero(asked & (truth.counts() > 0) & (log.before(cut).counts() > 0))
        return Split("time", task, users, truth, self.snapshot.users)
