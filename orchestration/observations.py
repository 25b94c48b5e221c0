"""What users took of the lists they were served, by model version: precision and recall as observed.

Counts come from the warehouse, one row a user and list; means and intervals from the very functions that
measure offline. No experiment: everybody is served, so nobody is there to compare with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.config import Home
from orchestration.files import replaced_file
from orchestration.served import Period

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

METRICS = ("recall", "precision")
ALL = "all"
# A window's row carries the time of its last event. A purchase that was cancelled later was not taken; an
# item that the user had before is left out of lists: taking it again can neither be a hit nor a miss.
_TAKEN = """
with taken_back as (
    select domain, purchase_window as window_start, user_id, item_id, sum(takes_back) as weight
    from marts.fct_cancellations
    group by all
),

standing as (
    select user_id, item_id, bought.event_time, bought.weight + coalesce(taken_back.weight, 0) as weight
    from marts.fct_interactions as bought
    left join taken_back using (domain, window_start, user_id, item_id)
    where domain = $target
),

known as (
    select user_id, item_id from standing where event_time < $as_of group by all having sum(weight) > 0
),

taken as (
    select user_id, item_id from standing
    where event_time >= $start and ($end is null or event_time < $end)
    group by all having sum(weight) > 0
),

shown as (select user_id, item_id from read_parquet($lists)),
users as (select distinct user_id from shown),
had as (select user_id, count(*) as items from known group by user_id)

select
    taken.user_id,
    cast(coalesce(any_value(had.items), 0) as integer) as known_items,
    cast(count(*) filter (known.item_id is null) as integer) as relevant,
    cast(count(*) filter (known.item_id is null and shown.item_id is not null) as integer) as hits,
    cast(count(*) filter (known.item_id is not null) as integer) as repeats,
    any_value(users.user_id) is not null as listed
from taken
left join known using (user_id, item_id)
left join shown using (user_id, item_id)
left join users on users.user_id = taken.user_id
left join had on had.user_id = taken.user_id
group by taken.user_id
order by taken.user_id
"""
_LISTS = "select count(distinct user_id), coalesce(max(rank), 0) from read_parquet(?)"


@dataclass(frozen=True)
class ListFacts:
    """One list that was served; name: of its file. listed: users with a list. counted: of those, who took
    something new.

    without_list: who took something new and had no list. repeats: items taken again, which lists leave out.
    """

    name: str
    as_of: str
    version: int
    start: str
    end: str | None
    shown: bool
    k: int
    listed: int
    counted: int
    without_list: int
    repeats: int


@dataclass(frozen=True)
class ObservedRow:
    """One version's mean over a cohort ("all": every user) with its 95 % interval over users."""

    version: int
    cohort: str
    metric: str
    mean: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class Observed:
    """What is known of a target's served lists, oldest first, and of the versions that made them.

    rows: as observed. offline: the same figures as the version's own evaluation has them.
    """

    target: str
    lists: list[ListFacts]
    rows: list[ObservedRow]
    offline: list[ObservedRow]

    def to_json(self) -> str:
        """Everything, readable."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Observed:
        """Undo `to_json`."""
        found = json.loads(text)
        lists = [ListFacts(**entry) for entry in found["lists"]]
        rows, offline = ([ObservedRow(**row) for row in found[name]] for name in ("rows", "offline"))
        return cls(found["target"], lists, rows, offline)


def log_end(connection: duckdb.DuckDBPyConnection, target: str) -> datetime | None:
    """The time of the target's last event; None where it has none."""
    query = "select max(event_time) from marts.fct_interactions where domain = ?"
    ((end,),) = connection.execute(query, [target]).fetchall()
    return end.astimezone(UTC) if end else None


def answers(connection: duckdb.DuckDBPyConnection, target: str, period: Period) -> tuple[ListFacts, pa.Table]:
    """What users did in a list's period, and the values of the listed ones who took something new.

    The table: version, user_id, cohort (by what the target knew of them at the as-of), recall = hits /
    relevant, precision = hits / k.
    """
    served = period.served
    asked = {
        "target": target,
        "as_of": datetime.combine(served.as_of, time(), UTC),
        "start": period.start,
        "end": period.end,
        "lists": str(served.path),
    }
    taken = connection.sql(_TAKEN, params=asked).to_arrow_table()
    ((listed, k),) = connection.execute(_LISTS, [str(served.path)]).fetchall()
    new = taken.filter(_where(taken, "relevant"))
    counted = new.filter(new["listed"])
    facts = ListFacts(
        name=served.path.name,
        as_of=served.as_of.isoformat(),
        version=served.version,
        start=period.start.isoformat(),
        end=period.end.isoformat() if period.end else None,
        shown=period.shown,
        k=k,
        listed=listed,
        counted=len(counted),
        without_list=len(new) - len(counted),
        repeats=sum(taken["repeats"].to_pylist()),
    )
    return facts, _values(counted, served.version, k)


def _where(table: pa.Table, column: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.greater(table[column], 0)


def _values(counted: pa.Table, version: int, k: int) -> pa.Table:
    import pyarrow as pa

    from ml.metrics.cohorts import user_cohort

    hits, relevant = counted["hits"].to_numpy(), counted["relevant"].to_numpy()
    return pa.table(
        {
            "version": pa.repeat(pa.scalar(version, pa.int32()), len(counted)),
            "user_id": counted["user_id"].cast(pa.string()),
            "cohort": pa.array(user_cohort(counted["known_items"].to_numpy()), pa.string()),
            "recall": pa.array(hits / relevant, pa.float64()),
            "precision": pa.array(hits / max(k, 1), pa.float64()),
        }
    )


def by_version(values: pa.Table, seed: int) -> list[ObservedRow]:
    """Means by version and cohort. A user who was served several lists of a version counts once, with the
    mean over them: an interval is over users, and one user's lists are no strangers to each other.
    """
    from ml.metrics.cohorts import USER_COHORTS
    from ml.metrics.intervals import bootstrap_means

    found = []
    for version in sorted(set(values["version"].to_pylist())):
        for cohort in (*USER_COHORTS, ALL):
            means = _user_means(values, version, cohort)
            if len(means):
                for metric, interval in zip(METRICS, bootstrap_means(means, seed=seed), strict=True):
                    figures = interval.mean, interval.low, interval.high, interval.n
                    found.append(ObservedRow(version, cohort, metric, *figures))
    return found


def _user_means(values: pa.Table, version: int, cohort: str) -> np.ndarray:
    """(users, metrics) float64 of one version, in the order of user ids."""
    import numpy as np
    import pyarrow.compute as pc

    kept = pc.equal(values["version"], version)
    if cohort != ALL:
        kept = pc.and_(kept, pc.equal(values["cohort"], cohort))
    means = values.filter(kept).group_by("user_id").aggregate([(metric, "mean") for metric in METRICS])
    means = means.sort_by("user_id")
    return np.stack([means[f"{metric}_mean"].to_numpy() for metric in METRICS], axis=1)


def observed_path(home: Home, target: str) -> Path:
    """Where the figures of a target's served lists lie; every user's values lie in the folder beside it."""
    return home.observed / f"{target}.json"


def read_observed(home: Home, target: str) -> Observed | None:
    """What was observed of a target's lists; None where nothing was written yet."""
    path = observed_path(home, target)
    return Observed.from_json(path.read_text()) if path.is_file() else None


def observe(
    connection: duckdb.DuckDBPyConnection, home: Home, target: str, lists: Iterable[Period], seed: int
) -> Observed:
    """Count the lists that are kept, beside what was counted of those that are gone; `offline` is empty.

    Every user's values are written; the rest is for `write_observed`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    before = read_observed(home, target)
    found = {} if before is None else {facts.name: facts for facts in before.lists}
    folder = home.observed / target
    for period in lists:
        facts, values = answers(connection, target, period)
        found[facts.name] = facts
        with replaced_file(folder / facts.name) as beside:
            pq.write_table(values, beside)
    tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    rows = by_version(pa.concat_tables(tables), seed) if tables else []
    return Observed(target, _in_order(list(found.values())), rows, [])


def write_observed(home: Home, observed: Observed) -> None:
    """Write the figures of one target, whole or not at all."""
    with replaced_file(observed_path(home, observed.target)) as beside:
        beside.write_text(observed.to_json())


def _in_order(lists: Sequence[ListFacts]) -> list[ListFacts]:
    return sorted(lists, key=lambda facts: (facts.start, facts.as_of, facts.version))
