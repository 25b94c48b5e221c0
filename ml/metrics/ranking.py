"""Ranking metrics per user, over the whole catalogue and never over sampled candidates.

All take `ranked` (u, k) integers, item positions from best to worst, -1 where the list is shorter than k, and
`relevant` (u, n) sparse, whose stored non-zero entries are the items that count; k is the width of `ranked`.
Values are per user, float64, in [0, 1], and NaN for a user with no relevant item: such users are left out of
a mean, and counted. ValueError where the shapes disagree, a position is outside the catalogue, or one is
listed twice.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy import sparse

from ml import columns as c


def recall_at_k(ranked: np.ndarray, relevant: sparse.csr_matrix) -> np.ndarray:
    """(u,) hits / |relevant|: a list of k cannot reach 1 where more than k items are relevant.

    By hand: ranked [3, 1], relevant {1, 2, 4}: one hit of three, 1/3.
    """
    hits, total = _hits(ranked, relevant)
    return _where_relevant(hits.sum(axis=1), total, total)


def precision_at_k(ranked: np.ndarray, relevant: sparse.csr_matrix) -> np.ndarray:
    """(u,) hits / k, where k counts empty slots too: a short list is not rewarded for being short.

    By hand: ranked [3, 1, -1, -1], relevant {1, 2}: one hit of four slots, 1/4.
    """
    hits, total = _hits(ranked, relevant)
    return _where_relevant(hits.sum(axis=1), np.full(len(hits), ranked.shape[1]), total)


def ndcg_at_k(ranked: np.ndarray, relevant: sparse.csr_matrix) -> np.ndarray:
    """(u,) DCG / ideal DCG: gain 1 per hit, discounted by log2(rank + 1); the ideal has min(k, |relevant|)
    hits.

    By hand: ranked [3, 1], relevant {1}: (1 / log2 3) / (1 / log2 2) = 0.6309.
    """
    hits, total = _hits(ranked, relevant)
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(total, hits.shape[1])]
    return _where_relevant(hits @ discounts, ideal, total)


def coverage(ranked: np.ndarray, n_items: int) -> float:
    """Share of the catalogue (n_items) that is recommended to at least one user; NaN for an empty
    catalogue.
    """
    listed = np.unique(ranked[ranked >= 0])
    return len(listed) / n_items if n_items else float("nan")


def per_user_table(
    user_ids: np.ndarray, cohorts: np.ndarray, model: str, ranked: np.ndarray, relevant: sparse.csr_matrix
) -> pa.Table:
    """One row per user: user_id, cohort, model, relevant (count), recall, precision, ndcg; NaN as above.

    Kept as Parquet beside every evaluation, so that any two models can be compared user by user.
    """
    return pa.table(
        {
            c.USER_ID: pa.array(user_ids, pa.string()),
            c.COHORT: pa.array(cohorts, pa.string()),
            "model": pa.array([model] * len(user_ids), pa.string()),
            "relevant": pa.array(_hits(ranked, relevant)[1], pa.int64()),
            "recall": recall_at_k(ranked, relevant),
            "precision": precision_at_k(ranked, relevant),
            "ndcg": ndcg_at_k(ranked, relevant),
        }
    )


def _hits(ranked: np.ndarray, relevant: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """(u, k) float64 0/1 hits and (u,) counts of relevant items."""
    truth = sparse.csr_matrix(relevant, dtype=bool)
    truth.sum_duplicates()
    truth.eliminate_zeros()
    if ranked.ndim != 2 or len(ranked) != truth.shape[0]:
        raise ValueError(
            f"ranked has shape {ranked.shape}, relevant {truth.shape}: one ranked list per row is needed"
        )
    filled = ranked >= 0
    if filled.any() and ranked.max() >= truth.shape[1]:
        raise ValueError(f"ranked names item {ranked.max()}, but the catalogue has {truth.shape[1]} items")
    ordered = np.sort(ranked, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError("a ranked list names an item twice: it would be counted as two hits")
    # One sorted key per (user, item) pair turns the look-up into a binary search, whatever the catalogue's
    # size.
    width = np.int64(max(truth.shape[1], 1))
    keys = np.repeat(np.arange(len(ranked)), np.diff(truth.indptr)) * width + truth.indices
    asked = np.arange(len(ranked))[:, None] * width + ranked
    return (np.isin(asked, keys) & filled).astype(np.float64), np.diff(truth.indptr).astype(np.int64)


def _where_relevant(numerator: np.ndarray, denominator: np.ndarray, total: np.ndarray) -> np.ndarray:
    values = np.full(len(total), np.nan)
    np.divide(numerator, denominator, out=values, where=(total > 0) & (denominator > 0))
    return values
