"""What is asked of test users, and what the chosen blends list for them.

A blend is fitted without the test users' target history. One fit answers all questions that hide the same:
the first events of new users are shown to the very models that knew nothing of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from ml.bridge.contract import Scorer, Task
from ml.bridge.lists import Asked
from ml.bridge.protocol import Protocol
from ml.bridge.select.blend import Blend
from ml.bridge.select.candidates import fitted, kind_of, scenario_candidates
from ml.bridge.select.choose import POPULARITY, Choice, target_only
from ml.bridge.serve.new_items import NewItems
from ml.bridge.serve.recommender import Member, Recommender
from ml.bridge.serve.reranked import plain_and_reranked, reranker_of
from ml.metrics.cohorts import (
    COLD_ITEMS,
    NEW_USER_EVENTS,
    NEW_USERS,
    SPARSE,
    USER_COHORTS,
    WARM,
)
from ml.retrieval.rerank import RerankRules

SCENARIOS = ("cold", "time")
# What is chosen beside the cohorts of users; peers that know items by interactions alone have no say there.
FURTHER = ("cold_items",)


def new_items_of(slots: int, task: Task) -> NewItems | None:
    """The room that lists give to new items; None where there is none to give or no such item."""
    cold = task.cold_items() if slots else np.zeros(0, dtype=bool)
    return NewItems(cold, slots) if cold.any() else None


def asked_of(protocol: Protocol, cold_items: bool) -> dict[str, list[Asked]]:
    """Scenario -> the users it asks about, and further questions to the same fitted models."""
    cold, time = protocol.cold("measure"), protocol.time("measure")
    new = [
        Asked.of(protocol.new_users(cold, events), cohort)
        for events, cohort in zip(NEW_USER_EVENTS, NEW_USERS, strict=True)
    ]
    later = [Asked.of(protocol.cold_items("measure"), COLD_ITEMS)] if cold_items else []
    return {"cold": [Asked.of(cold), *new], "time": [Asked.of(time), *later]}


def blends_of(candidate: str, chosen: Mapping[str, Choice]) -> dict[str, Blend]:
    """cohort -> blend. Without evidence sparse users get what warm ones get, and others popularity."""
    if candidate == "popularity":
        return dict.fromkeys(USER_COHORTS, POPULARITY)
    found = {cohort: getattr(choice, candidate) for cohort, choice in chosen.items()}
    if WARM in found:
        found.setdefault(SPARSE, found[WARM])
    return found


def scorers_of(task: Task) -> dict[str, tuple[Scorer, Task]]:
    """Every scorer a blend may name, unfitted, and what it is fitted on: the twin's on the target alone."""
    twin = task.twin()
    found: dict[str, tuple[Scorer, Task]] = {}
    for scenario in (*SCENARIOS, *FURTHER):
        found |= {n: (s, task) for n, s in scenario_candidates(scenario, task).items()}
        found |= {target_only(n): (s, twin) for n, s in scenario_candidates(scenario, twin).items()}
    return found


def fit_all(blends: Iterable[Blend], task: Task) -> dict[str, Scorer]:
    """Every scorer the blends name, fitted."""
    known = scorers_of(task)
    wanted = sorted({"popularity", *(name for blend in blends for name in blend.weights)})
    return {name: fitted(name, *known[name]) for name in wanted}


def measured(
    asked: Sequence[Asked],
    blends: Mapping[str, Mapping[str, Blend]],
    k: int,
    rerank: RerankRules | None = None,
    slots: int = 0,
) -> Iterator[tuple[pa.Table, pa.Table | None]]:
    """What the blends, name -> cohort -> blend, list for the users: as scored, and as users see it where that
    differs. One fit serves all of `asked`."""
    task = asked[0].split.task
    new_items = new_items_of(slots, task)
    known = {route for part in asked for route in part.routes} | ({COLD_ITEMS} if new_items else set())
    ready = fit_all([b for by in blends.values() for cohort, b in by.items() if cohort in known], task)
    members = {name: Member(kind_of(name), scorer) for name, scorer in ready.items()}
    reranker, items = reranker_of(rerank, task), {task.target: task.catalogues[task.target].item_ids}
    for name, by in blends.items():
        nobody = np.array([])
        asking = Recommender(
            task.target, nobody, items, {}, task.interactions, members, by, {}, new_items=new_items
        )
        for part in asked:
            if len(part.past):
                yield plain_and_reranked(name, asking, part, k, reranker)
