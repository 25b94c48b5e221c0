"""Rejected lines judged again under a corrected mapping, from what raw.events kept of them.

The landing files are not opened (they may be gone): `raw_line` holds the whole line, raw.source_files the
columns its file had. Lines that were kept, and how a file is cut into lines (encoding, quoting), need a load.
A file that feeds several domains by `where` may give a line to another domain than the one that rejected it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import duckdb
import pyarrow as pa

from orchestration.config import Config
from orchestration.landing.history import record_digests
from orchestration.landing.literals import json_of_literal
from orchestration.landing.loading import events_sql, window_sql
from orchestration.landing.quoting import quote
from orchestration.landing.raw_tables import horizon
from orchestration.landing.readers import LINES, lines_sql
from orchestration.landing.sources import Source, event_source
from orchestration.quarantine import Selection, has_table, require_models

LEFT_OUT = "left out by `where`"
# From the transaction that moves the lines until the models are rebuilt: a replay that was killed between the
# two is completed from here. One row per line and domain that it came to; null where no domain takes it now.
_PENDING = """
create table if not exists raw.replay_pending (
    domain varchar not null, source_file varchar not null, source_line bigint not null,
    reason varchar not null, old_window date not null, new_domain varchar, new_window date)"""
_PARSED = """
create or replace temp table parsed (
    number bigint, domain varchar, window_start date, user_id varchar, item_id varchar, event_type varchar,
    value varchar, quantity varchar, review varchar, occurred_at timestamptz, raw_line varchar,
    error varchar)"""
_LINE = "domain, source_file, source_line"
# What `Dialect.undecodable` says, whatever the encoding was: the line's bytes are not in `raw_line`.
_UNDECODABLE = "regexp_full_match(error, 'not [A-Z0-9_-]+') and error <> 'not JSON'"


class ReplayError(Exception):
    """Lines that cannot be parsed again from what the warehouse keeps; the message says what to do."""


class Outcome(NamedTuple):
    """How many lines were rejected for `before` and are now `after`: a reason, 'kept' or LEFT_OUT."""

    before: str
    after: str
    lines: int


@dataclass(frozen=True)
class Touched:
    """The rectangle of domains and windows whose models must be rebuilt; both ends included."""

    domains: tuple[str, str]
    windows: tuple[date, date]


def replay(connection: duckdb.DuckDBPyConnection, config: Config, selection: Selection) -> Touched | None:
    """Parse the selected lines again and put them where they belong now, in one transaction.

    Returns what must be rebuilt before `settle` (None: no line was selected). A line whose window has not
    ended yet stays rejected: its window takes it when it is loaded. ReplayError, or SourceError where the
    mapping needs a column that a file had not; nothing is written then.
    """
    require_models(connection)
    if not has_table(connection, "raw", "source_files"):
        raise ReplayError("the columns of the files are not known; materialise raw/events instead")
    ended = window_sql(f"timestamptz '{horizon(config.calendar).isoformat()}'", config.calendar.grain)
    connection.execute("begin")
    try:
        _choose(connection, config, selection, ended)
        _parse(connection, config)
        _move(connection, ended)
        _record(connection, config)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    return pending(connection)


def _choose(connection: duckdb.DuckDBPyConnection, config: Config, selection: Selection, ended: str) -> None:
    """Temporary table `rejected`: the selected lines that raw.events still holds where they were judged.

    Numbered from 2, as lines below a header are, so that the readers' SELECT takes the numbers for lines.
    """
    domains = ", ".join(map(quote, config.domain_names))
    connection.execute(f"""
        create or replace temp table rejected as
        select row_number() over () + 1 as number, {_LINE}, window_start, raw_line, reason,
            case when {_UNDECODABLE} then error end as error
        from raw.events inner join (
            select {_LINE}, window_start, reason from marts.quarantine where {selection.sql()}
        ) as judged using ({_LINE}, window_start)
        where domain in ({domains}) and window_start >= date '{config.calendar.start}'
            and window_start < {ended}""")


def _parse(connection: duckdb.DuckDBPyConnection, config: Config) -> None:
    """Temporary table `parsed`: what the lines hold under the mapping; files with equal columns at once."""
    connection.execute(_PARSED)
    for rejecting, columns in _forms(connection):
        source = event_source(config, rejecting)
        _offer(connection, source, rejecting, columns)
        for domain in _sharing(config, source):
            dated = config.domains[
                domain
            ].events.dated  # such lines lie in the window of the file, as they did
            lines = lines_sql(event_source(config, domain), source.dialect.column_names or columns)
            rows = events_sql(config, domain, lines, "cast(null as date)" if dated else None)
            connection.execute(f"""
                insert into parsed by name
                select {quote(domain)} as domain, * rename (source_line as number) from ({rows})""")


def _sharing(config: Config, source: Source) -> list[str]:
    """The domains whose events are read from the same files."""
    others = {domain: event_source(config, domain) for domain in config.domain_names}
    same = (source.pattern, source.dialect)
    return [domain for domain, other in others.items() if (other.pattern, other.dialect) == same]


def _offer(connection: duckdb.DuckDBPyConnection, source: Source, domain: str, columns: list[str]) -> None:
    """Give the readers the rejected lines of files with these columns as the relation LINES."""
    lines = f"""
        select number as source_line, raw_line, error
        from rejected inner join raw.source_files as files using (domain, source_file)
        where domain = {quote(domain)} and files.kind = 'events' and files.columns = {_list(columns)}"""
    if source.format == "python":
        found = connection.sql(lines).to_arrow_table()
        records = [json_of_literal(text) for text in found.column("raw_line").to_pylist()]
        connection.register("literals", found.append_column("record", pa.array(records, pa.string())))
        lines = "select * from literals"
    connection.execute(f"create or replace temp view {LINES} as {lines}")


def _forms(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, list[str]]]:
    """The distinct (domain, columns) of the files of `rejected`."""
    found = connection.execute("""
        select domain, columns, any_value(source_file)
        from rejected left join (select * from raw.source_files where kind = 'events') as files
            using (domain, source_file)
        group by all order by all""").fetchall()
    if unknown := [file for _, columns, file in found if columns is None]:
        raise ReplayError(
            f"{unknown[0]}: the columns it had are not known; materialise its windows of raw/events instead"
        )
    return [(domain, columns) for domain, columns, _ in found]


def _list(texts: list[str]) -> str:
    return f"cast([{', '.join(map(quote, texts))}] as varchar[])"


def _move(connection: duckdb.DuckDBPyConnection, ended: str) -> None:
    """Replace the lines in raw.events and note them as pending; window and domain of a line may change."""
    # A domain that has the line already judges its own copy.
    connection.execute(f"""
        delete from parsed using rejected
        where parsed.number = rejected.number and parsed.domain <> rejected.domain
            and (parsed.domain, source_file, source_line) in (select ({_LINE}) from raw.events)""")
    connection.execute(f"""
        create or replace temp table moved as
        select * from (
            select rejected.domain as old_domain, source_file, source_line, reason,
                rejected.window_start as old_window,
                if(parsed.number is null, null, coalesce(parsed.window_start, rejected.window_start))
                    as new_window,
                parsed.* exclude (number, window_start)
            from rejected left join parsed using (number)
        ) where new_window is null or new_window < {ended}""")
    connection.execute(f"""
        delete from raw.events where ({_LINE}, window_start) in (
            select (old_domain, source_file, source_line, old_window) from moved)""")
    # A load may have put the line into its window since: then it is there already.
    connection.execute(f"""
        insert into raw.events by name
        select new_window as window_start, * exclude (old_domain, old_window, new_window, reason) from moved
        where domain is not null and ({_LINE}) not in (select ({_LINE}) from raw.events)""")
    connection.execute(_PENDING)
    connection.execute("""
        insert into raw.replay_pending by name
        select old_domain as domain, source_file, source_line, reason, old_window,
            domain as new_domain, new_window from moved""")


def _record(connection: duckdb.DuckDBPyConnection, config: Config) -> None:
    """Tell the history of the files in which windows their lines lie now."""
    touched = connection.execute("""
        select domain, min(day), max(day) from (
            select old_domain as domain, old_window as day from moved
            union all select domain, new_window from moved where domain is not null
        ) group by domain order by domain""").fetchall()
    for domain, first, last in touched:
        record_digests(connection, domain, first, config.calendar.window_end(last))


def pending(connection: duckdb.DuckDBPyConnection) -> Touched | None:
    """What replays have changed and nothing has rebuilt since; None where that is nothing."""
    if not has_table(connection, "raw", "replay_pending"):
        return None
    first, last, start, end = connection.execute("""
        select least(min(domain), min(new_domain)), greatest(max(domain), max(new_domain)),
            least(min(old_window), min(new_window)), greatest(max(old_window), max(new_window))
        from raw.replay_pending""").fetchall()[0]
    return None if first is None else Touched((first, last), (start, end))


def settle(connection: duckdb.DuckDBPyConnection) -> list[Outcome]:
    """What became of the pending lines, once the models are rebuilt; none is pending afterwards."""
    found = connection.execute(f"""
        select pending.reason,
            if(verdicts.domain is null, {quote(LEFT_OUT)}, coalesce(verdicts.reason, 'kept')) as after,
            count(*) as lines
        from raw.replay_pending as pending
        left join intermediate.int_event_verdicts as verdicts on pending.new_domain = verdicts.domain
            and pending.source_file = verdicts.source_file and pending.source_line = verdicts.source_line
        group by all order by lines desc, 1, 2""").fetchall()
    connection.execute("delete from raw.replay_pending")
    return [Outcome(*row) for row in found]
