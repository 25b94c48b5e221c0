"""What a search may set: families of candidates, their settings, and the scorer that settings make.

Plain data: who proposes settings is not known here. The ranges surround the grid of `candidates.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ml.bridge.contract import Scorer, Task
from ml.bridge.scorers.ease import EASE
from ml.bridge.scorers.item_knn import ItemKNN
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.scorers.union import UnionALS
from ml.bridge.select.bridges import factor_bridge, next_items, own_sequence, source_profiles, texts

Settings = Mapping[str, float]


@dataclass(frozen=True)
class Range:
    """low to high on a logarithmic scale, both above 0 and of two digits that count."""

    low: float
    high: float
    whole: bool = False

    def rounded(self, value: float) -> float:
        """Two digits that count: finer steps are noise, and a candidate's name can then hold its settings."""
        return int(float(f"{value:.2g}")) if self.whole else float(f"{value:.2g}")


@dataclass(frozen=True)
class OneOf:
    """One of a few values."""

    values: tuple[float, ...]


Space = Mapping[str, Mapping[str, Range | OneOf]]  # family -> setting -> what it may be

TEXT = OneOf((0.0, 0.1, 0.2, 0.3, 0.5, 1.0))  # the share of texts in the penalty, 0 for none
TAU = Range(1.0, 30.0)  # items
SPACE: Space = {
    "factor_bridge": {
        "rank": Range(16, 96, whole=True),
        "alpha": Range(3.0, 100.0),
        "regularisation": Range(1.0, 100.0),
        "ridge": Range(0.3, 30.0),
        "text": TEXT,
    },
    "item_bridge": {"rank": Range(16, 130, whole=True), "ridge": Range(1.0, 100.0), "text": TEXT},
    "union_als": {
        "rank": Range(8, 64, whole=True),
        "alpha": Range(1.0, 40.0),
        "regularisation": Range(10.0, 500.0),
    },
    "item_knn": {"neighbours": Range(20, 2000, whole=True), "shrink": Range(1.0, 500.0), "tau": TAU},
    "ease": {"ridge": Range(30.0, 5000.0), "tau": TAU},
    "next_items": {"tau": TAU, "ridge": Range(3.0, 300.0), "text": TEXT},
}
FROM_SOURCES = ("factor_bridge", "item_bridge")
# Where nobody's own sequence is known there is nothing to decay, and nothing that comes next.
OF_SEQUENCES = ("next_items",)
LETTERS = {
    "rank": "f",
    "alpha": "a",
    "regularisation": "l",
    "neighbours": "n",
    "shrink": "s",
    "tau": "tau",
    "ridge": "r",
    "text": "t",
}


def space(scenario: str, task: Task) -> dict[str, dict[str, Range | OneOf]]:
    """The part of SPACE that means something for the scenario and the domains of the task; {} where nothing
    does."""
    cold = scenario == "cold"
    if cold and not task.sources:
        return {}
    without = {*(() if task.sources else FROM_SOURCES), *(OF_SEQUENCES if cold else ())}
    found = {}
    for family, settings in SPACE.items():
        if family in without:
            continue
        dropped = {"tau"} if cold else set()
        if not texts(task, [task.target] if family in OF_SEQUENCES else task.sources):
            dropped.add("text")
        found[family] = {name: what for name, what in settings.items() if name not in dropped}
    return found


def made(family: str, settings: Settings, task: Task) -> tuple[str, Scorer]:
    """The name and the unfitted scorer of settings, for the domains of the task. KeyError for a family that
    is not of SPACE; ValueError for settings without meaning."""
    named = "-".join(f"{LETTERS[key]}{settings[key]:g}" for key in SPACE[family] if key in settings)
    return f"{family}:{named}", _MAKERS[family](settings, task)


def found_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """What a search found for the scenario: of the task's domains, so that the twin has its own."""
    known = space(scenario, task)
    given = ((name.split(":")[0], settings) for name, settings in task.found.get(scenario, ()))
    return dict(made(family, settings, task) for family, settings in given if family in known)


def _factor_bridge(settings: Settings, task: Task) -> Scorer:
    als: dict[str, Any] = {key: settings[key] for key in ("rank", "alpha", "regularisation")}
    return factor_bridge(task, {**als, "iterations": 10}, settings["ridge"], settings.get("text", 0.0))


def _item_bridge(settings: Settings, task: Task) -> Scorer:
    blocks = source_profiles(task, settings.get("text", 0.0), int(settings["rank"]))
    return RidgeBridge(blocks, ridge=settings["ridge"])


def _next_items(settings: Settings, task: Task) -> Scorer:
    tau = settings["tau"]
    return next_items(own_sequence(task, tau, settings.get("text", 0.0)), settings["ridge"], tau)


_MAKERS: dict[str, Callable[[Settings, Task], Scorer]] = {
    "factor_bridge": _factor_bridge,
    "item_bridge": _item_bridge,
    "union_als": lambda settings, task: UnionALS(
        int(settings["rank"]), settings["alpha"], settings["regularisation"]
    ),
    "item_knn": lambda settings, task: ItemKNN(
        int(settings["neighbours"]), settings["shrink"], tau=settings.get("tau")
    ),
    "ease": lambda settings, task: EASE(settings["ridge"], tau=settings.get("tau")),
    "next_items": _next_items,
}
