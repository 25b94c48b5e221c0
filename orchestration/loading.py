"""Landing files into the raw schema: whole windows (events) or whole catalogues (items), replaced at once.

Each load deletes and inserts in one transaction: run again it gives the same rows, killed it changes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb

from orchestration.config import Calendar, Config
from orchestration.readers import glob_escape, identifier, quote, rows_sql, time_sql
from orchestration.sources import SourceFile, event_source, item_source, usable_files

_STEP = {"day": "1 day", "week": "7 days", "month": "1 month"}
_TABLES = """
create table if not exists raw.events (
    domain varchar not null, window_start date not null,
    source_file varchar not null, source_line bigint not null,
    user_id varchar, item_id varchar, event_time varchar, event_type varchar, value varchar,
    occurred_at timestamptz, raw_line varchar, error varchar);
create table if not exists raw.items (
    domain varchar not null, source_file varchar not null, source_line bigint not null,
    item_id varchar, texts varchar[], raw_line varchar, error varchar);
create table if not exists raw.domain_settings (
    domain varchar not null, identity varchar not null,
    event_is_mapped boolean not null, default_event varchar not null,
    dated_files boolean not null, window_step interval not null, calendar_start timestamptz not null,
    horizon timestamptz not null);
create table if not exists raw.event_weights (
    domain varchar not null, event_type varchar not null, weight double not null);
create table if not exists raw.identity_map (domain varchar, user_id varchar, shared_id varchar);
"""


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
    """What a load wrote for one domain."""

    rows: int
    unparsable: int
    files: int


def horizon(calendar: Calendar, now: datetime | None = None) -> datetime:
    """The moment from which events are in the future: the end of the last whole window, or now if earlier."""
    now = now or datetime.now(UTC)
    if calendar.end is None:
        return now
    spare = (calendar.end - calendar.start).days % 7 if calendar.grain == "week" else 0
    end = calendar.end - timedelta(days=spare)
    return min(now, datetime(end.year, end.month, end.day, tzinfo=UTC))


def window_sql(moment: str, grain: str) -> str:
    """SQL for the first day of the window of the SQL expression `moment` (TIMESTAMPTZ in a UTC session)."""
    if grain == "week":  # weeks start on Sunday, DuckDB's on Monday
        return f"cast(date_trunc('week', {moment} + interval 1 day) - interval 1 day as date)"
    return f"cast(date_trunc('{grain}', {moment}) as date)"


def prepare(connection: duckdb.DuckDBPyConnection, config: Config) -> None:
    """Create the raw tables and write what the models must know of the configuration, as tables."""
    connection.execute(_TABLES)
    identity = config.identity if isinstance(config.identity, str) else "map"
    calendar = config.calendar
    settings = [
        (
            name, identity, domain.events.columns.event is not None, domain.events.default_event,
            domain.events.dated, _STEP[calendar.grain], f"{calendar.start}T00:00:00Z", horizon(calendar),
        )
        for name, domain in config.domains.items()
    ]  # fmt: skip
    weights = [
        (d, e.strip().lower(), w) for d, m in config.domains.items() for e, w in m.event_weights.items()
    ]
    connection.execute("begin")
    for table, rows in (("domain_settings", settings), ("event_weights", weights)):
        connection.execute(f"delete from raw.{table}")
        if rows:
            places = ", ".join("?" * len(rows[0]))
            connection.executemany(f"insert into raw.{table} values ({places})", rows)
    connection.execute("delete from raw.identity_map")
    if not isinstance(config.identity, str):
        path = glob_escape(config.resolve(config.identity.map))
        connection.execute(
            "insert into raw.identity_map select trim(domain), trim(user_id), trim(shared_id) "
            f"from read_csv({quote(path)}, header = true, all_varchar = true)"
        )
    connection.execute("commit")


def _insert_events(
    connection: duckdb.DuckDBPyConnection, config: Config, domain: str, file: SourceFile, span: Span
) -> None:
    source, files, calendar = event_source(config, domain), config.domains[domain].events, config.calendar
    rows = rows_sql(connection, source, file.path)
    fields = {role: identifier(role) if role in source.columns else "null" for role in ("event", "value")}
    if file.window is not None:
        window = f"date '{file.window}'"
    else:
        # A line whose time gives no window of the calendar must still be somewhere: in the first one.
        first, future = f"date '{calendar.start}'", f"timestamptz '{horizon(calendar).isoformat()}'"
        inside, own = (
            f"occurred_at >= {first} and occurred_at < {future}",
            window_sql("occurred_at", calendar.grain),
        )
        window = f"case when {inside} then {own} else {first} end"
    connection.execute(f"""
        insert into raw.events
        with rows as (
            select *, {time_sql('"time"', files.time_unit, files.time_format)} as occurred_at from ({rows})
        ), placed as (select *, {window} as window_start from rows)
        select {quote(domain)}, window_start, {quote(source.label(file.path))}, source_line,
            "user", "item", "time", {fields["event"]}, {fields["value"]}, occurred_at, raw_line, error
        from placed where window_start >= date '{span.start}' and window_start < date '{span.end}'""")


def load_events(connection: duckdb.DuckDBPyConnection, config: Config, span: Span) -> dict[str, Loaded]:
    """Replace the span's windows of raw.events by what the files hold now.

    A line lies in the window of its time, or in the first one where it tells no time inside the calendar; a
    line of a `{date}` file lies in the file's window. A log that is not split by date is read once for the
    whole span, however many windows it has. SourceError before anything is written.
    """
    days = span.days(config.calendar)
    files = {domain: usable_files(event_source(config, domain), days) for domain in span.domains}
    prepare(connection, config)
    connection.execute("begin")
    for domain, found in files.items():
        connection.execute(
            "delete from raw.events where domain = ? and window_start >= ? and window_start < ?",
            [domain, span.start, span.end],
        )
        for file in found:
            _insert_events(connection, config, domain, file, span)
    connection.execute("commit")
    counts = connection.execute(
        "select domain, count(*), count(error) from raw.events "
        "where window_start >= ? and window_start < ? group by domain",
        [span.start, span.end],
    ).fetchall()
    found_rows = {domain: (rows, bad) for domain, rows, bad in counts}
    return {
        domain: Loaded(*found_rows.get(domain, (0, 0)), files=len(files[domain])) for domain in span.domains
    }


def load_items(
    connection: duckdb.DuckDBPyConnection, config: Config, domains: Sequence[str]
) -> dict[str, Loaded]:
    """Replace catalogues in raw.items by what the files hold now; SourceError before anything is written."""
    sources = {domain: item_source(config, domain) for domain in domains}
    files = {domain: usable_files(source) for domain, source in sources.items()}
    prepare(connection, config)
    connection.execute("begin")
    for domain, source in sources.items():
        connection.execute("delete from raw.items where domain = ?", [domain])
        texts = ", ".join(identifier(role) for role in source.columns if role != "item")
        for file in files[domain]:
            rows = rows_sql(connection, source, file.path)
            connection.execute(f"""
                insert into raw.items
                select {quote(domain)}, {quote(source.label(file.path))}, source_line, "item",
                    cast([{texts}] as varchar[]), raw_line, error
                from ({rows})""")
    connection.execute("commit")
    counts = connection.execute("select domain, count(*), count(error) from raw.items group by 1").fetchall()
    found_rows = {domain: (rows, bad) for domain, rows, bad in counts}
    return {domain: Loaded(*found_rows.get(domain, (0, 0)), files=len(files[domain])) for domain in domains}
