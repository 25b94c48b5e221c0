"""Beyond accuracy: whether lists show more than the same few well-known items, by cohort and candidate.

Two lists may hit alike and differ in all of this: how much of the catalogue anybody gets to see (coverage),
how little known what is shown is (novelty, Zhou et al. 2010), how unlike each other the items of a list are
(intra-list diversity, Ziegler et al. 2005) and how unequally items are shown (popularity, Gini index).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.metrics.item_facts import ItemFacts
from ml.metrics.report import CANDIDATE, BeyondRow, by_cohort, ranked_positions

NOVELTY, DIVERSITY, POPULARITY = "novelty", "diversity", "popularity"
COVERAGE, GINI = "coverage", "gini"
# What each figure says, for whoever reads a table of them.
MEANING = {
    COVERAGE: "share of the catalogue that is on at least one list of the cohort",
    NOVELTY: "mean bits of surprise of a listed item: -log2 of the share of users who have it",
    DIVERSITY: "mean unlikeness of two items of a list: 0 the same, about 1 two items drawn at random",
    POPULARITY: "mean popularity percentile of a listed item: 1 the most popular, 0.5 one drawn at random",
    GINI: "how unequally the catalogue's items are shown: 0 all alike, 1 one item alone",
}
_CHUNK_NUMBERS = 1 << 24  # vector entries gathered at once


def beyond(lists: pa.Table, facts: ItemFacts, k: int) -> list[BeyondRow]:
    """The figures of MEANING at `k` for every cohort and candidate of `lists` (LISTS_SCHEMA).

    Users without a list count nowhere; a figure nobody has a value for is NaN. Coverage and Gini depend on
    how many users there are: compare them inside a cohort. Raises ValueError for an item outside the
    catalogue.
    """
    if not len(lists):
        return []
    rows = []
    for cohort, table in by_cohort(described(lists, facts, k)):
        for name in table[CANDIDATE].unique().sort().to_pylist():
            mine = table.filter(pc.equal(table[CANDIDATE], name))
            shown = mine["items"].combine_chunks().flatten().to_numpy()
            users = int(np.count_nonzero(pc.list_value_length(mine["items"]).to_numpy()))
            exposure = np.bincount(shown, minlength=len(facts.counts))
            figures = {COVERAGE: float((exposure > 0).mean()), GINI: gini(exposure)}
            figures |= {metric: mean(mine[metric].to_numpy()) for metric in (NOVELTY, DIVERSITY, POPULARITY)}
            rows += [BeyondRow(cohort, name, metric, figures[metric], users) for metric in MEANING]
    return rows


def gini(exposure: np.ndarray) -> float:
    """The Gini index of non-negative `exposure` (n,); NaN where nothing is shown."""
    total = exposure.sum()
    if not total:
        return float("nan")
    n = len(exposure)
    rank = np.arange(1, n + 1)
    return float(((2 * rank - n - 1) * np.sort(exposure)).sum() / (n * total))


def intra_list_diversity(ranked: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(u,) 1 - the mean cosine over the pairs of each list, NaN with fewer than two known items.

    ranked: (u, k) positions, -1 in empty slots. vectors: (n, d), rows of length 1, or 0 where nothing is
    known: such an item makes no pair.
    """
    found = np.full(len(ranked), np.nan)
    step = max(1, _CHUNK_NUMBERS // max(ranked.shape[1] * vectors.shape[1], 1))
    known = np.append(np.abs(vectors).sum(axis=1) > 0, False)  # the last: slot -1
    for first in range(0, len(ranked), step):
        part = ranked[first : first + step]
        used = known[part]
        # The sum of all pairs' cosines is (|sum of vectors|^2 - how many there are) / 2.
        total = np.where(used[:, :, None], vectors[part], 0).sum(axis=1, dtype=np.float64)
        m = used.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = ((total**2).sum(axis=1) - m) / (m * (m - 1))
        found[first : first + step] = np.where(m > 1, 1 - mean, np.nan)
    return found


def described(lists: pa.Table, facts: ItemFacts, k: int) -> pa.Table:
    """`lists` cut at k, with each user's novelty, diversity and popularity, NaN where the list is empty."""
    ranked = ranked_positions(lists["items"], k)
    if ranked.max(initial=-1) >= len(facts.counts):
        raise ValueError(
            f"a list holds item {ranked.max()}; the catalogue has {len(facts.counts)}: train again"
        )
    values = {
        NOVELTY: _mean_of(ranked, facts.surprise),
        DIVERSITY: intra_list_diversity(ranked, facts.vectors),
        POPULARITY: _mean_of(ranked, facts.percentile),
    }
    lists = lists.set_column(
        lists.column_names.index("items"), "items", pa.array(list(_cut(ranked)), pa.list_(pa.int32()))
    )
    for name, column in values.items():
        lists = lists.append_column(name, pa.array(column, pa.float64()))
    return lists


def _cut(ranked: np.ndarray) -> Iterator[np.ndarray]:
    for row in ranked:
        yield row[row >= 0]


def _mean_of(ranked: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """(u,) the mean worth (n,) of each list's items, NaN where there is none."""
    listed = ranked >= 0
    total = np.where(listed, worth[ranked], 0.0).sum(axis=1)
    return np.divide(total, listed.sum(axis=1), out=np.full(len(ranked), np.nan), where=listed.any(axis=1))


def mean(values: np.ndarray) -> float:
    """The mean over the users that have a value, NaN where none has one."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")
