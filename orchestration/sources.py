"""Which files an entry of landbridge.yaml means, and whether they are there with the columns it names.

Everything is checked before a row is written: an error names the file, the key and what was expected.
"""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.config import Config, EventFiles, ItemFiles
from orchestration.lines import numbered_lines

DATE = "{date}"
_KEYS_SEEN_IN = 1000  # lines of a JSONL file that are looked at to learn its keys


class SourceError(Exception):
    """A source that cannot be read; `faults` holds one readable line per fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True)
class SourceFile:
    """One file; `window` is the first day of the window it holds where the path is a `{date}` template."""

    path: Path
    window: date | None = None


@dataclass(frozen=True)
class Source:
    """One `events` or `items` entry. columns: role (user, item, text.0, ...) -> column name in the file."""

    config_file: Path
    key: str
    pattern: str
    format: str
    delimiter: str
    columns: dict[str, str]

    def fault(self, key: str, message: str) -> str:
        """One line: the configuration file, the key, what is wrong."""
        return f"{self.config_file}: {self.key}.{key}: {message}"

    def label(self, path: Path) -> str:
        """The path as rows carry it: relative to the configuration where possible, so that it travels."""
        folder = self.config_file.parent
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _source(
    config: Config, key: str, files: EventFiles | ItemFiles, columns: dict[str, str | None]
) -> Source:
    return Source(
        config_file=config.path,
        key=key,
        pattern=str(config.resolve(files.path)),
        format=files.format,
        delimiter=files.delimiter,
        columns={role: column for role, column in columns.items() if column is not None},
    )


def event_source(config: Config, domain: str) -> Source:
    """The event log of a domain; roles user, item, time and, where mapped, event and value."""
    files = config.domains[domain].events
    return _source(config, f"domains.{domain}.events", files, files.columns.model_dump())


def item_source(config: Config, domain: str) -> Source:
    """The catalogue of a domain; roles item and text.0, text.1, ..."""
    files = config.domains[domain].items
    texts = {f"text.{position}": column for position, column in enumerate(files.columns.text)}
    return _source(config, f"domains.{domain}.items", files, {"item": files.columns.item, **texts})


def _matches(pattern: str) -> list[Path]:
    return sorted(Path(path) for path in glob.glob(pattern) if Path(path).is_file())


def find_files(source: Source, days: Sequence[date] | None = None) -> list[SourceFile]:
    """The files of a source, sorted; for a `{date}` template those of `days` (None: all that exist).

    A day without a file is a day without events. SourceError where there is no file at all.
    """
    any_day = _matches(source.pattern.replace(DATE, "*"))
    if not any_day:
        expected = "at least one file for this pattern" if set(source.pattern) & set("*?[{") else "this file"
        raise SourceError(
            [source.fault("path", f"{source.pattern}: no such file; expected {expected} to exist")]
        )
    if DATE not in source.pattern or days is None:
        return [SourceFile(path) for path in any_day]
    return [
        SourceFile(path, day)
        for day in days
        for path in _matches(source.pattern.replace(DATE, day.isoformat()))
    ]


def _jsonl_keys(path: Path) -> list[str]:
    keys: dict[str, None] = {}
    for _, line in islice(numbered_lines(path), _KEYS_SEEN_IN):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            keys.update(dict.fromkeys(record))
    return list(keys)


def columns_of(path: Path, file_format: str, delimiter: str = ",") -> list[str]:
    """A file's columns: CSV header, Parquet schema, keys of the first JSONL lines; [] where it is empty."""
    if file_format == "parquet":
        return pq.read_schema(path).names
    if file_format == "jsonl":
        return _jsonl_keys(path)
    header = next((line for _, line in numbered_lines(path)), b"").decode("utf-8", errors="replace")
    return next(csv.reader([header], delimiter=delimiter), [])


def file_faults(source: Source, path: Path) -> list[str]:
    """What keeps one file from being read: unreadable, or a mapped column is missing."""
    try:
        columns = columns_of(path, source.format, source.delimiter)
    except (OSError, pa.ArrowException, csv.Error) as error:
        return [source.fault("path", f"{path} cannot be read as {source.format}: {error}")]
    # Without a header or a valid line there is nothing to miss: an empty log, or one of bad lines only.
    missing = [role for role, column in source.columns.items() if columns and column not in columns]
    return [
        source.fault(
            f"columns.{role}",
            f"{path} has no column {source.columns[role]!r}; its columns are {', '.join(columns)}",
        )
        for role in missing
    ]


def usable_files(source: Source, days: Sequence[date] | None = None) -> list[SourceFile]:
    """`find_files`, with every file's columns checked; SourceError lists all faults at once."""
    files = find_files(source, days)
    faults = [fault for file in files for fault in file_faults(source, file.path)]
    if faults:
        raise SourceError(faults)
    return files


def check_sources(config: Config) -> list[str]:
    """Every fault of every source of the configuration, one readable line each; [] when all can be read."""
    faults: list[str] = []
    for domain in config.domain_names:
        for source in (event_source(config, domain), item_source(config, domain)):
            try:
                usable_files(source)
            except SourceError as error:
                faults += error.faults
    if not isinstance(config.identity, str) and not config.resolve(config.identity.map).is_file():
        faults.append(f"{config.path}: identity.map: {config.resolve(config.identity.map)}: no such file")
    return faults
