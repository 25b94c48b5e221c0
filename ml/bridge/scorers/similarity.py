"""Similarity transfer: an item is worth what its text is near to the texts of the user's past, wherever.

The plain baseline of semantic transfer: nothing is learned from anybody's behaviour, so no user has to be
shared. It looks plausible and is far below popularity where a catalogue is large (ALGORITHM.md, "Known
traps"), which is why it is measured beside every bridge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import torch

from ml.bridge.blocks.profiles import row_norms
from ml.bridge.contract import Parts, Task
from ml.bridge.histories import Histories
from ml.device import pick_device
from ml.text.alignment.common_space import common_space

Measure = Literal["cosine", "euclidean"]
Space = Literal["common", "raw"]  # the better one first


class TextSimilarity:
    """Cosine or squared Euclidean nearness of an item's text to the mean text of the past, all domains alike.

    cosine: p'z / (|p| |z|), p the weighted sum of the past items' vectors. euclidean: 2 p'z - |z|^2 with p
    their weighted mean, which is -|p - z|^2 up to a number that is the same for all items.
    space: "raw", the embeddings as they are, or "common", centred and whitened (`common_space`).
    An item without text is near to nothing: cosine 0, or the distance of the longest vector at a right angle.
    A user without a text in the past is told nothing: all zeros.
    """

    domains: tuple[str, ...] = ()
    device = "auto"

    def __init__(
        self,
        measure: Measure = "cosine",
        space: Space = "common",
        rank: int = 128,
        floor: float = 0.05,
    ) -> None:
        if measure not in ("cosine", "euclidean") or space not in ("raw", "common"):
            raise ValueError(
                f"measure {measure!r} in space {space!r}: give cosine or euclidean, and raw or common"
            )
        self.measure, self.space, self.rank, self.floor = measure, space, rank, floor
        self.settings: dict[str, Any] = {"measure": measure, "space": space, "rank": rank, "floor": floor}

    def fit(self, task: Task) -> Self:
        """Bring the catalogues' vectors into one space; interactions are not read.

        Raises ValueError where the target has no text embeddings.
        """
        self._maps = text_space(task, self.rank, self.floor) if self.space == "common" else _raw(task)
        self.domains, self.device = tuple(self._maps), task.device
        items = self._maps[task.target]
        lengths = np.square(items).sum(axis=1)
        # The distance of an item of which nothing is known: as far out as any.
        self._lengths = np.where(items.any(axis=1), lengths, lengths.max(initial=0)).astype(np.float32)
        self._out = items / row_norms(items) if self.measure == "cosine" else 2 * items
        return self

    def _past(self, past: Histories) -> tuple[np.ndarray, np.ndarray]:
        """(u, r) the summed vectors of the past, and by what to divide them (u, 1)."""
        total = np.zeros((len(past), self._out.shape[1]), np.float32)
        mass = np.zeros((len(past), 1), np.float32)
        for domain, Z in self._maps.items():
            liked = past.liked(domain, None)
            total += liked @ Z
            mass += (liked @ Z.any(axis=1).astype(np.float32))[:, None]
        by = row_norms(total) if self.measure == "cosine" else np.where(mass > 0, mass, 1)
        return total, by

    def _level(self, total: np.ndarray) -> np.ndarray:
        """(u, 1) 1 where an item's own length counts: Euclidean, and something is known of the user."""
        counts = total.any(axis=1, keepdims=True) & (self.measure == "euclidean")
        return np.asarray(counts, np.float32)

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) nearness."""
        device = pick_device(self.device)
        total, by = self._past(past)
        users, items = (torch.from_numpy(x.astype(np.float32)).to(device) for x in (total / by, self._out))
        level, lengths = (torch.from_numpy(x).to(device) for x in (self._level(total), self._lengths))
        return users @ items.T - level * lengths

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """One term per past item, over the user's norm or mass."""
        total, by = self._past(past)
        constant = -(self._level(total)[0] * self._lengths[items]).astype(np.float64)
        found = {}
        for domain, Z in self._maps.items():
            row = past.liked(domain, None)
            features = Z[row.indices].astype(np.float64) * (row.data / by[0])[:, None]
            found[domain] = (row.indices, features @ self._out[items].T.astype(np.float64))
        return Parts(constant, found)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The space, and the target's items in it."""
        maps = {f"map.{domain}": Z for domain, Z in self._maps.items()}
        facts = {"domains": list(self.domains), "device": self.device}
        return facts, {**maps, "out": self._out, "lengths": self._lengths}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        self.domains, self.device = tuple(facts["domains"]), facts["device"]
        self._maps = {domain: arrays[f"map.{domain}"] for domain in self.domains}
        self._out, self._lengths = arrays["out"], arrays["lengths"]
        return self


def text_space(task: Task, rank: int, floor: float) -> dict[str, np.ndarray]:
    """The task's domains that have text in their common space, the target last; computed once per catalogue.

    Raises ValueError where the target has no text embeddings.
    """
    raw = _raw(task)
    key = ("common space", tuple(raw), rank, floor)
    return task.remember(task.catalogues, key, lambda: common_space(raw, rank, floor))


def _raw(task: Task) -> dict[str, np.ndarray]:
    vectors = {d: task.catalogues[d].vectors for d in task.domains}
    if vectors[task.target] is None:
        raise ValueError(f"{task.target} has no text embeddings: materialise item_embeddings first")
    return {domain: rows for domain, rows in vectors.items() if rows is not None}
