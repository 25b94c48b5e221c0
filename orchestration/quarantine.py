"""The quarantine as a person reads it: which lines, why, what to do about it, and all of them as a file.

Everything here only reads the warehouse. `reason` is from a closed list, the first rule that applies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchestration.landing.quoting import quote

if TYPE_CHECKING:
    import duckdb

KINDS = ("events", "items", "users")
# Reason -> what its owner can do; in the order in which the rules are tried.
ADVICE = {
    "unparsable": "the format, delimiter, quoting or encoding in domains.D does not fit; where the "
    "file itself is broken, write it again and materialise its windows",
    "unknown_domain": "`where` is neither true nor false here; let it decide, for example with "
    "coalesce(..., false), then replay",
    "missing_user": "columns.user is empty here; map a column or an expression that names the user",
    "missing_item": "columns.item is empty here; map a column or an expression that names the item",
    "bad_time": "set domains.D.events.time_unit (numbers: s, ms, us, ns) or time_format (text), or map "
    "another columns.time, then replay",
    "before_calendar": "an earlier calendar.start takes these lines in; then replay",
    "future_time": "the clock or time_unit is wrong, or the calendar ends too early: move calendar.end, or "
    "wait until the window has ended, then replay",
    "unknown_event": "name the event in domains.D.event_weights, then replay",
    "negative_value": "say in columns.event what it means, for example case when Quantity < 0 then 'cancel' "
    "else 'purchase' end, then replay",
    "zero_value": "cleaning.zero_value: keep takes these lines in; then replay",
    "not_an_item": "a pattern of cleaning.not_items matches; narrow it if these are items, then replay",
    "test_account": "a pattern of cleaning.test_accounts matches; narrow it if these are users, then replay",
    "orphan_item": "add the item to the catalogue of domains.D.items, materialise raw/items, then replay",
    "duplicate": "the same line stands earlier in the window and counts there; nothing is to be done",
    "near_duplicate": "it repeats a line within cleaning.near_duplicate_seconds; lower that if both count, "
    "then replay",
    "bot": "the user exceeds cleaning.bots on that day; raise the limit if it is a person, then replay",
}
_COPY = {
    ".csv": "format csv, header true",
    ".jsonl": "format json",
    ".parquet": "format parquet, compression zstd",
}


class QuarantineError(Exception):
    """The quarantine cannot be read or written as asked; the message says what to do."""


class Count(NamedTuple):
    """Rejected lines of one domain, kind and reason, among all lines that were read there."""

    domain: str
    kind: str
    reason: str
    rejected: int
    lines: int


class Rejected(NamedTuple):
    """One rejected line."""

    domain: str
    kind: str
    window: date | None
    file: str
    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Selection:
    """Which rejected lines; None is all. `first` and `last` bound the first day of the window, inclusive."""

    domain: str | None = None
    reason: str | None = None
    kind: str | None = None
    first: date | None = None
    last: date | None = None

    def windows_sql(self) -> str:
        """SQL that is true for the rows of the domain and windows; catalogues have no window."""
        terms = [f"domain = {quote(self.domain)}"] if self.domain else []
        if self.first or self.last:
            first, last = self.first or date.min, self.last or date.max
            terms.append(f"window_start between date '{first}' and date '{last}'")
        return " and ".join(terms) or "true"

    def sql(self) -> str:
        """SQL that is true for the selected rows of marts.quarantine."""
        named = (("kind", self.kind), ("reason", self.reason))
        return " and ".join([self.windows_sql(), *(f"{name} = {quote(v)}" for name, v in named if v)])


def has_table(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> bool:
    """Whether the warehouse holds this table or view."""
    query = "select 1 from information_schema.tables where table_schema = ? and table_name = ?"
    return connection.execute(query, [schema, name]).fetchone() is not None


def require_models(connection: duckdb.DuckDBPyConnection) -> None:
    """QuarantineError where dbt has not yet built the quarantine."""
    if not has_table(connection, "marts", "quarantine"):
        raise QuarantineError(
            "no line has been judged yet; `landbridge run` (or the groups staging, intermediate and marts in "
            "Dagster) does it"
        )


def counts(connection: duckdb.DuckDBPyConnection, selection: Selection) -> list[Count]:
    """Rejected lines by domain, kind and reason; `lines` are all of that domain and kind in the windows."""
    read = " union all ".join(
        f"select domain, '{kind}' as kind, {'window_start' if kind == 'events' else 'null'} as window_start, "
        f"count(*) as lines from raw.{kind} group by all"
        for kind in KINDS
    )
    found = connection.execute(f"""
        with read as (
            select domain, kind, sum(lines) as lines from ({read})
            where {selection.windows_sql()} group by all
        )
        select domain, kind, reason, count(*) as rejected, cast(any_value(lines) as bigint) as lines
        from marts.quarantine left join read using (domain, kind)
        where {selection.sql()}
        group by all order by domain, kind, rejected desc, reason""").fetchall()
    return [Count(*row) for row in found]


def examples(connection: duckdb.DuckDBPyConnection, selection: Selection, limit: int) -> list[Rejected]:
    """Up to `limit` rejected lines, spread over domains and reasons: the first ones of each."""
    found = connection.execute(f"""
        with ranked as (
            select domain, kind, window_start, source_file, source_line, raw_line, reason, row_number() over (
                partition by domain, kind, reason order by window_start, source_file, source_line) as place
            from marts.quarantine where {selection.sql()}
            qualify place <= {limit}
        ), spread as (select * from ranked order by place, domain, kind, reason limit {limit})
        select * exclude (place) from spread order by domain, kind, reason, place""").fetchall()
    return [Rejected(*row) for row in found]


def export(connection: duckdb.DuckDBPyConnection, selection: Selection, out: Path) -> int:
    """Write every selected row with every column, as its suffix says, and return how many there are.

    QuarantineError for a suffix that is not .csv, .jsonl or .parquet. The file appears whole or not at all.
    """
    from orchestration.files import replaced_file

    if out.suffix.lower() not in _COPY:
        raise QuarantineError(f"{out}: expected a file that ends in {', '.join(_COPY)}")
    with replaced_file(out) as beside:
        written = connection.execute(f"""
            copy (select * from marts.quarantine where {selection.sql()}
                  order by domain, kind, window_start, source_file, source_line)
            to {quote(str(beside))} ({_COPY[out.suffix.lower()]})""").fetchone()
    return int(written[0]) if written else 0


def printable(text: str) -> str:
    """The text with line breaks and control characters escaped: a log must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def advice(reasons: Iterable[str]) -> dict[str, str]:
    """What can be done about each of the reasons, in the order in which the rules are tried."""
    wanted = set(reasons)
    return {reason: sentence for reason, sentence in ADVICE.items() if reason in wanted}
