"""Candidates that read attributes; none where nothing is known: a log without them trains as it did."""

from __future__ import annotations

from ml.bridge.blocks.attributes import ItemAttributeProfile, UserAttributeBlock, categories_of
from ml.bridge.blocks.profiles import SVDFactors, TargetHistory, TextProfile
from ml.bridge.contract import Scorer, Task
from ml.bridge.scorers.ridge import RidgeBridge

RIDGE = 10.0
NEXT_RIDGE, NEXT_TAU = 20.0, 3.0


def described(task: Task) -> list[str]:
    """The domains that know their users by attributes, in the task's order."""
    return [d for d in task.domains if task.interactions[d].attributes is not None]


def categorised(task: Task) -> list[str]:
    """The domains whose items have categories, in the task's order."""
    return [d for d in task.domains if categories_of(task.catalogues[d]) is not None]


def attribute_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """Bridges with attributes beside those without: `attribute_bridge` reads who users are and nothing else,
    the others what the plain bridge reads and one kind of attribute more.

    The target knows nothing of a cold user, attributes included: only sources' count there.
    """
    cold, found = scenario == "cold", dict[str, Scorer]()
    users = [d for d in described(task) if not cold or d != task.target]
    items = [d for d in categorised(task) if d != task.target]
    blocks: list = [(UserAttributeBlock(d), 1.0) for d in users]
    if blocks:
        name = f"attribute_bridge:r{RIDGE:g}" + ("-sources" if cold else "")
        found[name] = RidgeBridge(blocks, ridge=RIDGE)
    if cold and task.sources:
        if blocks:
            found["item_bridge:r10-t1-user_attributes"] = RidgeBridge(_plain(task) + blocks, ridge=RIDGE)
        if items:
            more: list = [(ItemAttributeProfile(d), 1.0) for d in items]
            found["item_bridge:r10-t1-item_attributes"] = RidgeBridge(_plain(task) + more, ridge=RIDGE)
    if not cold and task.target in categorised(task):
        found["next_items:tau3-r20-item_attributes"] = _next(task)
    return found


def _texts(task: Task, domains: list[str] | tuple[str, ...]) -> list[str]:
    return [d for d in domains if task.catalogues[d].has_vector.any()]


def _plain(task: Task) -> list:
    blocks: list = [(SVDFactors(d), 1.0) for d in task.sources]
    return blocks + [(TextProfile(d), 1.0) for d in _texts(task, task.sources)]


def _next(task: Task) -> RidgeBridge:
    target, tau = task.target, NEXT_TAU
    blocks: list = [(TargetHistory(target, tau), 1.0)]
    blocks += [(TextProfile(d, tau=tau), 1.0) for d in _texts(task, [target])]
    blocks.append((ItemAttributeProfile(target, tau), 1.0))
    return RidgeBridge(blocks, NEXT_RIDGE, rows="next", tau_next=tau)
