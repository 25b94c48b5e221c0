"""The scorers that selection may choose from, as settings; the order is the order of preference on ties.

Warm and sparse users gain little from sources (docs/ALGORITHM.md), so their grid is the shorter. Grids are
few and wide on purpose: a union factorisation is below popularity with too little regularisation and first
among its peers with enough.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml.bridge.blocks.modality import ModalityProfile
from ml.bridge.blocks.reviews import ReviewedText, ReviewProfile
from ml.bridge.contract import Scorer, Task
from ml.bridge.scorers.cold_items import CarriedByText, TextNeighbours, cold_item_candidates
from ml.bridge.scorers.ease import EASE
from ml.bridge.scorers.item_knn import ItemKNN
from ml.bridge.scorers.kernel_svd import KernelJointSVD
from ml.bridge.scorers.mapper import mapper_from_settings
from ml.bridge.scorers.meta_mapper import MetaMapper
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.reused_map import ReusedMap, reusable
from ml.bridge.scorers.ridge import RidgeBridge, ridge_from_settings
from ml.bridge.scorers.similarity import TextSimilarity
from ml.bridge.scorers.transferred_text import TransferredText
from ml.bridge.scorers.union import JointSVD, UnionALS
from ml.bridge.select.attribute_candidates import attribute_candidates
from ml.bridge.select.bridges import (
    NEXT_TAU,
    factor_bridge,
    has_text,
    next_items,
    own_sequence,
    source_profiles,
    texts,
)
from ml.bridge.select.mapper_candidates import mapper_candidates
from ml.bridge.select.search_space import found_candidates
from ml.metrics.cohorts import COLD_ITEMS

# The share of further modalities in the penalty; that they say nothing is the candidate without them.
MODALITY_SCALES = (0.3, 1.0)
# The same for users' own reviews, in a bridge whose items are described by reviews too.
REVIEW_SCALES = (0.3, 1.0)
# Scenarios in which the kernel SVD may be chosen: it knows items by their text, which warm users need least.
KERNEL_SCENARIOS = ("cold",)
KINDS: dict[str, Any] = {
    "popularity": lambda settings: Popularity(**settings),
    "union_als": lambda settings: UnionALS(**settings),
    "joint_svd": lambda settings: JointSVD(**settings),
    "kernel_svd": lambda settings: KernelJointSVD(**settings),
    "item_knn": lambda settings: ItemKNN(**settings),
    "ease": lambda settings: EASE(**settings),
    "ridge": ridge_from_settings,
    "mapper": mapper_from_settings,
    "meta_mapper": lambda settings: MetaMapper(**settings),
    "text_neighbours": lambda settings: TextNeighbours(**settings),
    "carried": lambda settings: CarriedByText(
        **{**settings, "base": make(**settings["base"]), "base_kind": settings["base"]["kind"]}
    ),
    "text_similarity": lambda settings: TextSimilarity(**settings),
    "transferred_text": lambda settings: TransferredText(**settings),
    "reused_map": lambda settings: ReusedMap(**settings),
}
# Families whose name is not their kind.
KIND_OF_FAMILY = {
    **dict.fromkeys(("factor_bridge", "item_bridge", "next_items", "attribute_bridge"), "ridge"),
    "recent_popularity": "popularity",
    **dict.fromkeys(("text_cosine", "text_euclidean"), "text_similarity"),
}
# Rank of the texts and strength of the ridge of what is learned inside the target alone. Without a link the
# broad directions are the ones that cross; with more of them a strong ridge is popularity with a hint.
TRANSFERRED = ((16, 1.0), (16, 10.0), (128, 20.0))
# The same of a map that was fitted between other domains.
REUSED = ((16, 1.0), (64, 1.0))
# The scenario whose short grid is tried for fewer sources: what is chosen there is the sources.
SUBSET_GRID = "time"
HALF_LIVES = (3.0, 7.0, 30.0, 365.0)  # days, of what is popular now
# Families that read the target alone: they are the twin's, and the bridge has them from there.
TARGET_ALONE = ("popularity", "recent_popularity", "next_items")
# Kinds that are candidates and baselines alike, and so small once fitted that training can hold them all.
SHARED = ("union_als",)


@dataclass(frozen=True)
class Member:
    """A fitted scorer with the kind that makes it again."""

    kind: str
    scorer: Scorer


def make(kind: str, settings: Mapping[str, Any]) -> Scorer:
    """An unfitted scorer."""
    return KINDS[kind](settings)


def kind_of(name: str) -> str:
    """The kind of a candidate from its name, `family:variant`."""
    family = name.split(":")[0]
    return KIND_OF_FAMILY.get(family, family)


def fitted(name: str, scorer: Scorer, task: Task) -> Scorer:
    """The scorer fitted on the task; one of SHARED is fitted once for all that ask for the same."""
    if kind_of(name) not in SHARED:
        return scorer.fit(task)
    key = (kind_of(name), json.dumps(scorer.settings, sort_keys=True), task.domains)
    return task.remember(task.interactions[task.target], key, lambda: scorer.fit(task))


def union_candidates(scenario: str) -> dict[str, Scorer]:
    """Factorisations of whatever domains the task has: with sources a transfer, without them the twin's."""
    grid = ((32, 100.0), (16, 100.0), (16, 30.0)) if scenario == "cold" else ((32, 100.0), (16, 30.0))
    als = {f"union_als:f{rank}-l{ridge:g}": UnionALS(rank, 10.0, ridge) for rank, ridge in grid}
    return {**als, "joint_svd:f64": JointSVD(64)}


def kernel_candidates(task: Task) -> dict[str, Scorer]:
    """The joint SVD with a text kernel of a beta that it chooses itself; none where nothing has text."""
    if not any(has_text(task, d) for d in task.domains):
        return {}
    return {"kernel_svd:f64": KernelJointSVD(64)}


def source_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """Bridges from source histories alone: they serve a user of whom the target knows nothing."""
    some, found, cold = any(has_text(task, d) for d in task.sources), dict[str, Scorer](), scenario == "cold"
    factors = ((64, 10.0, 0.3), (32, 10.0, 0.3), (64, 10.0, 0.0), (64, 40.0, 0.3))
    for rank, alpha, scale in factors if cold else factors[1:2]:
        als = {"rank": rank, "alpha": alpha, "regularisation": 10.0, "iterations": 10}
        if some or not scale:
            found[f"factor_bridge:f{rank}-a{alpha:g}-t{scale:g}"] = factor_bridge(task, als, 1.0, scale)
    items = ((3.0, 1.0), (10.0, 1.0), (10.0, 0.0))
    for ridge, scale in items if cold else items[1:2]:
        found[f"item_bridge:r{ridge:g}-t{scale:g}"] = RidgeBridge(source_profiles(task, scale), ridge=ridge)
    return found


def subset_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """The bridges again from fewer sources, where transferability says that some of them do not help."""
    fewer = [s for s in task.subsets.get(scenario, ()) if s and set(s) < set(task.sources)]
    return {
        f"{name}@from-{'+'.join(sources)}": scorer
        for sources in fewer
        for name, scorer in source_candidates(SUBSET_GRID, task.reading(sources)).items()
    }


def semantic_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """What needs no user that the target shares: texts of the source's history through what texts mean inside
    the target, or through what they mean between other domains."""
    told = any(has_text(task, d) for d in task.sources) and has_text(task, task.target)
    if scenario != "cold" or not told:
        return {}
    found: dict[str, Scorer] = {
        f"transferred_text:f{rank}-s{s:g}": TransferredText(s, rank) for rank, s in TRANSFERRED
    }
    if reusable(task):
        found |= {f"reused_map:f{rank}-s{s:g}": ReusedMap(s, rank) for rank, s in REUSED}
    return found


def _modality_blocks(
    task: Task, domains: Sequence[str], scale: float, tau: float | None = None
) -> dict[str, list]:
    """name -> blocks: every further modality of the domains alone, and all where there are several."""
    found: dict[str, list] = {}
    for domain in domains:
        for name, vectors in sorted(task.catalogues[domain].modalities.items()):
            if vectors.any():
                found.setdefault(name, []).append((ModalityProfile(domain, name, tau=tau), scale))
    if len(found) > 1:
        found["+".join(found)] = [block for blocks in found.values() for block in blocks]
    return found


def modality_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """The item bridge with what the sources' items look or sound like beside their text."""
    found: dict[str, Scorer] = {}
    for scale in MODALITY_SCALES if scenario == "cold" else MODALITY_SCALES[-1:]:
        for name, further in _modality_blocks(task, task.sources, scale).items():
            blocks = source_profiles(task) + further
            found[f"item_bridge:r10-t1-{name}={scale:g}"] = RidgeBridge(blocks, ridge=10.0)
    return found


def _has_reviews(task: Task, domain: str) -> bool:
    reviews = task.interactions[domain].reviews
    return reviews is not None and bool(reviews.embedded.any())


def _review_blocks(task: Task, domain: str, scale: float, tau: float | None = None) -> list:
    """The domain's text and reviews, as far as it has them."""
    if not _has_reviews(task, domain):
        return texts(task, [domain], tau=tau)
    return [(ReviewedText(domain, tau=tau), 1.0), (ReviewProfile(domain, tau=tau), scale)]


def review_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """The item bridge with what users wrote in the sources; none where nobody wrote anything."""
    if not any(_has_reviews(task, d) for d in task.sources):
        return {}
    found: dict[str, Scorer] = {}
    for scale in REVIEW_SCALES if scenario == "cold" else REVIEW_SCALES[-1:]:
        blocks = source_profiles(task, scale=0.0)
        blocks += [block for d in task.sources for block in _review_blocks(task, d, scale)]
        found[f"item_bridge:r10-t1-reviews={scale:g}"] = RidgeBridge(blocks, ridge=10.0)
    return found


def next_candidates(task: Task) -> dict[str, Scorer]:
    """Past to future inside the target: what a user's own sequence says comes next."""
    tau, alone, told = NEXT_TAU, own_sequence(task), own_sequence(task, scale=1.0)
    variants = {"": alone}
    if len(told) > len(alone):
        variants["-text"] = told
    for name, further in _modality_blocks(task, [task.target], MODALITY_SCALES[-1], tau).items():
        variants[f"-{name}={MODALITY_SCALES[-1]:g}"] = told + further
    if _has_reviews(task, task.target):
        scale = REVIEW_SCALES[-1]
        variants[f"-reviews={scale:g}"] = alone + _review_blocks(task, task.target, scale, tau)
    wanted = [(20.0, variant, mine) for variant, mine in variants.items()]
    return {
        f"next_items:tau{tau:g}-r{ridge:g}{variant}": next_items(mine, ridge)
        for ridge, variant, mine in (*wanted, (100.0, "", alone))
    }


def recent_candidates() -> dict[str, Scorer]:
    """What is popular now: on a log that moves fast it may beat everything that reads a history."""
    return {f"recent_popularity:d{days:g}": Popularity(days) for days in HALF_LIVES}


def neighbour_candidates(scenario: str) -> dict[str, Scorer]:
    """The classical peers on whatever domains the task has; where order tells, the latest count most."""
    if scenario == "cold":
        return {"item_knn:n1000-s100": ItemKNN(1000, 100.0), "ease:r1000": EASE(1000.0)}
    tau = NEXT_TAU
    return {
        f"item_knn:n200-s30-tau{tau:g}": ItemKNN(200, 30.0, tau=tau),
        f"ease:r100-tau{tau:g}": EASE(100.0, tau=tau),
    }


def scenario_candidates(scenario: str, task: Task) -> dict[str, Scorer]:
    """What may be tried in a scenario with the task's domains; without sources, the twin's choices."""
    found: dict[str, Scorer] = {"popularity": Popularity()}
    if scenario == COLD_ITEMS:
        return found | cold_item_candidates(task)
    if scenario == "time":
        found |= recent_candidates() | next_candidates(task)
    if task.sources or scenario == "time":
        found |= union_candidates(scenario) | neighbour_candidates(scenario)
        if scenario in KERNEL_SCENARIOS:
            found |= kernel_candidates(task)
    if task.sources:
        found |= source_candidates(scenario, task) | modality_candidates(scenario, task)
        found |= review_candidates(scenario, task) | semantic_candidates(scenario, task)
        found |= mapper_candidates(scenario, task)
    found |= attribute_candidates(scenario, task) | subset_candidates(scenario, task)
    return found | found_candidates(scenario, task)
