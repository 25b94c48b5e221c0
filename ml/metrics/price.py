"""What changing lists costs and brings: the re-ranked lists beside the plain ones, paired by user."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml import columns as c
from ml.metrics.beyond import COVERAGE, DIVERSITY, GINI, NOVELTY, POPULARITY, beyond, described, mean
from ml.metrics.intervals import paired_lift
from ml.metrics.item_facts import ItemFacts
from ml.metrics.report import CANDIDATE, METRICS, SCENARIO, BeyondRow, PriceRow, by_cohort, hits

_KEYS = [CANDIDATE, SCENARIO, c.COHORT, c.USER_ID]


def price(plain: pa.Table, changed: pa.Table, facts: ItemFacts, k: int, seed: int = 0) -> list[PriceRow]:
    """What `changed` lists cost and bring beside the `plain` ones of the same users and candidates.

    Recall, precision and NDCG and what users have of novelty, diversity and popularity come with intervals
    paired by user; coverage and Gini, which no user has alone, have none. Candidates that `changed` lacks are
    passed over. Raises ValueError where the users differ.
    """
    both = plain.filter(pc.is_in(plain[CANDIDATE], changed[CANDIDATE].unique()))
    before, after = (
        _measured(table.sort_by([(key, "ascending") for key in _KEYS]), facts, k) for table in (both, changed)
    )
    if not before.select(_KEYS).equals(after.select(_KEYS)):
        raise ValueError("plain and changed lists are of different users: train again")
    sets = {(r.cohort, r.candidate, r.metric): r.value for r in beyond(both, facts, k)}
    rows = []
    for (cohort, old), (_, new) in zip(by_cohort(before), by_cohort(after), strict=True):
        for name in old[CANDIDATE].unique().to_pylist():
            a, b = (part.filter(pc.equal(part[CANDIDATE], name)) for part in (old, new))
            for metric in (*METRICS, NOVELTY, DIVERSITY, POPULARITY):
                x, y = a[metric].to_numpy(), b[metric].to_numpy()
                lift = paired_lift(y, x, seed=seed)
                lift = lift.within(-1, 1) if metric in METRICS else lift
                base = mean(np.where(np.isnan(y), np.nan, x))
                rows.append(PriceRow(cohort, name, metric, base, lift.mean, lift.low, lift.high, lift.n))
    return rows + _of_sets(beyond(changed, facts, k), sets)


def _of_sets(changed: list[BeyondRow], plain: Mapping[tuple[str, str, str], float]) -> list[PriceRow]:
    rows = []
    for row in changed:
        if row.metric in (COVERAGE, GINI):
            base = plain[row.cohort, row.candidate, row.metric]
            gain, unknown = row.value - base, float("nan")
            rows.append(
                PriceRow(row.cohort, row.candidate, row.metric, base, gain, unknown, unknown, row.users)
            )
    return rows


def _measured(lists: pa.Table, facts: ItemFacts, k: int) -> pa.Table:
    """`described` and the accuracy of every list."""
    table = described(lists, facts, k)
    for name, values in hits(lists, len(facts.counts), k).items():
        table = table.append_column(name, pa.array(values))
    return table
