"""A blend: a weighted sum of scorers, each standardised per user, one set of weights per user cohort.

Weights are small whole numbers found by forward selection with replacement on validation users (Caruana et
al. 2004, "Ensemble selection from libraries of models"); a scorer that does not help is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from scipy import sparse

from ml.bridge.contract import Parts, Scorer
from ml.bridge.histories import Histories
from ml.retrieval.exact import top_k_scores

# The list that validation scores is longer than the one users see: its ndcg orders candidates the same way
# with half the noise.
SELECTION_DEPTH = 5
_FLAT = 1e-9  # deviation at or below which a scorer says nothing of a user


@dataclass(frozen=True)
class Blend:
    """weights: scorer name -> share, summing to 1."""

    weights: Mapping[str, float]

    def score(self, members: Mapping[str, Scorer], past: Histories) -> torch.Tensor:
        """(u, n) blended scores."""
        return reduce(torch.add, (w * standardise(members[n].score(past)) for n, w in self.weights.items()))

    def parts(self, members: Mapping[str, Scorer], past: Histories, items: np.ndarray) -> Parts:
        """The blended score of `items` for the one user in `past` as a sum over past items."""
        constant, rows = np.zeros(len(items)), []
        known: dict[tuple[str, str], np.ndarray] = {}
        for name, weight in self.weights.items():
            scores = members[name].score(past)
            mean, deviation = float(scores.mean()), float(scores.std(correction=0))
            if deviation <= _FLAT:
                continue
            parts = members[name].parts(past, items)
            constant += weight * (parts.constant - mean) / deviation
            for domain, (positions, values) in parts.by_domain.items():
                blocks = parts.blocks.get(domain, np.full(len(positions), family(name), dtype=object))
                rows.append((domain, positions, weight * values / deviation, blocks))
            for label, said in parts.known.items():
                known[label] = known.get(label, 0) + weight * said / deviation
        return replace(Parts.of(constant, rows), known=known)


def family(name: str) -> str:
    """What kind of scorer a candidate's name, `family:settings@domains`, speaks of."""
    return name.split(":")[0].split("@")[0]


def standardise(scores: torch.Tensor) -> torch.Tensor:
    """Each row with mean 0 and deviation 1; a flat row (nothing is known) becomes zeros."""
    centred = scores - scores.mean(dim=1, keepdim=True)
    deviation = scores.std(dim=1, keepdim=True, correction=0)
    return torch.where(deviation > _FLAT, centred / deviation.clamp_min(_FLAT), torch.zeros_like(centred))


@dataclass(frozen=True)
class Pool:
    """Validation users with the items any candidate ranks high: all that a blend of them can put on a list.

    scores: candidate -> (u, p) standardised. relevant: (u, p) bool. relevant_count: (u,), with items outside.
    """

    scores: Mapping[str, torch.Tensor]
    relevant: torch.Tensor
    relevant_count: torch.Tensor

    @classmethod
    def gather(
        cls, scores: Mapping[str, torch.Tensor], seen: sparse.csr_matrix, truth: sparse.csr_matrix, depth: int
    ) -> Pool:
        """From full scores (u, n): every candidate's `depth` best unseen items together, padded with -inf."""
        n = truth.shape[1]
        tops = [top_k_scores(s, min(depth, n), exclude=seen)[0] for s in scores.values()]
        ordered = torch.from_numpy(np.sort(np.concatenate(tops, axis=1), axis=1))
        fresh = ordered >= 0
        fresh[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
        width = int(fresh.sum(dim=1).max())
        order = torch.argsort(~fresh, dim=1, stable=True)[:, :width]
        items, held = ordered.gather(1, order), fresh.gather(1, order)
        items = torch.where(held, items, 0)
        rows = np.repeat(np.arange(len(items)), width)
        relevant = np.asarray(truth[rows, items.numpy().ravel()] > 0).reshape(items.shape)
        gathered = {
            name: s.gather(1, items.to(s.device)).float().cpu().masked_fill(~held, -torch.inf)
            for name, s in scores.items()
        }
        return cls(gathered, torch.from_numpy(relevant) & held, torch.from_numpy(np.diff(truth.indptr)))

    def value(self, scores: torch.Tensor, k: int) -> torch.Tensor:
        """(u,) what selection maximises of blended `scores` (u, p): the mean of ndcg at k and deeper."""
        depth = min(SELECTION_DEPTH * k, scores.shape[1])
        hits = self.relevant.gather(1, scores.topk(depth, dim=1).indices).double()
        discounts = 1 / torch.log2(torch.arange(2, depth + 2, dtype=torch.float64))
        ideal = torch.cat([torch.zeros(1, dtype=torch.float64), discounts.cumsum(0)])
        short = hits[:, :k] @ discounts[:k] / ideal[self.relevant_count.clamp(1, min(k, depth))]
        return (short + hits @ discounts / ideal[self.relevant_count.clamp(1, depth)]) / 2


def choose_blend(pool: Pool, names: Sequence[str], k: int, steps: int = 10) -> tuple[Blend, np.ndarray]:
    """The best blend of candidates `names`, and its value per user; stops when no addition raises the mean.

    Ties go to the first name: the order of the candidates is the only prior.
    """
    picks: dict[str, int] = {}
    total, best, values = torch.zeros(1), -np.inf, torch.zeros(0)
    for _ in range(steps):
        trial = {name: pool.value(total + pool.scores[name], k) for name in names}
        winner = max(trial, key=lambda name: float(trial[name].mean()))
        if float(trial[winner].mean()) <= best + 1e-6:
            break
        best, values = float(trial[winner].mean()), trial[winner]
        total = total + pool.scores[winner]
        picks[winner] = picks.get(winner, 0) + 1
    count = sum(picks.values())
    return Blend({name: n / count for name, n in sorted(picks.items())}), values.numpy()
