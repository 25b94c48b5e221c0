"""The ridge bridges and their blocks, made in one place: for the grid, for searches and for attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml.bridge.blocks.profiles import ALSUserFactors, SVDFactors, TargetHistory, TextProfile
from ml.bridge.contract import Task
from ml.bridge.scorers.ridge import RidgeBridge

# Items back at which a user's own past counts 1/e as much, where what comes next is asked.
NEXT_TAU = 3.0
Blocks = list[Any]  # (block, its share in the penalty)


def has_text(task: Task, domain: str) -> bool:
    """Whether any item of the domain has a text embedding."""
    return bool(task.catalogues[domain].has_vector.any())


def texts(task: Task, domains: Sequence[str], scale: float = 1.0, tau: float | None = None) -> Blocks:
    """The text profiles of those domains that have text; none where the share is 0."""
    return [(TextProfile(d, tau=tau), scale) for d in domains if scale and has_text(task, d)]


def source_profiles(task: Task, scale: float = 1.0, rank: int = 64) -> Blocks:
    """What the item bridge reads of the sources: SVD factors, and texts at a share of `scale`."""
    return [(SVDFactors(d, rank), 1.0) for d in task.sources] + texts(task, task.sources, scale)


def own_sequence(task: Task, tau: float = NEXT_TAU, scale: float = 0.0) -> Blocks:
    """What a user did last in the target, and the texts of it at a share of `scale`."""
    return [(TargetHistory(task.target, tau), 1.0), *texts(task, [task.target], scale, tau)]


def factor_bridge(task: Task, als: Mapping[str, Any], ridge: float, scale: float) -> RidgeBridge:
    """Weighted factors of the sources, and texts at a share of `scale`, to the target's weighted factors."""
    blocks: Blocks = [(ALSUserFactors(d, **als), 1.0) for d in task.sources]
    return RidgeBridge(blocks + texts(task, task.sources, scale), ridge=ridge, als=als)


def next_items(blocks: Blocks, ridge: float, tau: float = NEXT_TAU) -> RidgeBridge:
    """A user's past to what comes next."""
    return RidgeBridge(blocks, ridge, rows="next", tau_next=tau)
