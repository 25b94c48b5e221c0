"""Who is hidden from what, so that a model is chosen and measured on what it has not seen.

What each split hides and asks is written in `protocols.py`; that it does is proved by `leakage.py`. Whoever
had a say in choosing is not measured.
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
from ml.bridge.protocols import HISTORY
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
    return {d: _divided(log, _mean_weight(log)) for d, log in interactions.items()}


def _mean_weight(log: Interactions) -> float:
    return max(float(log.weights.mean()), 1e-12) if len(log) else 1.0


def _divided(log: Interactions, by: float) -> Interactions:
    return replace(log, weights=(log.weights / by).astype(np.float32))


@dataclass(frozen=True)
class Protocol:
    """The splits of one target, and the task with nothing hidden that is served.

    history: how users with a target history are asked, a key of `protocols.HISTORY`; ValueError on another.
    Weights are scaled by what a split shows: a mean over hidden interactions would tell of them.
    """

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
    history: str = "time"

    def __post_init__(self) -> None:
        if self.history not in HISTORY:
            raise ValueError(f"history {self.history!r}: expected one of {', '.join(HISTORY)}")

    @property
    def rules(self) -> dict[str, Any]:
        """By what rules users are hidden and asked, JSON-able: what others chose says nothing here."""
        names = ("history", "cold_user_fraction", "horizon", "seed")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def _whole(self) -> dict[str, Interactions]:
        """Scaled logs from which nothing is hidden: the same objects in every split, for `Task.remember`."""
        return scaled({d: self.snapshot.interactions[d] for d in (*self.sources, self.target)})

    @cached_property
    def _fractions(self) -> np.ndarray:
        return hash_fractions(self.snapshot.users, self.seed)

    def _task(self, shown: Mapping[str, Interactions]) -> Task:
        """The task in which these domains' logs are cut to what is shown of them, and the others whole."""
        kept = self._whole | scaled({d: shown[d] for d in self._whole if d in shown})
        catalogues = self.snapshot.catalogues
        memory = self.memo, self.subsets, self.found
        return Task(self.target, self.sources, kept, catalogues, self.seed, self.device, *memory)

    def served(self) -> Task:
        """Everything before as-of."""
        return self._task({})

    def unasked(self) -> Task:
        """What no split hides while choosing, for steps that come before it: tests of attributes, and an
        encoder's fine-tuning. Users that are cold in choosing or measuring are not in the target."""
        shown = {d: self.snapshot.interactions[d] for d in (*self.sources, self.target)}
        if (share := HISTORY[self.history]) is not None:
            shown[self.target] = self._but_last("choose", share)[0]
        shown[self.target] = shown[self.target].of_users(self._fractions >= 1.5 * self.cold_user_fraction)
        end = self.snapshot.as_of - 2 * self.horizon
        return self._task({d: log.before(end) for d, log in shown.items()})

    def cold(self, stage: Literal["choose", "measure"]) -> Split:
        """Hashed users without target history. While choosing, test users are hidden too, and not asked."""
        fractions, share = self._fractions, self.cold_user_fraction
        test, validation = fractions < share, (fractions >= share) & (fractions < 1.5 * share)
        hidden, asked = (test | validation, validation) if stage == "choose" else (test, test)
        log = self.snapshot.interactions[self.target]
        task = self._task({self.target: log.of_users(~hidden)})
        users = np.flatnonzero(asked & (log.counts() > 0))
        return Split("cold", task, users, log, self.snapshot.users)

    def new_users(self, cold: Split, events: int) -> Split:
        """The users of a cold split with more than `events` target items, of which the first are shown."""
        log = self.snapshot.interactions[self.target]
        users = cold.users[log.counts()[cold.users] > events]
        # By the scale that the models were fitted with.
        scale = _mean_weight(log.of_users(self._fractions >= self.cold_user_fraction))
        shown = {**cold.task.interactions, self.target: _divided(log.first(events), scale)}
        return replace(cold, scenario="new_users", users=users, shown=shown)

    def last(self, stage: Literal["choose", "measure"], share: float = 0.2) -> Split:
        """The last `share` of every user's target history hidden, of users with at least LEAST_HISTORY items.

        While choosing, the test's part is gone and the last of what remains is hidden. Sources stay whole:
        this is a question to history, not to time; `time` is the one to trust for what would be served. The
        users are warm and sparse ones, as in `time`, and so are the models that may answer. All are asked in
        both stages, as is usual in the literature.
        """
        log, truth = self._but_last(stage, share)
        task = self._task({self.target: log})
        return Split("time", task, np.flatnonzero(truth.counts() > 0), truth, self.snapshot.users)

    def _but_last(
        self, stage: Literal["choose", "measure"], share: float
    ) -> tuple[Interactions, Interactions]:
        """What `last` shows of the target, and what it asks for."""
        log = self.snapshot.interactions[self.target]
        for _ in range(1 + (stage == "choose")):
            whole, counts = log, log.counts()
            hidden = np.where(counts >= LEAST_HISTORY, np.maximum(1, np.rint(share * counts)), 0).astype(int)
            log = whole.first(counts - hidden)
        return log, whole.after_first(counts - hidden)

    def time(self, stage: Literal["choose", "measure"]) -> Split:
        """Users with a target history, asked by `history`: by default for what is new after the cut. It lies
        a horizon earlier while choosing."""
        if (share := HISTORY[self.history]) is not None:
            split = self.last(stage, share)
            return replace(split, users=split.users[self._asked(stage)[split.users]])
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
        end = self.snapshot.as_of - (self.horizon if stage == "choose" else 0)
        cut = end - self.horizon
        logs = self.snapshot.interactions
        task = self._task({d: log.before(cut) for d, log in logs.items()})
        return task, logs[self.target].since(cut).before(end), self._asked(stage)

    def _asked(self, stage: Literal["choose", "measure"]) -> np.ndarray:
        """(n_users,) bool: who may be asked of those with a history. All whom choosing asks, the cold ones
        too, are validation users here."""
        fractions, share = self._fractions, self.cold_user_fraction
        validation = (fractions >= share) & (fractions < (1 + share) / 2)
        return validation if stage == "choose" else ~validation
