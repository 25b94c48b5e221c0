"""The scorers that selection may choose from, as settings; the order is the order of preference on ties.

Warm and sparse users gain little from sources (docs/ALGORITHM.md), so their grid is the shorter. Grids are
few and wide on purpose: a union factorisation is below popularity with too little regularisation and first
among its peers with enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml.bridge.blocks import ALSUserFactors, SVDFactors, TargetHistory, TextProfile
from ml.bridge.contract import Scorer, Task
from ml.bridge.popularity import Popularity
from ml.bridge.ridge import RidgeBridge, ridge_from_settings
from ml.bridge.union import JointSVD, UnionALS

KINDS: dict[str, Any] = {
    "popularity": lambda settings: Popularity(),
    "union_als": lambda settings: UnionALS(**settings),
    "joint_svd": lambda settings: JointSVD(**settings),
    "ridge": ridge_from_settings,
}


def make(kind: str, settings: Mapping[str, Any]) -> Scorer:
    """An unfitted scorer."""
    return KINDS[kind](settings)


def kind_of(name: str) -> str:
    """The kind of a candidate from its name, `family:variant`."""
    family = name.split(":")[0]
    return "ridge" if family in ("factor_bridge", "item_bridge", "next_items") else family


def union_candidates(scenario: str) -> dict[str, Scorer]:
    """Factorisations of whatever domains the task has: with sources a transfer, without them the twin's."""
    grid = ((32, 100.0), (16, 100.0), (16, 30.0)) if scenario == "cold" else ((32, 100.0), (16, 30.0))
    als = {f"union_als:f{rank}-l{ridge:g}": UnionALS(rank, 10.0, ridge) for rank, ridge in grid}
    return {**als, "joint_svd:f64": JointSVD(64)}


def _has_text(task: Task, domain: str) -> bool:
    return bool(task.catalogues[domain].has_vector.any())


def source_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """Bridges from source histories alone: they serve a user of whom the target knows nothing."""
    texts = [d for d in task.sources if _has_text(task, d)]
    found: dict[str, Scorer] = {}
    cold = scenario == "cold"
    factors = ((64, 10.0, 0.3), (32, 10.0, 0.3), (64, 10.0, 0.0), (64, 40.0, 0.3))
    for rank, alpha, scale in factors if cold else factors[1:2]:
        als: dict[str, Any] = {"rank": rank, "alpha": alpha, "regularisation": 10.0, "iterations": 10}
        blocks: list = [(ALSUserFactors(d, **als), 1.0) for d in task.sources]
        blocks += [(TextProfile(d), scale) for d in texts if scale]
        if scale and not texts:
            continue
        found[f"factor_bridge:f{rank}-a{alpha:g}-t{scale:g}"] = RidgeBridge(blocks, ridge=1.0, als=als)
    items = ((3.0, 1.0), (10.0, 1.0), (10.0, 0.0))
    for ridge, scale in items if cold else items[1:2]:
        blocks = [(SVDFactors(d), 1.0) for d in task.sources] + [
            (TextProfile(d), scale) for d in texts if scale
        ]
        found[f"item_bridge:r{ridge:g}-t{scale:g}"] = RidgeBridge(blocks, ridge=ridge)
    return found


def next_candidates(task: Task) -> dict[str, Scorer]:
    """Past to future inside the target: what a user's own sequence says comes next."""
    found: dict[str, Scorer] = {}
    for tau, ridge in ((3.0, 20.0),):
        blocks: list = [(TargetHistory(task.target, tau), 1.0)]
        if _has_text(task, task.target):
            blocks.append((TextProfile(task.target, tau=tau), 1.0))
        found[f"next_items:tau{tau:g}-r{ridge:g}"] = RidgeBridge(
            blocks, ridge=ridge, rows="next", tau_next=tau
        )
    return found


def scenario_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """What may be tried in a scenario with the task's domains; without sources, the twin's choices."""
    found: dict[str, Scorer] = {"popularity": Popularity()}
    if scenario == "time":
        found |= next_candidates(task)
    if task.sources or scenario == "time":
        found |= union_candidates(scenario)
    if task.sources:
        found |= source_candidates(scenario, task)
    return found
