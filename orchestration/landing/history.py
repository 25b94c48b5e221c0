"""What is known of the landing files that were loaded: their state, their columns, the lines of each window.

It answers three questions: has a file changed since, do its columns still look the same, which windows does a
late or corrected file touch. It is written in the transaction of the load that it tells about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from orchestration.config import Config
from orchestration.landing.drift import RETYPED, Change, compare
from orchestration.landing.profiles import Profile, profile_of
from orchestration.landing.sources import (
    Source,
    SourceError,
    SourceFile,
    event_source,
    file_faults,
    find_files,
    item_source,
    user_source,
)

EVENTS, ITEMS, USERS = "events", "items", "users"
DIGEST = "sum(hash(source_line, raw_line))"  # over the lines of a file in a window, in whatever order


class State(NamedTuple):
    """A file's size in bytes and its time of modification in microseconds since 1970."""

    size: int
    modified: int


@dataclass(frozen=True)
class Known:
    """One row of raw.source_files: a file as it was when it was loaded last."""

    source_file: str
    state: State
    profile: Profile
    mapping: str
    read_until: date | None = None


@dataclass(frozen=True)
class Look:
    """A landing file just before it is read, and how its columns changed since the last one."""

    file: SourceFile
    source_file: str
    state: State
    profile: Profile
    changes: list[Change] = field(default_factory=list)


@dataclass(frozen=True)
class Survey:
    """The files of one source that a load is going to read; every one can be read as it is mapped."""

    domain: str
    kind: str
    mapping: str
    looks: list[Look]

    @property
    def files(self) -> list[SourceFile]:
        """The files themselves."""
        return [look.file for look in self.looks]


def state_of(path: Path) -> State:
    """The state of a file by its directory entry: cheap, and enough to see that somebody wrote to it."""
    found = path.stat()
    return State(found.st_size, found.st_mtime_ns // 1000)


def source_of(config: Config, domain: str, kind: str) -> Source:
    """The source of a domain's events, items or users; SourceError where it has none."""
    source = {EVENTS: event_source, ITEMS: item_source, USERS: user_source}[kind](config, domain)
    if source is None:
        raise SourceError([f"{config.path}: domains.{domain}.{kind}: missing; expected files"])
    return source


def mapping_digest(config: Config, domain: str, kind: str) -> str:
    """SHA-256 of what landbridge.yaml says of a source: when it differs, somebody has looked at it."""
    files = getattr(config.domains[domain], kind)
    return hashlib.sha256(files.model_dump_json().encode()).hexdigest()


def known_files(connection: duckdb.DuckDBPyConnection, domain: str, kind: str) -> list[Known]:
    """The files of a source that were loaded, the latest first; [] in a warehouse that holds none yet."""
    query = (
        "select 1 from information_schema.tables where table_schema = 'raw' and table_name = 'source_files'"
    )
    if not connection.execute(query).fetchall():
        return []
    rows = connection.execute(
        "select source_file, bytes, epoch_us(modified_at), columns, types, mapping, read_until "
        "from raw.source_files where domain = ? and kind = ? order by loaded_at desc, source_file desc",
        [domain, kind],
    ).fetchall()
    return [
        Known(file, State(size, modified), Profile(tuple(columns), tuple(types)), mapping, until)
        for file, size, modified, columns, types, mapping, until in rows
    ]


def _seen(change: Change, shape: Profile) -> bool:
    """Whether a file of this shape was loaded, so that what looks like a change is an old form of the log."""
    if change.kind == RETYPED:
        return shape.type_of(change.column) == change.now
    return bool(shape.columns) and change.column not in shape.columns


def _profile(connection: duckdb.DuckDBPyConnection, source: Source, path: Path) -> Profile:
    try:
        return profile_of(connection, source, path)
    except (OSError, pa.ArrowException, duckdb.Error, SourceError):
        return Profile((), (), rows=0)  # `file_faults` or the load itself says why it cannot be read


def _looks(
    connection: duckdb.DuckDBPyConnection, source: Source, files: Sequence[SourceFile],
    known: Sequence[Known], mapping: str,
) -> list[Look]:  # fmt: skip
    own = {found.source_file: found for found in known}
    latest = next((found for found in known if found.profile.columns), None)
    shapes = {found.profile for found in known if found.mapping == mapping}
    before = latest.profile if latest else None
    looks = []
    for file in files:
        label, state = source.label(file.path), state_of(file.path)
        mine = own.get(label)
        earlier: Profile | None = before
        agreed = latest.mapping if latest else None
        if mine and mine.profile.columns:
            earlier, agreed = mine.profile, mine.mapping
        if mine and (mine.state, mine.mapping) == (state, mapping):
            looks.append(Look(file, label, state, mine.profile))
            continue
        profile = _profile(connection, source, file.path)
        changes = list(compare(source, earlier, profile)) if earlier else []
        changes = [
            replace(c, stops=c.stops and agreed == mapping and not any(_seen(c, shape) for shape in shapes))
            for c in changes
        ]
        profile = profile.filled(earlier)
        looks.append(Look(file, label, state, profile, changes))
        if profile.columns:
            before = profile
    return looks


def survey(
    connection: duckdb.DuckDBPyConnection, config: Config, domain: str, kind: str,
    days: Sequence[date] | None = None,
) -> Survey:  # fmt: skip
    """The files of a source (of these days) that a load can read.

    SourceError where a file is missing, cannot be read, lacks a mapped column, or where a mapped column
    changed so that the load would spoil its windows. A change stops loads until what landbridge.yaml says of
    the source is no longer what it said when the file's predecessor was loaded.
    """
    source, mapping = source_of(config, domain, kind), mapping_digest(config, domain, kind)
    files = find_files(source, days)
    looks = _looks(connection, source, files, known_files(connection, domain, kind), mapping)
    stopped = [(look, change) for look in looks for change in look.changes if change.stops]
    faults = [f"{config.path}: {change.proposal} (in {look.source_file})" for look, change in stopped]
    told = {look.source_file for look, _ in stopped}
    faults += [
        fault
        for look in looks
        if look.source_file not in told
        for fault in file_faults(source, look.file.path)
    ]
    if faults:
        raise SourceError(faults)
    return Survey(domain, kind, mapping, looks)


def _read_until(
    look: Look, known: Known | None, mapping: str, config: Config, start: date, end: date
) -> date | None:
    """The day before which all windows hold this state of the file; None where some may be older."""
    if start <= config.calendar.start:
        return end
    if known is None or (known.state, known.mapping) != (look.state, mapping):
        return None
    if known.read_until and known.read_until >= start:
        return max(known.read_until, end)
    return known.read_until


def record_digests(connection: duckdb.DuckDBPyConnection, domain: str, start: date, end: date) -> None:
    """Replace the digests of a domain's windows from `start` to before `end` by those of raw.events."""
    span = [domain, start, end]
    inside = "domain = ? and window_start >= ? and window_start < ?"
    connection.execute(f"delete from raw.window_digests where {inside}", span)
    connection.execute(
        "insert into raw.window_digests "
        f"select domain, source_file, window_start, count(*), {DIGEST} from raw.events "
        f"where {inside} group by all",
        span,
    )


def record(
    connection: duckdb.DuckDBPyConnection,
    config: Config,
    surveyed: Survey,
    span: tuple[date, date] | None = None,
) -> None:
    """Write what was loaded, inside the transaction of the load; `span` (events): its first day and its end.

    A file's state is the one before it was read: what is written to it from then on counts as a change.
    """
    domain, kind = surveyed.domain, surveyed.kind
    known = {found.source_file: found for found in known_files(connection, domain, kind)}
    if span:
        record_digests(connection, domain, *span)
    source = source_of(config, domain, kind)
    labels = [look.source_file for look in surveyed.looks]
    present = {*labels, *(source.label(file.path) for file in find_files(source))}
    connection.execute(
        "delete from raw.source_files as file where domain = ? and kind = ? and ("
        "list_contains(?, source_file) or not list_contains(?, source_file) and not exists ("
        "from raw.window_digests as digest where digest.domain = file.domain "
        "and digest.source_file = file.source_file and file.kind = 'events'))",
        [domain, kind, labels, sorted(present)],
    )
    files, changes = [], []
    for look in surveyed.looks:
        until = None
        if span:
            until = _read_until(look, known.get(look.source_file), surveyed.mapping, config, *span)
        about = [domain, kind, look.source_file]
        files.append(
            [
                *about,
                *look.state,
                list(look.profile.columns),
                list(look.profile.types),
                surveyed.mapping,
                until,
            ]
        )
        changes += [
            [*about, change.kind, change.column, change.was, change.now, change.proposal, change.mapped]
            for change in look.changes
        ]
    if files:
        connection.executemany(
            "insert into raw.source_files values (?, ?, ?, ?, make_timestamptz(?), ?, ?, ?, ?, now())", files
        )
    if changes:
        connection.executemany(
            "insert into raw.schema_changes values (?, ?, ?, now(), ?, ?, ?, ?, ?, ?)", changes
        )


def latest_changes(connection: duckdb.DuckDBPyConnection, config: Config, kind: str) -> list[tuple[str, ...]]:
    """(domain, file, column, change, was, now, proposal) that the latest load of each domain found."""
    return connection.execute(
        """
        with latest as (
            select domain, max(loaded_at) as loaded_at
            from raw.source_files where kind = $kind group by domain
        )
        select changes.domain, source_file, column_name, change, was, now, proposal
        from raw.schema_changes as changes
        join latest on latest.domain = changes.domain and latest.loaded_at = changes.detected_at
        where changes.kind = $kind and list_contains($domains, changes.domain)
        order by mapped desc, changes.domain, source_file, column_name, change""",
        {"kind": kind, "domains": config.domain_names},
    ).fetchall()
