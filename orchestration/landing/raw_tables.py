"""The tables of the raw schema: lines as read, and what the dbt models must know of landbridge.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from orchestration.config import Calendar, Config
from orchestration.landing.readers import glob_escape, quote

_STEP = {"day": "1 day", "week": "7 days", "month": "1 month"}
# `review`, and what lists are filtered by, came later: a table that is there already gets the columns, empty.
_LINES = """
create table if not exists raw.events (
    domain varchar not null, window_start date not null,
    source_file varchar not null, source_line bigint not null,
    user_id varchar, item_id varchar, event_type varchar, value varchar, quantity varchar,
    occurred_at timestamptz, raw_line varchar, error varchar);
alter table raw.events add column if not exists review varchar;
create table if not exists raw.items (
    domain varchar not null, source_file varchar not null, source_line bigint not null,
    item_id varchar, texts varchar[], raw_line varchar, error varchar);
alter table raw.items add column if not exists available varchar;
alter table raw.items add column if not exists category varchar;
alter table raw.items add column if not exists regions varchar[];
create table if not exists raw.users (
    domain varchar not null, source_file varchar not null, source_line bigint not null,
    user_id varchar, attributes map(varchar, varchar), raw_line varchar, error varchar);
create table if not exists raw.source_files (
    domain varchar not null, kind varchar not null, source_file varchar not null,
    bytes bigint not null, modified_at timestamptz not null,
    columns varchar[] not null, types varchar[] not null,
    mapping varchar not null, read_until date, loaded_at timestamptz not null);
create table if not exists raw.window_digests (
    domain varchar not null, source_file varchar not null, window_start date not null,
    rows bigint not null, digest hugeint not null);
create table if not exists raw.schema_changes (
    domain varchar not null, kind varchar not null, source_file varchar not null,
    detected_at timestamptz not null, change varchar not null, column_name varchar not null,
    was varchar not null, now varchar not null, proposal varchar not null, mapped boolean not null);
"""
# Written whole at every run: they follow the configuration, so a changed column needs no migration.
_SETTINGS = """
create or replace table raw.domain_settings (
    domain varchar not null, identity varchar not null,
    event_is_mapped boolean not null, default_event varchar not null, weighs_events boolean not null,
    dated_files boolean not null, window_step interval not null,
    calendar_start timestamptz not null, horizon timestamptz not null,
    near_duplicate_seconds double, rejects_zero_value boolean not null,
    bot_events_per_day integer, bot_items_per_day integer, session_gap interval not null);
create or replace table raw.event_weights (
    domain varchar not null, event_type varchar not null, weight double not null);
create or replace table raw.cancellations (
    domain varchar not null, event_type varchar not null, cancels varchar not null);
create or replace table raw.id_patterns (
    domain varchar not null, kind varchar not null, pattern varchar not null);
create or replace table raw.identity_map (domain varchar, user_id varchar, shared_id varchar);
"""


def horizon(calendar: Calendar, now: datetime | None = None) -> datetime:
    """The moment from which events are in the future: the end of the last whole window, or now if earlier."""
    now = now or datetime.now(UTC)
    if calendar.end is None:
        return now
    spare = (calendar.end - calendar.start).days % 7 if calendar.grain == "week" else 0
    end = calendar.end - timedelta(days=spare)
    return min(now, datetime(end.year, end.month, end.day, tzinfo=UTC))


def _domain_settings(config: Config) -> Iterator[tuple[Any, ...]]:
    identity = config.identity if isinstance(config.identity, str) else "map"
    calendar = config.calendar
    for name, domain in config.domains.items():
        rules = config.cleaning_of(name)
        yield (
            name, identity, domain.events.columns.event is not None, domain.events.default_event,
            bool(domain.event_weights), domain.events.dated, _STEP[calendar.grain],
            f"{calendar.start}T00:00:00Z", horizon(calendar), rules.near_duplicate_seconds,
            rules.zero_value == "reject", rules.bots.events_per_day, rules.bots.items_per_day,
            f"{rules.session_gap_minutes} minutes",
        )  # fmt: skip


def _event_weights(config: Config) -> Iterator[tuple[Any, ...]]:
    for name, domain in config.domains.items():
        yield from ((name, event.strip().lower(), weight) for event, weight in domain.event_weights.items())


def _cancellations(config: Config) -> Iterator[tuple[Any, ...]]:
    for name in config.domains:
        yield from ((name, event, whole) for event, whole in config.cleaning_of(name).cancellations.items())


def _id_patterns(config: Config) -> Iterator[tuple[Any, ...]]:
    for name in config.domains:
        rules = config.cleaning_of(name)
        for kind, patterns in (("item", rules.not_items), ("user", rules.test_accounts)):
            yield from ((name, kind, pattern) for pattern in patterns)


def prepare(connection: duckdb.DuckDBPyConnection, config: Config) -> None:
    """Create the raw tables and write what the models must know of the configuration, as tables."""
    connection.execute("begin")
    connection.execute(_LINES + _SETTINGS)
    for table, rows in (
        ("domain_settings", list(_domain_settings(config))),
        ("event_weights", list(_event_weights(config))),
        ("cancellations", list(_cancellations(config))),
        ("id_patterns", list(_id_patterns(config))),
    ):
        if rows:
            places = ", ".join("?" * len(rows[0]))
            connection.executemany(f"insert into raw.{table} values ({places})", rows)
    if not isinstance(config.identity, str):
        path = glob_escape(config.resolve(config.identity.map))
        connection.execute(
            "insert into raw.identity_map select trim(domain), trim(user_id), trim(shared_id) "
            f"from read_csv({quote(path)}, header = true, all_varchar = true)"
        )
    connection.execute("commit")
