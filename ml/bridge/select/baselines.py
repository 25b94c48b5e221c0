"""The classical peers that every evaluation measures beside the bridge, its twin and popularity.

They are measured and never served. Where there are sources a peer is measured on the target alone and, as
`<peer>_union`, on the union of all domains. A family with several settings has, on the test users of a
cohort, the one that was best for that cohort on validation users; one with a single setting has nothing to
choose. Peers must stay cheap beside the training they accompany: settings are few, and they are chosen on
fewer users and, for EASE, on fewer items than are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import get_args

import numpy as np
import pyarrow as pa
import torch

from ml.bridge.contract import Scorer, Task
from ml.bridge.histories import Histories
from ml.bridge.lists import Asked
from ml.bridge.protocol import Split
from ml.bridge.scorers.ease import EASE
from ml.bridge.scorers.item_knn import ItemKNN
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.similarity import Measure, Space, TextSimilarity
from ml.bridge.scorers.union import JointSVD, UnionALS
from ml.bridge.select.blend import SELECTION_DEPTH
from ml.bridge.select.candidates import fitted
from ml.bridge.select.choose import asked_users, target_only
from ml.bridge.select.mapper_candidates import emcdr
from ml.metrics.cohorts import SPARSE, WARM
from ml.metrics.ranking import ndcg_at_k
from ml.retrieval.exact import top_k_scores

UNION = "_union"  # ends the name of a peer that reads the sources too
# Popularity's share of the range of a user's scores: it orders what a peer leaves level, and everything for
# users of whom the peer knows nothing.
TIE = 1e-4
# Scores held at once: products that stay near the cache take a third of the time.
CHUNK_SCORES = 1 << 21
# Validation users a cohort, and items of EASE, while settings are chosen: enough to order a few settings.
CHOOSING_USERS = 500
CHOOSING_ITEMS = 1000
EASE_ITEMS = 3000
HALF_LIVES = (3.0, 7.0, 14.0, 90.0, 365.0)  # days
# Cold users are told apart by weak evidence from other domains: more of it helps, and more doubt of it. Where
# fewer neighbours with less shrinkage could be chosen too, validation preferred these in 24 of 25
# choices (the demo world's four targets and food), and 1000 over a ridge of 300 for cold users in 5 of 5.
NEIGHBOURS = {"cold": ((1000, 100.0),), "time": ((1000, 30.0),)}
RIDGES = {"cold": (1000.0,), "time": (500.0, 100.0)}
# The bridge's own candidates: each is fitted once for both.
FACTORS = {"cold": ((32, 100.0), (16, 100.0), (16, 30.0)), "time": ((32, 100.0), (16, 30.0))}
JOINT_RANKS = (128, 64)

Picked = Mapping[str, Mapping[str, str]]  # cohort -> peer -> the name of its scorer
Made = dict[str, tuple[Scorer, Task]]  # name -> unfitted scorer and the task it is fitted on


def _families(scenario: str, ease_items: int) -> dict[str, dict[str, Scorer]]:
    """Peer -> name -> unfitted scorer, of whatever domains the task has."""
    return {
        "item_knn": {f"item_knn:n{n}-s{s:g}": ItemKNN(n, s) for n, s in NEIGHBOURS[scenario]},
        "ease": {f"ease:r{ridge:g}": EASE(ridge, ease_items) for ridge in RIDGES[scenario]},
        "als": {f"union_als:f{f}-l{ridge:g}": UnionALS(f, 10.0, ridge) for f, ridge in FACTORS[scenario]},
    }


def peers(scenario: str, task: Task, ease_items: int = EASE_ITEMS) -> dict[str, Made]:
    """Peer -> its settings, the default first.

    A peer on the target alone knows nothing of a cold user: there it has no scorer and lists what is popular.
    """
    twin = task.twin()
    half_lives = {f"recent_popularity:d{days:g}@target": (Popularity(days), twin) for days in HALF_LIVES}
    found: dict[str, Made] = {"recent_popularity": dict(half_lives)}
    for peer, scorers in _families(scenario, ease_items).items():
        alone = {target_only(name): (scorer, twin) for name, scorer in scorers.items()}
        found[peer] = alone if scenario == "time" else {}
    if task.sources:
        for peer, scorers in _families(scenario, ease_items).items():
            found[peer + UNION] = {name: (scorer, task) for name, scorer in scorers.items()}
        found |= _text_peers(task) | {
            "joint_svd": {f"joint_svd:f{f}": (JointSVD(f), task) for f in JOINT_RANKS}
        }
        found |= {peer: {name: (s, task) for name, s in made.items()} for peer, made in emcdr(task).items()}
    return found


def _text_peers(task: Task) -> dict[str, Made]:
    """Nearness of texts, in either measure and space; none where the target or all sources have no text."""
    known = [d for d in task.domains if task.catalogues[d].has_vector.any()]
    if task.target not in known or len(known) < 2:
        return {}
    return {
        f"text_{measure}": {
            f"text_{measure}:{space}": (TextSimilarity(measure, space), task) for space in get_args(Space)
        }
        for measure in get_args(Measure)
    }


def choose_peers(split: Split, k: int, say: Callable[[str], None]) -> dict[str, dict[str, str]]:
    """Cohort -> peer -> the best of its settings on validation users, as `Pool.value` measures it."""
    asked = asked_users(split, CHOOSING_USERS)
    if not asked:
        return {}
    rows = np.concatenate(list(asked.values()))
    past = split.past.rows(rows)
    relevant = split.truth.matrix(np.ones(len(split.truth)))[split.users[rows]] > 0
    popular = popular_row(split.task)
    picked: dict[str, dict[str, str]] = {cohort: {} for cohort in asked}
    for peer, made in peers(split.scenario, split.task, CHOOSING_ITEMS).items():
        if len(made) > 1:
            say(f"{split.task.target}: settings of {peer} ({split.scenario})")
        values = {name: np.zeros(len(rows)) for name in made}
        for name, (scorer, task) in made.items() if len(made) > 1 else ():
            ranked = rank(fitted(name, scorer, task), popular, past, split.task.target, SELECTION_DEPTH * k)
            values[name] = (ndcg_at_k(ranked[:, :k], relevant) + ndcg_at_k(ranked, relevant)) / 2
        first = 0
        for cohort, members in asked.items():
            mine = slice(first, first := first + len(members))
            if made:
                picked[cohort][peer] = max(made, key=lambda name: float(values[name][mine].mean()))
    return picked


def peer_lists(asked: Asked, picked: Picked, k: int, say: Callable[[str], None]) -> Iterator[pa.Table]:
    """What every peer lists for the users, with the settings picked for their cohorts."""
    task = asked.split.task
    popular, unknown = popular_row(task), None
    for peer, made in peers(asked.split.scenario, task).items():
        say(f"{task.target}: measuring {peer} ({asked.split.scenario})")
        if made:
            ranked = _by_cohort(peer, made, asked, picked, popular, k)
        else:
            # The same for all peers of whom there is no scorer here.
            unknown = ranked = _popular_lists(asked, popular, k) if unknown is None else unknown
        yield asked.table(peer, ranked)


def _by_cohort(
    peer: str, made: Made, asked: Asked, picked: Picked, popular: torch.Tensor, k: int
) -> np.ndarray:
    """(u, k) each user's list by the setting of the user's cohort. One is fitted at a time: a fitted peer may
    be as large as a catalogue squared."""
    ranked = np.full((len(asked.past), k), -1, dtype=np.int64)
    names = np.array([setting(peer, made, str(cohort), picked) for cohort in asked.cohorts], dtype=object)
    for name in sorted(set(names)):
        rows, (scorer, task) = np.flatnonzero(names == name), made[name]
        past = asked.past.rows(rows)
        ranked[rows] = rank(fitted(name, scorer, task), popular, past, task.target, k)
    return ranked


def _popular_lists(asked: Asked, popular: torch.Tensor, k: int) -> np.ndarray:
    task = asked.split.task
    return rank(Popularity().fit(task), popular, asked.past, task.target, k)


def setting(peer: str, made: Made, cohort: str, picked: Picked) -> str:
    """The setting that is measured; the default, which is the first, where validation had too few users."""
    near = picked.get(cohort) or (picked.get(WARM, {}) if cohort == SPARSE else {})
    return near.get(peer, next(iter(made)))


def popular_row(task: Task) -> torch.Tensor:
    """(1, n) the target's popularity, from 0 to 1."""
    scores = Popularity().fit(task).state()[1]["scores"]
    return torch.from_numpy(scores / max(scores.max(initial=0), 1e-12))[None]


def rank(scorer: Scorer, popular: torch.Tensor, past: Histories, target: str, k: int) -> np.ndarray:
    """(u, k) the best unseen items, -1 where there are no more; what the scorer leaves level, by popularity.

    The scorer's own scale is kept: to standardise every row, as blends do, took most of a peer's time.
    """
    found = [np.empty((0, k), dtype=np.int64)]
    for _, part in past.chunks(max(1, CHUNK_SCORES // max(popular.shape[1], 1))):
        scores = scorer.score(part)
        low, high = scores.amin(dim=1, keepdim=True), scores.amax(dim=1, keepdim=True)
        spread = torch.where(high > low, high - low, 1)
        tied = (scores - low).addcmul_(spread, popular.to(scores.device), value=TIE)
        found.append(top_k_scores(tied, k, exclude=part.weights[target])[0])
    return np.concatenate(found)
