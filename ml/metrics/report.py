"""What measured lists are worth: every user's values, means by cohort with intervals, and the paired lift.

The lists are `ml.bridge.lists.LISTS_SCHEMA`: one row a candidate and user, with ranked and relevant items.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from ml import columns as c
from ml.metrics.cohorts import USER_COHORTS
from ml.metrics.intervals import bootstrap_means
from ml.metrics.ranking import ndcg_at_k, precision_at_k, recall_at_k

METRICS = {"recall": recall_at_k, "precision": precision_at_k, "ndcg": ndcg_at_k}
CANDIDATES = ("popularity", "twin", "bridge")
ALL = "all"
SCENARIO, CANDIDATE = "scenario", "candidate"
_KEY = [(SCENARIO, "ascending"), (c.COHORT, "ascending"), (c.USER_ID, "ascending")]


@dataclass(frozen=True)
class CohortRow:
    """One candidate's mean over a cohort ("all": every measured user) with its 95 % interval."""

    cohort: str
    candidate: str
    metric: str
    mean: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class LiftRow:
    """bridge - twin over a cohort, paired by user, with its 95 % interval."""

    cohort: str
    metric: str
    mean: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class Report:
    """rows and lifts by cohort. per_user: scenario, cohort, candidate, user_id, recall, precision, ndcg."""

    k: int
    rows: list[CohortRow]
    lifts: list[LiftRow]
    per_user: pa.Table = field(compare=False)

    def to_json(self) -> str:
        """k, rows and lifts; `per_user` is kept as Parquet beside it."""
        rows, lifts = [asdict(row) for row in self.rows], [asdict(row) for row in self.lifts]
        return json.dumps({"k": self.k, "rows": rows, "lifts": lifts}, indent=2)

    @classmethod
    def from_json(cls, text: str, per_user: pa.Table) -> Report:
        """Undo `to_json`."""
        found = json.loads(text)
        rows, lifts = [CohortRow(**row) for row in found["rows"]], [LiftRow(**row) for row in found["lifts"]]
        return cls(found["k"], rows, lifts, per_user)


def evaluate(lists: pa.Table, catalogue_size: int, k: int, seed: int = 0) -> Report:
    """Measure lists over a catalogue of `catalogue_size` items at `k`; a user counts once a scenario.

    Rows hold popularity, twin and bridge, then every further candidate of the lists, by name.
    Raises ValueError as `ml.metrics.ranking` does, for positions outside the catalogue or repeated ones.
    """
    lists = lists.sort_by([(CANDIDATE, "ascending"), *_KEY])
    ranked, relevant = _ranked(lists["items"], k), _relevant(lists["relevant"], catalogue_size)
    per_user = lists.select([SCENARIO, c.COHORT, CANDIDATE, c.USER_ID])
    for name, measure in METRICS.items():
        per_user = per_user.append_column(name, pa.array(measure(ranked, relevant)))
    peers = sorted(set(lists[CANDIDATE].unique().to_pylist()) - set(CANDIDATES))
    rows, lifts = [], []
    for cohort, table in _cohorts(per_user):
        parts = {name: table.filter(pc.equal(table[CANDIDATE], name)) for name in (*CANDIDATES, *peers)}
        _check_paired(cohort, parts)
        for metric in METRICS:
            values = {name: part[metric].to_numpy() for name, part in parts.items()}
            columns = [*values.values(), values["bridge"] - values["twin"]]
            *means, lift = bootstrap_means(np.stack(columns, axis=1), seed=seed)
            for name, mean in zip(values, means, strict=True):
                rows.append(CohortRow(cohort, name, metric, mean.mean, mean.low, mean.high, mean.n))
            lifts.append(LiftRow(cohort, metric, lift.mean, lift.low, lift.high, lift.n))
    return Report(k, rows, lifts, per_user)


def _cohorts(per_user: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    for cohort in USER_COHORTS:
        part = per_user.filter(pc.equal(per_user[c.COHORT], cohort))
        if len(part):
            yield cohort, part
    if len(per_user):
        yield ALL, per_user


def _check_paired(cohort: str, parts: Mapping[str, pa.Table]) -> None:
    """Every candidate has a list for the same users: differences are taken user by user."""
    first, *others = (part.select([SCENARIO, c.USER_ID]) for part in parts.values())
    if not all(part.equals(first) for part in others):
        counts = {name: len(part) for name, part in parts.items()}
        raise ValueError(f"candidates are listed for different {cohort} users (lists: {counts}): train again")


def _ranked(items: pa.ChunkedArray, k: int) -> np.ndarray:
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
