"""How much the text kernel may say: beta, chosen on entries hidden inside the training data.

0, no text at all, is always a choice, and the one taken unless another is better beyond chance: three times
the beta that serves cold users best costs them more than the kernel brought (benchmarks/kernel_svd.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from ml.metrics.ranking import ndcg_at_k
from ml.retrieval.exact import top_k_scores

# In mean eigenvalues of the kernel: at 1, what a typical direction of text says doubles a squared length.
BETAS = (0.0, 0.1, 0.3, 1.0, 3.0)
# Lists longer than a user sees order settings the same way with less noise.
DEPTH = 50
# One-sided 95 %, paired by user.
CONFIDENCE = 1.645


@dataclass(frozen=True)
class BetaChoice:
    """beta: chosen. betas, ndcg: what was tried, and the mean over `users` who had entries hidden."""

    beta: float
    betas: tuple[float, ...]
    ndcg: tuple[float, ...]
    users: int


@dataclass(frozen=True)
class HeldOut:
    """visible: (m, n) the matrix without the hidden entries. users: (u,) its rows that lost some. hidden:
    (u, n) bool, what they lost."""

    visible: sparse.csr_matrix
    users: np.ndarray
    hidden: sparse.csr_matrix


def hold_out(
    matrix: sparse.csr_matrix, columns: slice, seed: int = 0, share: float = 0.2, most: int = 1000
) -> HeldOut:
    """Hide what a drawn `share` of the users, `most` at most, did in `columns` of `matrix` (m, n).

    Asked are users who have entries in the columns and outside: all of theirs inside are hidden. Where the
    columns are the whole matrix every second entry is hidden, in a drawn order, of users who have two.
    """
    random = np.random.default_rng(seed)
    entries = matrix.tocoo()
    first, last, _ = columns.indices(matrix.shape[1])
    inside = (entries.col >= first) & (entries.col < last)
    per_user = [np.bincount(entries.row[mask], minlength=matrix.shape[0]) for mask in (inside, ~inside)]
    whole = last - first == matrix.shape[1]
    able = np.flatnonzero(per_user[0] >= 2 if whole else (per_user[0] > 0) & (per_user[1] > 0))
    users = np.sort(random.choice(able, min(most, int(np.ceil(share * len(able)))), replace=False))
    hide = inside & np.isin(entries.row, users)
    if whole:
        hide &= _every_second(entries.row, random)
    rows, cols = entries.row[hide], entries.col[hide]
    lost = (np.ones(len(rows), bool), (np.searchsorted(users, rows), cols))
    kept = (entries.data[~hide], (entries.row[~hide], entries.col[~hide]))
    return HeldOut(
        sparse.csr_matrix(kept, shape=matrix.shape),
        users,
        sparse.csr_matrix(lost, shape=(len(users), matrix.shape[1])),
    )


def choose_beta(
    score: Callable[[float], torch.Tensor],
    hidden: sparse.csr_matrix,
    seen: sparse.csr_matrix,
    betas: Sequence[float] = BETAS,
) -> BetaChoice:
    """The beta with the highest ndcg at 50, if its gain over 0 is beyond chance; else 0.

    score: beta -> (u, n) scores of a model that has not seen `hidden` (u, n) bool. seen: (u, n), entries that
    are known and not recommended. 0 is tried first even where `betas` leave it out. Users without a hidden
    entry are not asked; where that leaves nobody, it is 0.
    """
    tried = (0.0, *sorted({float(beta) for beta in betas} - {0.0}))
    asked = np.diff(hidden.indptr) > 0
    if not asked.any():
        return BetaChoice(0.0, tried, (), 0)
    values = np.array([_ndcg(score(beta), hidden, seen)[asked] for beta in tried])
    best = int(values.mean(axis=1).argmax())
    gain = values[best] - values[0]
    error = float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else np.inf
    chosen = tried[best] if gain.mean() > CONFIDENCE * error else 0.0
    return BetaChoice(chosen, tried, tuple(values.mean(axis=1).tolist()), len(gain))


def _ndcg(scores: torch.Tensor, hidden: sparse.csr_matrix, seen: sparse.csr_matrix) -> np.ndarray:
    ranked, _ = top_k_scores(scores, min(DEPTH, scores.shape[1]), exclude=seen)
    return ndcg_at_k(ranked, hidden)


def _every_second(rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(nnz,) bool: half of each row's entries, rounded down, in a drawn order."""
    order = np.lexsort((random.random(len(rows)), rows))
    starts = np.searchsorted(rows[order], rows[order])
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[order] = (np.arange(len(rows)) - starts) % 2 == 1
    return chosen
