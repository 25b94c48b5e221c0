"""Landing files into the raw schema: whole windows (events) or whole catalogues (items), replaced at once.

Each load deletes and inserts in one transaction: run again it gives the same rows, killed it changes none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date

import duckdb

from orchestration.config import Calendar, Config
from orchestration.landing.history import EVENTS, ITEMS, record, survey
from orchestration.landing.quoting import identifier, quote
from orchestration.landing.raw_tables import horizon, prepare
from orchestration.landing.readers import reading
from orchestration.landing.sources import Source, SourceFile, event_source, item_source

# The roles that a log may lack, and the columns of raw.events that hold them.
OPTIONAL = {"event": "event_type", "value": "value", "quantity": "quantity", "text": "review"}


@dataclass(frozen=True)
class Span:
    """The windows of some domains from `start` to before `end`: what one run of the event assets covers."""

    domains: tuple[str, ...]
    start: date
    end: date

    def days(self, calendar: Calendar) -> list[date]:
        """The first day of each window."""
        days, day = [], self.start
        while day < self.end:
            days.append(day)
            day = calendar.window_end(day)
        return days

    @classmethod
    def of(cls, keys: Sequence[tuple[str, date]], calendar: Calendar) -> Span:
        """The span of (domain, window) keys; ValueError where they leave gaps: those would be loaded too."""
        domains, days = sorted({domain for domain, _ in keys}), sorted({day for _, day in keys})
        span = cls(tuple(domains), days[0], calendar.window_end(days[-1]))
        if len(set(keys)) != len(domains) * len(span.days(calendar)):
            raise ValueError(
                f"{len(set(keys))} partitions are no whole range of {len(domains)} domains; run them apart"
            )
        return span


@dataclass(frozen=True)
class Loaded:
    """What a load wrote for one domain; `elsewhere` lines of its files belong to other domains (`where`)."""

    rows: int
    unparsable: int
    files: int
    elsewhere: int = 0


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block or nothing of it, whatever ends it."""
    connection.execute("begin")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        with suppress(
            duckdb.TransactionException
        ):  # a commit that found the disk full has rolled back already
            connection.execute("rollback")
        raise


def _rereadable(connection: duckdb.DuckDBPyConnection, source: Source, rows: str) -> str:
    """`rows`, kept aside where the lines of other domains are counted as well: a stream can be read once."""
    if source.where is None:
        return rows
    connection.execute(f"create or replace temp table landed as {rows}")
    return "select * from landed"


def window_sql(moment: str, grain: str) -> str:
    """SQL for the first day of the window of the SQL expression `moment` (TIMESTAMPTZ in a UTC session)."""
    if grain == "week":  # weeks start on Sunday, DuckDB's on Monday
        return f"cast(date_trunc('week', {moment} + interval 1 day) - interval 1 day as date)"
    return f"cast(date_trunc('{grain}', {moment}) as date)"


def events_sql(
    config: Config, domain: str, rows: str, window: str | None = None, chosen: str = "belongs"
) -> str:
    """SELECT of a domain's rows (SQL, as the readers give them) with what raw.events holds after the file.

    Also window_start: the SQL expression `window`, or by the time that the row tells. Of all rows those that
    belong to the domain, or those where another condition holds.
    """
    source, calendar = event_source(config, domain), config.calendar
    optional = ", ".join(
        f"{identifier(role) if role in source.columns else 'cast(null as varchar)'} as {column}"
        for role, column in OPTIONAL.items()
    )
    if window is None:
        # A line whose time gives no window of the calendar must still be somewhere: in the first one.
        first, future = f"date '{calendar.start}'", f"timestamptz '{horizon(calendar).isoformat()}'"
        inside, own = (
            f'"time" >= {first} and "time" < {future}',
            window_sql('"time"', calendar.grain),
        )
        window = f"case when {inside} then {own} else {first} end"
    return f"""
        select {window} as window_start, source_line, "user" as user_id, "item" as item_id, {optional},
            "time" as occurred_at, raw_line, error
        from ({rows}) where {chosen}"""


def _insert_events(
    connection: duckdb.DuckDBPyConnection, config: Config, domain: str, file: SourceFile, span: Span
) -> int:
    """Insert the span's lines of one file; returns how many more it has there, of other domains."""
    source = event_source(config, domain)
    window = None if file.window is None else f"date '{file.window}'"
    inside = f"where window_start >= date '{span.start}' and window_start < date '{span.end}'"
    with reading(connection, source, file.path) as read:
        rows = _rereadable(connection, source, read)
        connection.execute(f"""
            insert into raw.events by name
            select {quote(domain)} as domain, {quote(source.label(file.path))} as source_file, *
            from ({events_sql(config, domain, rows, window)}) {inside}""")
    if source.where is None:
        return 0
    others = events_sql(config, domain, rows, window, "not belongs")
    return connection.execute(f"select count(*) from ({others}) {inside}").fetchall()[0][0]


def load_events(connection: duckdb.DuckDBPyConnection, config: Config, span: Span) -> dict[str, Loaded]:
    """Replace the span's windows of raw.events by what the files hold now.

    A line lies in the window of its time, or in the first one where it tells no time inside the calendar; a
    line of a `{date}` file lies in the file's window. A log that is not split by date is read once for the
    whole span, however many windows it has. SourceError before anything is written.
    """
    days = span.days(config.calendar)
    surveys = {domain: survey(connection, config, domain, EVENTS, days) for domain in span.domains}
    prepare(connection, config)
    elsewhere = dict.fromkeys(span.domains, 0)
    with transaction(connection):
        for domain, found in surveys.items():
            connection.execute(
                "delete from raw.events where domain = ? and window_start >= ? and window_start < ?",
                [domain, span.start, span.end],
            )
            for file in found.files:
                elsewhere[domain] += _insert_events(connection, config, domain, file, span)
            record(connection, config, found, (span.start, span.end))
    counts = connection.execute(
        "select domain, count(*), count(error) from raw.events "
        "where window_start >= ? and window_start < ? group by domain",
        [span.start, span.end],
    ).fetchall()
    found_rows = {domain: (rows, bad) for domain, rows, bad in counts}
    return {
        domain: Loaded(*found_rows.get(domain, (0, 0)), len(surveys[domain].files), elsewhere[domain])
        for domain in span.domains
    }


def _list_of(source: Source, role: str) -> str:
    """SQL for the values of role.0, role.1, ... in order; an empty list where none is mapped."""
    columns = [name for name in source.columns if name.startswith(f"{role}.")]
    return f"cast([{', '.join(map(identifier, columns))}] as varchar[])"


def _optional(source: Source, role: str) -> str:
    """SQL for the value of a role under its own name; null where it is not mapped."""
    return f"{identifier(role) if role in source.columns else 'cast(null as varchar)'} as {identifier(role)}"


def _insert_items(
    connection: duckdb.DuckDBPyConnection, domain: str, source: Source, file: SourceFile
) -> int:
    """Insert the lines of one catalogue file; returns how many more it has, of other domains."""
    with reading(connection, source, file.path) as read:
        rows = _rereadable(connection, source, read)
        connection.execute(f"""
            insert into raw.items by name
            select {quote(domain)} as domain, {quote(source.label(file.path))} as source_file, source_line,
                "item" as item_id, {_list_of(source, "text")} as texts, raw_line, error,
                {_optional(source, "available")}, {_optional(source, "category")},
                {_list_of(source, "region")} as regions
            from ({rows}) where belongs""")
    if source.where is None:
        return 0
    return connection.execute(f"select count(*) from ({rows}) where not belongs").fetchall()[0][0]


def load_items(
    connection: duckdb.DuckDBPyConnection, config: Config, domains: Sequence[str]
) -> dict[str, Loaded]:
    """Replace catalogues in raw.items by what the files hold now; SourceError before anything is written."""
    sources = {domain: item_source(config, domain) for domain in domains}
    surveys = {domain: survey(connection, config, domain, ITEMS) for domain in domains}
    prepare(connection, config)
    elsewhere = dict.fromkeys(domains, 0)
    with transaction(connection):
        for domain, source in sources.items():
            connection.execute("delete from raw.items where domain = ?", [domain])
            for file in surveys[domain].files:
                elsewhere[domain] += _insert_items(connection, domain, source, file)
            record(connection, config, surveys[domain])
    counts = connection.execute("select domain, count(*), count(error) from raw.items group by 1").fetchall()
    found_rows = {domain: (rows, bad) for domain, rows, bad in counts}
    return {
        domain: Loaded(*found_rows.get(domain, (0, 0)), len(surveys[domain].files), elsewhere[domain])
        for domain in domains
    }
