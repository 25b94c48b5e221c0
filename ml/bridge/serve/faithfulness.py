"""Are explanations true? Take a past item out of the history and see whether the recommendation gives way.

The parts of a score are exact with a user's normalisation held: the lengths of profiles, the folded-in
factor's own solve, and the mean and deviation a blend standardises by. All of them follow the history, so a
score without the item differs from what its part foretells; how far is what this measures (deletion test:
Samek et al. 2017, "Evaluating the visualization of what a deep neural network has learned").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ml.bridge.contract import Scorer
from ml.bridge.histories import Histories, histories
from ml.bridge.serve.recommender import Recommender
from ml.data import Interactions

CHUNK_USERS = 128  # whose dense scores are held at once
Pick = Literal["named", "random"]


@dataclass(frozen=True)
class Question:
    """One recommendation and the past item whose part in it is doubted. foretold: how the score should
    change without the past item."""

    user: int
    item: int
    domain: str
    position: int
    foretold: float


@dataclass(frozen=True)
class Removals:
    """What happened without the past items, one entry a question. foretold, change: (q,) of the score.
    before, after: (q,) ranks of the recommended item, 1 is best."""

    foretold: np.ndarray
    change: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def fell(self) -> float:
        """Share of the recommendations whose score fell."""
        return float((self.change < 0).mean())

    @property
    def sank(self) -> float:
        """Share whose rank fell."""
        return float((self.after > self.before).mean())

    @property
    def rose(self) -> float:
        """Share whose rank rose."""
        return float((self.after < self.before).mean())

    @property
    def agreement(self) -> float:
        """Pearson correlation of what was foretold with what came; NaN below three entries."""
        if len(self.change) < 3:
            return float("nan")
        return float(np.corrcoef(self.foretold, self.change)[0, 1])

    @property
    def error(self) -> float:
        """Mean distance of what came from what was foretold, over the mean size of what was foretold."""
        return float(np.abs(self.change - self.foretold).mean() / np.abs(self.foretold).mean())


def questions(model: Recommender, users: Sequence[int], k: int, pick: Pick, seed: int = 0) -> list[Question]:
    """One for each of the users (positions) with two past items or more that the model reads: an item drawn
    from the user's list of `k`, and the past item that speaks most for it, or a random other one.
    """
    random, found = np.random.default_rng(seed), []
    everybody = histories(model.logs, np.asarray(users))
    for row, user in enumerate(users):
        past = everybody.rows(slice(row, row + 1))
        cohort = str(model.cohorts(past)[0][0])
        place = int(random.integers(k))
        listed = model.rank(past, k)[0][0]
        items = listed[listed >= 0][: place + 1][-1:]
        if not len(items) or cohort not in model.blends:
            continue
        support = model.support(past, cohort, items)
        terms = [
            (float(value), domain, int(position))
            for domain, (positions, values) in support.past.items()
            for position, value in zip(positions, values[:, 0], strict=True)
        ]
        if len(terms) < 2:
            continue
        terms.sort(reverse=True)
        value, domain, position = terms[0 if pick == "named" else int(random.integers(1, len(terms)))]
        found.append(Question(int(user), int(items[0]), domain, position, -value))
    return found


def removals(model: Recommender, asked: Sequence[Question]) -> Removals:
    """Score every user of the questions again without the past item, by the blend of the cohort as it was."""
    users = np.array([q.user for q in asked])
    before, after = histories(model.logs, users), histories(without(model.logs, asked), users)
    cohorts, _ = model.cohorts(before)
    change, ranks = np.zeros(len(asked)), np.zeros((2, len(asked)), dtype=int)
    for cohort in np.unique(cohorts):
        rows = np.flatnonzero(cohorts == cohort)
        for start in range(0, len(rows), CHUNK_USERS):
            part = rows[start : start + CHUNK_USERS]
            items = torch.tensor([asked[row].item for row in part])
            seen = before.rows(part)
            scores = [_unseen_scores(model, str(cohort), p.rows(part), seen) for p in (before, after)]
            mine = [s.gather(1, items[:, None]) for s in scores]
            change[part] = (mine[1] - mine[0]).squeeze(1).numpy()
            ranks[:, part] = [1 + (s > m).sum(dim=1).numpy() for s, m in zip(scores, mine, strict=True)]
    return Removals(np.array([q.foretold for q in asked]), change, ranks[0], ranks[1])


def without(logs: Mapping[str, Interactions], asked: Sequence[Question]) -> dict[str, Interactions]:
    """The logs without the questions' past items, each gone for its own user alone."""
    kept = {}
    for domain, log in logs.items():
        gone = np.array([q.user * log.n_items + q.position for q in asked if q.domain == domain], np.int64)
        pairs = log.users.astype(np.int64) * log.n_items + log.items
        kept[domain] = log.select(~np.isin(pairs, gone))
    return kept


def _unseen_scores(model: Recommender, cohort: str, past: Histories, seen: Histories) -> torch.Tensor:
    """(u, n) blended scores, -inf for what the users had before anything was removed."""
    scores = model.blends[cohort].score(_scorers(model), past).double().cpu()
    hidden = torch.from_numpy(seen.weights[model.target].toarray() > 0)
    return scores.masked_fill(hidden, -torch.inf)


def _scorers(model: Recommender) -> dict[str, Scorer]:
    return {name: member.scorer for name, member in model.members.items()}
