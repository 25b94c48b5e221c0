"""Who is hidden from what, so that a model is chosen and measured on what it has not seen.

cold: a fixed share of users, drawn by a hash of their id, loses its whole target history; everything else
stays.
time: everything at or after `as_of - horizon`, in every domain, is hidden; what users with target history do
in that horizon is the truth. Validation users and test users are disjoint in both.
new_users: the cold test users again, asked about when their first events in the target are shown. The models
are those fitted without them: a new event counts without a retrain.
cold_items: the cut of `time` again, asked for items that nobody had touched by then, ranked among themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ml.bridge.contract import Task
from ml.bridge.histories import Histories, histories
from ml.data import Interactions, Snapshot

LEAST_HISTORY = 3  # target items of a user whose last ones can be hidden


@dataclass(frozen=True)
class Split:
    """task: what may be read. users: (u,) positions of the users asked about. truth: their hidden target
    items. user_ids: all users, to name them. shown: what is known of those users, where that is more than
    models were fitted on. allowed: (n,) bool, what lists may hold, where that is not every item."""

    scenario: Literal["cold", "time", "new_users", "cold_items"]
    task: Task
    users: np.ndarray
    truth: Interactions
    user_ids: np.ndarray
    shown: Mapping[str, Interactions] | None = None
    allowed: np.ndarray | None = None

    @property
    def past(self) -> Histories:
        """What is known of the users, in their order."""
        return histories(self.shown or self.task.interactions, self.users)


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
    """The splits of one target, and the task with nothing hidden that is served."""

    snapshot: Snapshot
    target: str
    sources: tuple[str, ...]
    cold_user_fraction: float
    horizon: int
    seed: int = 0
    device: str = "auto"
    memo: dict[Hashable, tuple[Any, Any]] = field(default_factory=dict, repr=False, compare=False)
    subsets: Mapping[str, Sequence[tuple[str, ...]]] = field(default_factory=dict)
    found: Mapping[str, Sequence[tuple[str, Mapping[str, float]]]] = field(default_factory=dict)

    @cached_property
    def _interactions(self) -> dict[str, Interactions]:
        return scaled(self.snapshot.interactions)

    @cached_property
    def _fractions(self) -> np.ndarray:
        return hash_fractions(self.snapshot.users, self.seed)

    def _task(self, interactions: Mapping[str, Interactions]) -> Task:
        kept = {d: interactions[d] for d in (*self.sources, self.target)}
        catalogues = self.snapshot.catalogues
        memory = self.memo, self.subsets, self.found
        return Task(self.target, self.sources, kept, catalogues, self.seed, self.device, *memory)

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

    def new_users(self, cold: Split, events: int) -> Split:
        """The users of a cold split with more than `events` target items, of which the first are shown."""
        log = self._interactions[self.target]
        users = cold.users[log.counts()[cold.users] > events]
        shown = {**cold.task.interactions, self.target: log.first(events)}
        return replace(cold, scenario="new_users", users=users, shown=shown)

    def last(self, stage: Literal["choose", "measure"], share: float = 0.2) -> Split:
        """The last `share` of every user's target history hidden, of users with at least LEAST_HISTORY items.

        While choosing, the test's part is gone and the last of what remains is hidden. Sources stay whole:
        this is a question to history, not to time; `time` is the one to trust for what would be served. The
        users are warm and sparse ones, as in `time`, and so are the models that may answer.
        """
        log = self._interactions[self.target]
        for _ in range(1 + (stage == "choose")):
            whole, counts = log, log.counts()
            hidden = np.where(counts >= LEAST_HISTORY, np.maximum(1, np.rint(share * counts)), 0).astype(int)
            log = whole.first(counts - hidden)
        truth = whole.after_first(counts - hidden)
        task = self._task({**self._interactions, self.target: log})
        return Split("time", task, np.flatnonzero(hidden > 0), truth, self.snapshot.users)

    def time(self, stage: Literal["choose", "measure"]) -> Split:
        """Users with target history before the cut and new items after; a horizon earlier while choosing."""
        task, truth, asked = self._cut(stage)
        users = np.flatnonzero(asked & (truth.counts() > 0) & (task.interactions[self.target].counts() > 0))
        return Split("time", task, users, truth, self.snapshot.users)

    def newcomers(self, stage: Literal["choose", "measure"]) -> Split:
        """The cut of `time`, and the users who come to the target after it from a source they knew before."""
        task, truth, asked = self._cut(stage)
        own = task.interactions[self.target].counts()
        known = np.sum([log.counts() for log in task.interactions.values()], axis=0) > own
        users = np.flatnonzero(asked & known & (own == 0) & (truth.counts() > 0))
        return Split("cold", task, users, truth, self.snapshot.users)

    def cold_items(self, stage: Literal["choose", "measure"]) -> Split:
        """The cut of `time`, and of what comes after it only cold items: those with text and without any
        interaction before. Asked are users with a history in any domain; lists may hold nothing else."""
        task, truth, asked = self._cut(stage)
        allowed = task.cold_items()
        truth = truth.select(allowed[truth.items])
        known = np.sum([log.counts() for log in task.interactions.values()], axis=0) > 0
        users = np.flatnonzero(asked & known & (truth.counts() > 0))
        return Split("cold_items", task, users, truth, self.snapshot.users, allowed=allowed)

    def _cut(self, stage: Literal["choose", "measure"]) -> tuple[Task, Interactions, np.ndarray]:
        """What is known before the cut, what the target's log holds in the horizon after it, and the users of
        the stage (n_users,) bool."""
        fractions, share = self._fractions, self.cold_user_fraction
        validation = (fractions >= share) & (fractions < (1 + share) / 2)
        end = self.snapshot.as_of - (self.horizon if stage == "choose" else 0)
        cut = end - self.horizon
        task = self._task({d: log.before(cut) for d, log in self._interactions.items()})
        truth = self._interactions[self.target].since(cut).before(end)
        return task, truth, validation if stage == "choose" else ~validation
