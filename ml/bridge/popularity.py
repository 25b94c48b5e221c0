"""Popularity: the floor under every table, and what a user gets of whom nothing is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch

from ml.bridge.contract import Parts, Task
from ml.bridge.histories import Histories
from ml.device import pick_device


class Popularity:
    """log(1 + number of users who interacted with the item)."""

    domains: tuple[str, ...] = ()
    device = "auto"

    @property
    def settings(self) -> dict[str, Any]:
        """None."""
        return {}

    def fit(self, task: Task) -> Self:
        """Count the visible interactions of the target."""
        log = task.interactions[task.target]
        self._scores = np.log1p(np.bincount(log.items, minlength=log.n_items)).astype(np.float32)
        self.domains, self.device = (task.target,), task.device
        return self

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
