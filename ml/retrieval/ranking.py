"""The best of a block of scores and the best so far, made one list: the inner step of exact search.

A list is sorted by score; equal scores stand in order of position. Every function keeps that order, which
torch.topk does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

RUN = 32  # items whose greatest score is compared first; reading maxima costs a tenth of a top-k
CROWDED = 4  # a block is ranked whole where more than one in this many of its runs may hold a better item


@dataclass(frozen=True)
class Best:
    """positions (q, k) int64 and scores (q, k) float32, best first; -1 and -inf in empty slots."""

    positions: torch.Tensor
    scores: torch.Tensor

    @classmethod
    def none(cls, q: int, k: int, device: torch.device) -> Best:
        """Nothing yet."""
        return cls(
            torch.full((q, k), -1, dtype=torch.int64, device=device),
            torch.full((q, k), -torch.inf, device=device),
        )

    @property
    def worst(self) -> torch.Tensor:
        """(q,) what a score must exceed to enter the list, for items that come later."""
        return self.scores[:, -1]


@dataclass(frozen=True)
class Found:
    """Candidates of a block for some queries: rows (r,), None for all; positions and scores (r, w)."""

    rows: torch.Tensor | None
    best: Best


def ranked(scores: torch.Tensor, k: int, worst: torch.Tensor) -> Found:
    """What of `scores` (q, m), m a multiple of RUN, may belong to the k best, all that exceeds `worst` (q,).

    Raises ValueError for NaN.
    """
    if k * RUN * CROWDED > scores.shape[1] and bool((worst == -torch.inf).any()):
        return _whole(scores, k)
    peaks = scores.view(len(scores), -1, RUN).amax(dim=2)
    _check(peaks)
    hot = peaks > worst[:, None]
    if CROWDED * int(hot.sum()) > hot.numel():
        if k > peaks.shape[1]:
            return _whole(scores, k)
        # k runs reach the k-th greatest peak, so k scores do: lower ones are out of question.
        floor = peaks.topk(k, dim=1).values[:, -1]
        worst = torch.maximum(worst, floor.nextafter(torch.tensor(-torch.inf, device=floor.device)))
        hot = peaks > worst[:, None]
        if CROWDED * int(hot.sum()) > hot.numel():
            return _whole(scores, k)
    row, run = hot.nonzero(as_tuple=True)
    near = scores.view(len(scores), -1, RUN)[row, run]
    which, offset = (near > worst[row][:, None]).nonzero(as_tuple=True)
    return _as_lists(row[which], run[which] * RUN + offset, near[which, offset])


def _whole(scores: torch.Tensor, k: int) -> Found:
    best = top(scores, min(k, scores.shape[1]))
    _check(best.scores[:, :1])  # torch.topk holds NaN for the greatest
    return Found(None, best)


def _check(greatest: torch.Tensor) -> None:
    if torch.isnan(greatest).any():
        raise ValueError("scores hold NaN: the model that made them diverged")


def _as_lists(row: torch.Tensor, position: torch.Tensor, score: torch.Tensor) -> Found:
    """Triples in order of row and position as one line per row."""
    rows, line, counts = row.unique_consecutive(return_inverse=True, return_counts=True)
    slot = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[line]
    found = Best.none(len(rows), int(counts.max()) if len(rows) else 0, row.device)
    found.positions[line, slot], found.scores[line, slot] = position, score
    return Found(rows, found)


def merge(best: Best, found: Found, first: int) -> Best:
    """`best` with what a later block brings, its positions counted from `first`."""
    k, rows = best.positions.shape[1], slice(None) if found.rows is None else found.rows
    if first == 0 and found.rows is None and found.best.positions.shape[1] == k:
        return found.best
    later = torch.where(found.best.positions >= 0, found.best.positions + first, -1)
    positions = torch.cat([best.positions[rows], later], dim=1)
    # + 0.0 turns -0.0 into 0.0, which a radix sort would tell apart.
    scores = torch.cat([best.scores[rows], found.best.scores], dim=1) + 0.0
    # Earlier positions stand first, so a stable sort leaves ties in their order.
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    best.positions[rows] = positions.gather(1, order[:, :k])
    best.scores[rows] = scores[:, :k]
    return best


def top(scores: torch.Tensor, k: int) -> Best:
    """The k greatest of each row of `scores` (q, m), by torch.topk; -1 where a score is -inf.

    torch.topk breaks ties as it likes. Inside a list two stable sorts put them in order; where the k-th and
    the next score are equal the list itself is in doubt, and that row is ranked by all that reaches its
    k-th score.
    """
    found = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    by_position = found.indices[:, :k].sort(dim=1)
    value = found.values[:, :k].gather(1, by_position.indices) + 0.0
    value, order = value.sort(dim=1, descending=True, stable=True)
    best = by_position.values.gather(1, order).masked_fill(value == -torch.inf, -1)
    if found.values.shape[1] > k:
        last, following = found.values[:, k - 1], found.values[:, k]
        doubtful = ((last == following) & (last > -torch.inf)).nonzero().squeeze(1)
        if len(doubtful):
            best[doubtful], value[doubtful] = _among_ties(scores[doubtful], last[doubtful, None], k)
    return Best(best, value)


def _among_ties(scores: torch.Tensor, threshold: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(r, k) positions and scores of the k greatest of each row, given its k-th greatest score (r, 1)."""
    row, column = (scores >= threshold).nonzero(as_tuple=True)
    by_score = (scores[row, column] + 0.0).argsort(descending=True, stable=True)
    order = by_score[row[by_score].argsort(stable=True)]
    row, column = row[order], column[order]
    first = torch.searchsorted(row, torch.arange(len(scores), device=row.device))
    rank = torch.arange(len(row), device=row.device) - first[row]
    kept = rank < k
    return column[kept].view(-1, k), scores[row, column][kept].view(-1, k)
