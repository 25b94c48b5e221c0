"""Popularity: the floor under every table, and what a user gets of whom nothing is known.

With a half-life it is what is popular now: an interaction counts half as much for every `half_life_days`
that lie between it and the newest one of the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch

from ml.bridge.contract import Parts, Task
from ml.bridge.histories import Histories
from ml.device import pick_device

DAY = 86_400_000_000  # microseconds


class Popularity:
    """log(1 + sum of 2^(-age / half-life) over the users who interacted with the item); None: age is no
    matter. ValueError where the half-life is not above 0 days.
    """

    domains: tuple[str, ...] = ()
    device = "auto"

    def __init__(self, half_life_days: float | None = None) -> None:
        if half_life_days is not None and not half_life_days > 0:
            raise ValueError(f"half_life_days is {half_life_days}: give days above 0, or None for no decay")
        self.half_life_days = half_life_days

    @property
    def settings(self) -> dict[str, Any]:
        """The half-life where there is one; none otherwise, as in versions that knew of no decay."""
        return {} if self.half_life_days is None else {"half_life_days": self.half_life_days}

    def fit(self, task: Task) -> Self:
        """Count the visible interactions of the target."""
        log = task.interactions[task.target]
        counts = np.bincount(log.items, self._worth(log.times), minlength=log.n_items)
        self._scores = np.log1p(counts).astype(np.float32)
        self.domains, self.device = (task.target,), task.device
        return self

    def _worth(self, times: np.ndarray) -> np.ndarray | None:
        if self.half_life_days is None or not len(times):
            return None
        return np.exp2((times - times.max()) / (self.half_life_days * DAY))

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) the same row for every user."""
        return torch.from_numpy(self._scores).to(pick_device(self.device)).repeat(len(past), 1)

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """All constant: nothing of a user enters."""
        return Parts(self._scores[items].astype(np.float64), {})

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The item scores."""
        return {"domains": list(self.domains), "device": self.device}, {"scores": self._scores}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        self._scores, self.domains, self.device = arrays["scores"], tuple(facts["domains"]), facts["device"]
        return self
