"""The tiny world of `ml.demo.tiny_world`, one small scorer of every kind, and tasks made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ml.bridge.blocks.profiles import ALSUserFactors, SVDFactors, TargetHistory, TextProfile
from ml.bridge.contract import Scorer, Task
from ml.bridge.controls import shuffled_links as shuffled
from ml.bridge.protocol import scaled
from ml.bridge.scorers.cold_items import CarriedByText, TextNeighbours
from ml.bridge.scorers.ease import EASE
from ml.bridge.scorers.item_knn import ItemKNN
from ml.bridge.scorers.kernel_svd import KernelJointSVD
from ml.bridge.scorers.mapper import Mapper
from ml.bridge.scorers.meta_mapper import MetaMapper
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.reused_map import ReusedMap
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.scorers.similarity import TextSimilarity
from ml.bridge.scorers.transferred_text import TransferredText
from ml.bridge.scorers.union import JointSVD, UnionALS
from ml.bridge.select.blend import Blend
from ml.bridge.serve.recommender import Member, Recommender
from ml.data import Snapshot
from ml.demo.tiny_world import AS_OF, DAY, GROUPS, SIZES, WIDTH, log_of, snapshot

__all__ = ["AS_OF", "DAY", "GROUPS", "SIZES", "WIDTH", "log_of", "shuffled", "snapshot"]

ALS = {"rank": 6, "alpha": 5.0, "regularisation": 5.0}
QUICK = {"epochs": 8, "batch": 32}
SCORERS: dict[str, Callable[[], Scorer]] = {
    "popularity": Popularity,
    "recent_popularity": lambda: Popularity(20.0),
    "item_knn": lambda: ItemKNN(12, 2.0),
    "item_knn_tf_idf": lambda: ItemKNN(12, 2.0, "tf_idf"),
    "ease": lambda: EASE(10.0, side="items"),
    "ease_of_users": lambda: EASE(10.0, side="users"),
    "union_als": lambda: UnionALS(6, 5.0, 5.0),
    "joint_svd": lambda: JointSVD(8),
    "kernel_svd": lambda: KernelJointSVD(8),
    "kernel_svd_given": lambda: KernelJointSVD(8, 1.0, kernel={"kind": "rbf_nystroem", "features": 16}),
    "text_neighbours": lambda: TextNeighbours(2.0, 6),
    "carried_factors": lambda: CarriedByText(UnionALS(6, 5.0, 5.0), "union_als", rank=6),
    "carried_bridge": lambda: CarriedByText(
        RidgeBridge([(TextProfile("films", 6), 1.0)], ridge=2.0), "ridge", 0.1, rank=6
    ),
    "text_cosine": lambda: TextSimilarity("cosine", "common", 6),
    "text_euclidean": lambda: TextSimilarity("euclidean", "raw"),
    "transferred_text": lambda: TransferredText(2.0, 6),
    "reused_map": lambda: ReusedMap(2.0, 6),
    "svd_to_items": lambda: RidgeBridge([(SVDFactors("films", 8), 1.0)], ridge=2.0),
    "text_to_items": lambda: RidgeBridge([(TextProfile("films", 6), 1.0)], ridge=2.0),
    "decayed_text_to_factors": lambda: RidgeBridge(
        [(TextProfile("tools", tau=2.0), 0.5)], ridge=2.0, als=ALS
    ),
    "als_to_factors": lambda: RidgeBridge([(ALSUserFactors("films", **ALS), 1.0)], ridge=1.0, als=ALS),
    "all_to_items": lambda: RidgeBridge(
        [
            (ALSUserFactors("films", **ALS), 1.0),
            (SVDFactors("tools", 8), 0.5),
            (TextProfile("films"), 0.3),
            (TargetHistory("books", least=2), 1.0),
        ],
        ridge=5.0,
    ),
    "linear_mapper": lambda: Mapper(
        [(ALSUserFactors("films", **ALS), 1.0)],
        {"als": ALS, "objective": "factors", "descent": QUICK},
        "linear",
    ),
    "mlp_mapper": lambda: Mapper(
        [
            (ALSUserFactors("films", **ALS), 1.0),
            (TextProfile("films", 6), 0.3),
            (TextProfile("tools", 6), 0.3),
        ],
        {"als": ALS, "alignment": "adversarial", "alignment_weight": 0.1, "descent": QUICK},
        hidden=16,
    ),
    "meta_mapper": lambda: MetaMapper(("films", "tools"), ALS, {"als": ALS, "descent": QUICK}, hidden=8),
    "next_items": lambda: RidgeBridge(
        [(TargetHistory("books", 2.0, least=2), 1.0), (TextProfile("books", tau=2.0), 1.0)],
        ridge=5.0,
        rows="next",
        tau_next=2.0,
    ),
    "next_factors": lambda: RidgeBridge(
        [(SVDFactors("books", 6, tau=3.0), 1.0)], ridge=2.0, rows="next", als=ALS
    ),
}


def task_of(world: Snapshot, target: str = "books", sources: tuple[str, ...] = ("films", "tools")) -> Task:
    """Everything visible."""
    logs = scaled({d: world.interactions[d] for d in (*sources, target)})
    return Task(target, sources, logs, world.catalogues, seed=0, device="cpu")


def without(world: Snapshot, domain: str) -> Snapshot:
    """The world with an empty log of `domain`."""
    return world.with_interactions(**{domain: world.interactions[domain].before(-1)})


def recommender_of(
    world: Snapshot, task: Task, kinds: Mapping[str, str], blends: Mapping[str, Blend], **notes: str
) -> Recommender:
    """What is served where the named SCORERS (name -> kind), fitted on `task`, are blended by `blends`."""
    return Recommender(
        task.target,
        world.users,
        {d: world.catalogues[d].item_ids for d in task.domains},
        {d: world.catalogues[d].titles for d in task.domains},
        task.interactions,
        {name: Member(kind, SCORERS[name]().fit(task)) for name, kind in kinds.items()},
        blends,
        notes,
    )
