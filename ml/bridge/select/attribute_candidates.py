"""Candidates that read attributes; none where nothing is known: a log without them trains as it did."""

from __future__ import annotations

from ml.bridge.blocks.attributes import ItemAttributeProfile, UserAttributeBlock, categories_of
from ml.bridge.contract import Scorer, Task
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.select.bridges import NEXT_TAU, next_items, own_sequence, source_profiles

RIDGE = 10.0
NEXT_RIDGE = 20.0


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
        more = {"user": blocks, "item": [(ItemAttributeProfile(d), 1.0) for d in items]}
        for of, known in more.items():
            if known:
                bridge = RidgeBridge(source_profiles(task) + known, ridge=RIDGE)
                found[f"item_bridge:r10-t1-{of}_attributes"] = bridge
    if not cold and task.target in categorised(task):
        profile = ItemAttributeProfile(task.target, NEXT_TAU), 1.0
        blocks = [*own_sequence(task, scale=1.0), profile]
        found["next_items:tau3-r20-item_attributes"] = next_items(blocks, NEXT_RIDGE)
    return found
