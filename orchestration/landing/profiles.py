"""What the columns of one landing file look like: their names, and a class for the values of each.

A class is judged on the first thousand readable rows: the most that drift needs to know, the least that tells
seconds from milliseconds and numbers from text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from orchestration.landing.columns import columns_of
from orchestration.landing.lines import read_lines
from orchestration.landing.readers import LINES, lines_sql, rows_sql, time_sql
from orchestration.landing.sources import Source

_LOOK = 64 << 10  # bytes read at a time for it
SAMPLE = 1000  # rows of a file that are looked at
SHARE = 0.9  # of the values that are not empty must agree, or the column is `mixed`: real logs hold 'n/a'
FEW = 5  # so few values of text among numbers or dates may all be dirt
EMPTY, MIXED, TEXT, INTEGER, DECIMAL, BOOLEAN = "empty", "mixed", "text", "integer", "decimal", "boolean"
TIMESTAMP, DATE_TEXT = "timestamp", "date text"  # ISO 8601 and the like; a form that needs `time_format`
EPOCH_UNIT = {"epoch_s": "s", "epoch_ms": "ms", "epoch_us": "us", "epoch_ns": "ns"}
UNKNOWN = (EMPTY, MIXED)

# 1980 to 2100 in each unit: the ranges are far apart, so a number lies in one of them at most.
_FIRST, _LAST = 315_532_800, 4_102_444_800
_EPOCHS = "\n".join(
    f"when number between {_FIRST * scale} and {_LAST * scale} then '{kind}'"
    for kind, scale in zip(EPOCH_UNIT, (1, 10**3, 10**6, 10**9), strict=True)
)
_DATED = "^([0-9]|(?i:mon|tue|wed|thu|fri|sat|sun))"  # before the costly attempts to read a time
_CLASS = f"""case
    when lower(value) in ('true', 'false') then '{BOOLEAN}'
    {_EPOCHS}
    when number is not null and regexp_full_match(value, '[+-]?[0-9]+') then '{INTEGER}'
    when number is not null and isfinite(number) then '{DECIMAL}'
    when case when regexp_matches(value, '{_DATED}') then {time_sql("value")} end is not null
        then '{TIMESTAMP}'
    when regexp_full_match(value, '[0-9]{{1,4}}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,4}}([ T].*)?')
        then '{DATE_TEXT}'
    else '{TEXT}' end"""


@dataclass(frozen=True)
class Profile:
    """Columns in the file's order, the class of each, and the rows that were looked at."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: int = SAMPLE

    def type_of(self, column: str) -> str | None:
        """The class of a column; None where the file has no such column."""
        return dict(zip(self.columns, self.types, strict=True)).get(column)

    def filled(self, earlier: Profile | None) -> Profile:
        """This profile, where a column that tells nothing this time has the class it had before."""
        known = dict(zip(earlier.columns, earlier.types, strict=True)) if earlier else {}
        pairs = zip(self.columns, self.types, strict=True)
        return replace(self, types=tuple(known.get(c, t) if t in UNKNOWN else t for c, t in pairs))


def _judged(counts: dict[str, int]) -> str:
    """The class of a column from the number of values of each class."""
    total = sum(counts.values())
    if not total:
        return EMPTY
    if counts.keys() <= {INTEGER, DECIMAL} and DECIMAL in counts:
        return DECIMAL
    kind, most = max(counts.items(), key=lambda found: found[1])
    if most < SHARE * total or (kind == TEXT and total < FEW):
        return MIXED
    return kind


def profile_of(connection: duckdb.DuckDBPyConnection, source: Source, path: Path) -> Profile:
    """Look at the first rows of a file; it is read as the source's format says, whatever is mapped."""
    columns = columns_of(path, source.dialect).names
    if not columns:
        return Profile((), (), rows=0)
    roles = {f"c{place}": column for place, column in enumerate(columns)}
    every = replace(source, columns=roles, where=None, claims=())
    values = ", ".join(every.columns)
    if source.format == "parquet":
        rows = rows_sql(connection, every, path)
    else:
        connection.register(LINES, read_lines(path, source.dialect, _LOOK))
        rows = lines_sql(every, columns)
    found = connection.execute(f"""
        with sample as (
            select [{values}] as row from ({rows}) where error is null limit {SAMPLE}
        ), cells as (
            select place, trim(row[place + 1]) as value
            from sample, range({len(columns)}) as places(place)
        ), classed as (
            select place, {_CLASS.replace("number", "try_cast(value as double)")} as kind
            from cells where value <> ''
        )
        select place, kind, count(*) from classed group by all
        union all select null, null, count(*) from sample""").fetchall()
    counts: list[dict[str, int]] = [{} for _ in columns]
    for place, kind, number in found:
        if place is not None:
            counts[place][kind] = number
    looked_at = next(number for place, _, number in found if place is None)
    return Profile(columns, tuple(map(_judged, counts)), looked_at)
