"""Which windows are touched by landing files that came, changed or vanished since they were loaded.

Nothing is written, and files are read without the warehouse being open: whoever loads need not wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import duckdb

from orchestration.config import Calendar, Config
from orchestration.landing.history import (
    DIGEST,
    EVENTS,
    ITEMS,
    Known,
    State,
    known_files,
    source_of,
    state_of,
)
from orchestration.landing.loading import events_sql
from orchestration.landing.raw_tables import horizon
from orchestration.landing.readers import reading
from orchestration.landing.sources import SourceError, SourceFile, find_files

Lines = tuple[int, int]  # how many lines of a file lie in a window, and their digest


@dataclass(frozen=True)
class History:
    """What the warehouse knows of the files of each domain, held in memory."""

    files: Mapping[tuple[str, str], list[Known]]  # by domain and kind
    lines: Mapping[tuple[str, str], dict[date, Lines]]  # by domain and file


def read_history(connection: duckdb.DuckDBPyConnection, config: Config) -> History:
    """Read what is known; brief, so that the warehouse can be closed again before files are looked at."""
    files = {
        (domain, kind): known_files(connection, domain, kind)
        for domain in config.domain_names
        for kind in (EVENTS, ITEMS)
    }
    lines: dict[tuple[str, str], dict[date, Lines]] = {}
    if any(files.values()):
        for domain, file, window, *found in connection.execute("from raw.window_digests").fetchall():
            lines.setdefault((domain, file), {})[window] = (found[0], found[1])
    return History(files, lines)


def ended_windows(calendar: Calendar) -> list[date]:
    """The first days of the windows that have ended: those that can be run."""
    limit, day, days = horizon(calendar).date(), calendar.start, []
    while calendar.window_end(day) <= limit:
        days.append(day)
        day = calendar.window_end(day)
    return days


def landing_state(config: Config, domain: str, kind: str) -> dict[str, tuple[SourceFile, State]]:
    """The files of a source as they are now, by the name that rows carry; {} where there is none."""
    source = source_of(config, domain, kind)
    days = ended_windows(config.calendar) if kind == EVENTS else None
    try:
        files = find_files(source, days)
    except SourceError:
        return {}
    return {source.label(file.path): (file, state_of(file.path)) for file in files}


def _lines_now(config: Config, domain: str, file: SourceFile) -> dict[date, Lines]:
    """The lines of an undated file by window, streamed."""
    source = source_of(config, domain, EVENTS)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        with reading(connection, source, file.path) as read:
            rows = events_sql(config, domain, read)
            found = connection.execute(
                f"select window_start, count(*), {DIGEST} from ({rows}) group by 1"
            ).fetchall()
    return {window: (number, digest) for window, number, digest in found}


def _touched(config: Config, domain: str, history: History, ended: list[date]) -> set[date]:
    known = {found.source_file: found for found in history.files[domain, EVENTS]}
    present = landing_state(config, domain, EVENTS)
    until = config.calendar.window_end(ended[-1])
    touched: set[date] = set()
    for label, (file, state) in present.items():
        earlier = known.get(label)
        same = earlier is not None and earlier.state == state
        if file.window is not None:
            touched |= set() if same else {file.window}
        elif not (same and earlier and earlier.read_until and earlier.read_until >= until):
            before, after = history.lines.get((domain, label), {}), _lines_now(config, domain, file)
            touched |= {day for day in before.keys() | after.keys() if before.get(day) != after.get(day)}
    for (owner, label), lines in history.lines.items():
        if owner == domain and label not in present:
            touched |= lines.keys()
    return touched & set(ended)


def touched_windows(history: History, config: Config) -> dict[str, list[date]]:
    """The windows of each domain whose lines in raw.events are not those of the landing files any more.

    A `{date}` file that is new, was written to or has vanished touches its window. Any other file that was
    written to is read again, and touches the windows whose lines differ; lines that tell no time lie in the
    first one. Windows that have not ended are left out, and so are domains that nothing touched. SourceError
    where such a file cannot be read as it is mapped.
    """
    ended = ended_windows(config.calendar)
    found = {domain: _touched(config, domain, history, ended) for domain in config.domain_names if ended}
    return {domain: sorted(days) for domain, days in found.items() if days}


def touched_catalogues(history: History, config: Config) -> list[str]:
    """The domains whose catalogue files are not those that were loaded."""
    return [
        domain
        for domain in config.domain_names
        if {label: state for label, (_, state) in landing_state(config, domain, ITEMS).items()}
        != {found.source_file: found.state for found in history.files[domain, ITEMS]}
    ]
