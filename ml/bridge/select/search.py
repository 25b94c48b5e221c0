"""What one scorer alone is worth to the validation users whom selection asks: what a search maximises."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ml.bridge.contract import Scorer
from ml.bridge.protocol import Split
from ml.bridge.select.blend import SELECTION_DEPTH
from ml.bridge.select.choose import asked_users
from ml.metrics.ranking import ndcg_at_k
from ml.retrieval.exact import top_k_scores


@dataclass(frozen=True)
class Worth:
    """values, ndcg: cohort -> mean of `Pool.value` and of ndcg@k. users: cohort -> how many were asked.
    seconds: to fit and to ask."""

    values: Mapping[str, float]
    ndcg: Mapping[str, float]
    users: Mapping[str, int]
    seconds: float

    @property
    def mean(self) -> float:
        """Over cohorts, each counting alike: there are many warm users and few sparse ones."""
        return float(np.mean(list(self.values.values())))


def worth(split: Split, scorer: Scorer, k: int) -> Worth:
    """Fit the scorer on the split's task and ask it for the users of each cohort of enough users. ValueError
    where there is no such cohort, or where a score is not a number."""
    started = time.perf_counter()
    asked = asked_users(split)
    if not asked:
        raise ValueError(f"{split.task.target} has too few validation users ({split.scenario}) to ask")
    rows = np.concatenate(list(asked.values()))
    past = split.past.rows(rows)
    # A memo of its own: settings differ from trial to trial, and what was kept of each would fill the memory.
    scores = scorer.fit(replace(split.task, memo={})).score(past)
    if not scores.isfinite().all():
        raise ValueError("its scores are not finite")
    ranked = top_k_scores(scores, SELECTION_DEPTH * k, exclude=past.weights[split.task.target])[0]
    relevant = split.truth.matrix(np.ones(len(split.truth)))[split.users[rows]] > 0
    short = ndcg_at_k(ranked[:, :k], relevant)
    value = (short + ndcg_at_k(ranked, relevant)) / 2
    cohort = np.repeat(list(asked), [len(members) for members in asked.values()])
    values, ndcg = ({c: float(each[cohort == c].mean()) for c in asked} for each in (value, short))
    users = {c: len(members) for c, members in asked.items()}
    return Worth(values, ndcg, users, time.perf_counter() - started)
