"""Which blocks a bridge may read: what is switched off, sensitive or unrelated to taste is not there at all.

The data is taken away before anything is fitted. A block that finds no data makes no candidate, so nothing
else has to know of a switch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from ml.bridge.blocks.association import LEVEL, association
from ml.bridge.blocks.attributes import categories_of
from ml.bridge.contract import Task
from ml.bridge.protocol import Protocol
from ml.data import Catalogue, Interactions, Snapshot
from ml.sensitive import is_sensitive

CATEGORY = "item category"
Tested = Mapping[str, Mapping[str, float]]  # domain -> attribute -> p-value


@dataclass(frozen=True)
class Blocks:
    """What may be read beside who took what. sensitive: the sensitive user attributes that may be."""

    text: bool = True
    reviews: bool = True
    modalities: bool = True
    user_attributes: bool = True
    item_attributes: bool = True
    sensitive: tuple[str, ...] = ()


def switched(snapshot: Snapshot, blocks: Blocks) -> Snapshot:
    """The snapshot without what is switched off and without sensitive attributes that nobody named."""
    catalogues = {name: _catalogue(catalogue, blocks) for name, catalogue in snapshot.catalogues.items()}
    logs = {name: _log(log, blocks) for name, log in snapshot.interactions.items()}
    return replace(snapshot, catalogues=catalogues, interactions=logs)


def readable(protocol: Protocol, blocks: Blocks) -> tuple[Protocol, dict[str, dict[str, float]]]:
    """The protocol on what may be read, and the `p_values`; nobody who is asked later is in them."""
    seen = switched(protocol.snapshot, blocks)
    protocol = replace(protocol, snapshot=seen, memo={})
    if not any(log.attributes for log in seen.interactions.values()) and not any(
        catalogue.attributes for catalogue in seen.catalogues.values()
    ):
        return protocol, {}
    found = p_values(protocol.unasked(), seen.as_of - 2 * protocol.horizon)
    return replace(protocol, snapshot=telling(seen, found), memo={}), found


def _catalogue(catalogue: Catalogue, blocks: Blocks) -> Catalogue:
    return replace(
        catalogue,
        vectors=catalogue.vectors if blocks.text else None,
        modalities=catalogue.modalities if blocks.modalities else {},
        attributes=catalogue.attributes if blocks.item_attributes else None,
    )


def _log(log: Interactions, blocks: Blocks) -> Interactions:
    known = log.attributes if blocks.user_attributes else None
    if known is not None:
        known = known.only({a for a in known.attributes if not is_sensitive(a) or a in blocks.sensitive})
    return replace(log, reviews=log.reviews if blocks.reviews else None, attributes=known)


def p_values(task: Task, before: int) -> dict[str, dict[str, float]]:
    """p-values of the user attributes and item categories of the task's domains; {} where there are none.

    A user attribute is tested against what the target's users took before `before`, a category against who
    took the items of its domain by then.
    """
    found: dict[str, dict[str, float]] = {}
    target = task.interactions[task.target].before(before)
    for domain in task.domains:
        log, known = task.interactions[domain].before(before), task.interactions[domain].attributes
        p: dict[str, float] = {}
        if known is not None:
            each = ((attribute, known.only({attribute})) for attribute in known.attributes)
            p = {a: association(_taken(target), one.held, task.seed) for a, one in each if one is not None}
        groups = categories_of(task.catalogues[domain])
        if groups is not None:
            p[CATEGORY] = association(_taken(log).T.tocsr(), groups.one_hot(), task.seed)
        if p:
            found[domain] = p
    return found


def _taken(log: Interactions) -> sparse.csr_matrix:
    return log.matrix(np.ones(len(log)))


def telling(snapshot: Snapshot, tests: Tested) -> Snapshot:
    """The snapshot with those attributes alone that the tests found related to what users take."""
    logs, catalogues = dict(snapshot.interactions), dict(snapshot.catalogues)
    for domain, found in tests.items():
        kept = {attribute for attribute, p in found.items() if p <= LEVEL}
        known = logs[domain].attributes
        if known is not None:
            logs[domain] = replace(logs[domain], attributes=known.only(kept))
        if CATEGORY not in kept:
            catalogues[domain] = replace(catalogues[domain], attributes=None)
    return replace(snapshot, interactions=logs, catalogues=catalogues)
