"""What measured lists are worth: every user's values, means by cohort with intervals, and the paired lift.

The lists are `ml.bridge.lists.LISTS_SCHEMA`: one row a candidate and user, with ranked and relevant items.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from ml import columns as c
from ml.metrics.cohorts import FURTHER_COHORTS, USER_COHORTS
from ml.metrics.intervals import Interval, bootstrap_means
from ml.metrics.ranking import ndcg_at_k, precision_at_k, recall_at_k
from ml.metrics.significance import benjamini_hochberg, detectable_lift

METRICS = {"recall": recall_at_k, "precision": precision_at_k, "ndcg": ndcg_at_k}
CANDIDATES = ("popularity", "twin", "bridge")
# What users get today, its recipe refitted on the very split the candidates are measured on.
CHAMPION = "champion"
# What is compared, (of, over): a candidate earns its place over the next simpler one, and over the champion.
LIFT = ("bridge", "twin")
PAIRS = (LIFT, ("twin", "popularity"), *((name, CHAMPION) for name in reversed(CANDIDATES)))
ALL = "all"
SCENARIO, CANDIDATE = "scenario", "candidate"
_KEY = [(SCENARIO, "ascending"), (c.COHORT, "ascending"), (c.USER_ID, "ascending")]


@dataclass(frozen=True)
class CohortRow:
    """One candidate's mean over a cohort ("all": every user of USER_COHORTS) with its 95 % interval."""

    cohort: str
    candidate: str
    metric: str
    mean: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class LiftRow:
    """`of` - `over` of a cohort, paired by user, with its 95 % interval.

    p: of no difference (two-sided). q: p adjusted for the cohorts asked together (Benjamini and Hochberg).
    detectable: the least true lift that as many users would show in four of five tests. differing: users for
    whom the two are not level; below `significance.FEWEST` the interval is narrower than it says.
    """

    cohort: str
    metric: str
    mean: float
    low: float
    high: float
    users: int
    of: str = "bridge"
    over: str = "twin"
    p: float = float("nan")
    q: float = float("nan")
    detectable: float = float("nan")
    differing: int = 0


@dataclass(frozen=True)
class BeyondRow:
    """What one candidate's lists to a cohort are like, beside their hits: see `ml.metrics.beyond`."""

    cohort: str
    candidate: str
    metric: str
    value: float
    users: int


@dataclass(frozen=True)
class PriceRow:
    """What re-ranking does to a candidate's lists: the plain mean and the change, paired by user."""

    cohort: str
    candidate: str
    metric: str
    plain: float
    mean: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class Report:
    """rows and lifts by cohort. per_user: scenario, cohort, candidate, user_id, recall, precision, ndcg.

    lifts: of the bridge over its twin. comparisons: every other pair that the gate looks at.

    beyond: what the lists are like. price: what re-ranking changes, empty where lists are as scored.
    """

    k: int
    rows: list[CohortRow]
    lifts: list[LiftRow]
    per_user: pa.Table = field(compare=False)
    beyond: list[BeyondRow] = field(default_factory=list)
    price: list[PriceRow] = field(default_factory=list)
    comparisons: list[LiftRow] = field(default_factory=list)

    def to_json(self) -> str:
        """k and all rows; `per_user` is kept as Parquet beside it."""
        rows = {name: [asdict(row) for row in getattr(self, name)] for name in _ROWS}
        return json.dumps({"k": self.k, **rows}, indent=2)

    @classmethod
    def from_json(cls, text: str, per_user: pa.Table) -> Report:
        """Undo `to_json`; a report written before it had one of its kinds of rows has none of them."""
        found = json.loads(text)
        rows = {name: [kind(**row) for row in found.get(name, [])] for name, kind in _ROWS.items()}
        return cls(k=found["k"], per_user=per_user, **rows)


_ROWS: dict[str, type] = {
    "rows": CohortRow,
    "lifts": LiftRow,
    "beyond": BeyondRow,
    "price": PriceRow,
    "comparisons": LiftRow,
}


def evaluate(lists: pa.Table, catalogue_size: int, k: int, seed: int = 0) -> Report:
    """Measure lists over a catalogue of `catalogue_size` items at `k`; a user counts once a scenario.

    Rows hold popularity, twin and bridge, then every further candidate of the cohort's lists, by name.
    Raises ValueError as `ml.metrics.ranking` does, for positions outside the catalogue or repeated ones.
    """
    lists = lists.sort_by([(CANDIDATE, "ascending"), *_KEY])
    per_user = lists.select([SCENARIO, c.COHORT, CANDIDATE, c.USER_ID])
    for name, column in hits(lists, catalogue_size, k).items():
        per_user = per_user.append_column(name, pa.array(column))
    rows: list[CohortRow] = []
    pairs: list[LiftRow] = []
    for cohort, table in by_cohort(per_user):
        peers = sorted(set(table[CANDIDATE].unique().to_pylist()) - set(CANDIDATES))
        parts = {name: table.filter(pc.equal(table[CANDIDATE], name)) for name in (*CANDIDATES, *peers)}
        _check_paired(cohort, parts)
        means, differences = _measured(cohort, parts, seed)
        rows += means
        pairs += differences
    pairs = _adjusted(pairs)
    lifts = [row for row in pairs if (row.of, row.over) == LIFT]
    others = [row for row in pairs if (row.of, row.over) != LIFT]
    return Report(k, rows, lifts, per_user, comparisons=others)


def _measured(cohort: str, parts: Mapping[str, pa.Table], seed: int) -> tuple[list[CohortRow], list[LiftRow]]:
    """A cohort's means and differences, metric by metric, all from the same resamples of its users."""
    values = {(name, metric): part[metric].to_numpy() for metric in METRICS for name, part in parts.items()}
    pairs = [(of, over, metric) for metric in METRICS for of, over in PAIRS if over in parts]
    apart = [values[of, metric] - values[over, metric] for of, over, metric in pairs]
    found = bootstrap_means(np.stack([*values.values(), *apart], axis=1), seed=seed)
    rows = [
        CohortRow(cohort, name, metric, mean.mean, mean.low, mean.high, mean.n)
        for (name, metric), mean in zip(
            values, (row.within(0, 1) for row in found[: len(values)]), strict=True
        )
    ]
    return rows, [
        _difference(cohort, *pair, lift.within(-1, 1), column)
        for pair, lift, column in zip(pairs, found[len(values) :], apart, strict=True)
    ]


def _difference(
    cohort: str, of: str, over: str, metric: str, lift: Interval, differences: np.ndarray
) -> LiftRow:
    least, differing = detectable_lift(differences), int((np.nan_to_num(differences) != 0).sum())
    bounds = (lift.mean, lift.low, lift.high, lift.n)
    return LiftRow(cohort, metric, *bounds, of, over, p=lift.p, detectable=least, differing=differing)


def _adjusted(rows: Iterable[LiftRow]) -> list[LiftRow]:
    """The rows with q: the cohorts of USER_COHORTS are asked together, every other one is asked for itself.

    A user of "all" is one of a cohort too: that row is no further question to the family.
    """
    families: dict[tuple[str, ...], list[LiftRow]] = {}
    for row in rows:
        asked = "" if row.cohort in USER_COHORTS else row.cohort
        families.setdefault((row.of, row.over, row.metric, asked), []).append(row)
    q = {
        (row.of, row.over, row.metric, row.cohort): float(value)
        for family in families.values()
        for row, value in zip(family, benjamini_hochberg(np.array([r.p for r in family])), strict=True)
    }
    return [replace(row, q=q[row.of, row.over, row.metric, row.cohort]) for row in rows]


def hits(lists: pa.Table, catalogue_size: int, k: int) -> dict[str, np.ndarray]:
    """Metric -> (u,) values of the lists, in their order; NaN where the user has no relevant item."""
    ranked, relevant = ranked_positions(lists["items"], k), _relevant(lists["relevant"], catalogue_size)
    return {name: measure(ranked, relevant) for name, measure in METRICS.items()}


def by_cohort(per_user: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each cohort that has any: USER_COHORTS, all of those together, then the further ones."""
    for cohort in USER_COHORTS:
        part = per_user.filter(pc.equal(per_user[c.COHORT], cohort))
        if len(part):
            yield cohort, part
    served = per_user.filter(pc.is_in(per_user[c.COHORT], pa.array(USER_COHORTS)))
    if len(served):
        yield ALL, served
    for cohort in FURTHER_COHORTS:
        part = per_user.filter(pc.equal(per_user[c.COHORT], cohort))
        if len(part):
            yield cohort, part


def _check_paired(cohort: str, parts: Mapping[str, pa.Table]) -> None:
    """Every candidate has a list for the same users: differences are taken user by user."""
    first, *others = (part.select([SCENARIO, c.USER_ID]) for part in parts.values())
    if not all(part.equals(first) for part in others):
        counts = {name: len(part) for name, part in parts.items()}
        raise ValueError(f"candidates are listed for different {cohort} users (lists: {counts}): train again")


def ranked_positions(items: pa.ChunkedArray, k: int) -> np.ndarray:
    """(u, k) positions from lists, cut at k, short ones padded with -1."""
    out = np.full((len(items), k), -1, dtype=np.int64)
    flat, starts = _flat(items)
    row = np.repeat(np.arange(len(items)), np.diff(starts))
    slot = np.arange(len(flat)) - starts[row]
    kept = slot < k
    out[row[kept], slot[kept]] = flat[kept]
    return out


def _relevant(items: pa.ChunkedArray, catalogue_size: int) -> sparse.csr_matrix:
    flat, starts = _flat(items)
    return sparse.csr_matrix(
        (np.ones(len(flat), dtype=bool), flat, starts), shape=(len(items), catalogue_size)
    )


def _flat(items: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """The values of all lists in order, and (u + 1,) where each list starts."""
    lengths = pc.list_value_length(items).to_numpy()
    # A copy: Arrow's memory is read-only, and scipy works in place.
    return pc.list_flatten(items).to_numpy().copy(), np.concatenate([[0], np.cumsum(lengths)]).astype(
        np.int64
    )
