"""Which files an entry of landbridge.yaml means, and whether they are there with the columns it names.

Everything is checked before a row is written: an error names the file, the key and what was expected.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from orchestration.config import Config
from orchestration.domain_config import EventFiles, Files
from orchestration.landing.columns import Columns, columns_of
from orchestration.landing.expressions import ExpressionError, Resolved, alike, condition, names_in, resolve
from orchestration.landing.lines import Dialect

DATE = "{date}"
# The roles without which a record says nothing.
_IN_EVERY_RECORD = ("user", "item", "time", "vector", "image")


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
    """One `events`, `items`, `users` or `modalities` entry.

    columns: role (user, item, text.0, ...) -> a column of the file or an expression. where: the lines that
    are this domain's, None for all. claims: the `where` of every entry that reads these files (key -> text)
    when it falls to this one to keep the lines that none of them can decide, else empty.
    """

    config_file: Path
    key: str
    pattern: str
    dialect: Dialect
    columns: dict[str, str]
    where: str | None = None
    claims: tuple[tuple[str, str], ...] = ()
    time_unit: str | None = None
    time_format: str | None = None

    @property
    def format(self) -> str:
        """csv, jsonl, parquet or python."""
        return self.dialect.format

    def fault(self, key: str, message: str) -> str:
        """One line: the configuration file, the key, what is wrong."""
        return f"{self.config_file}: {self.key}.{key}: {message}"

    def label(self, path: Path) -> str:
        """The path as rows carry it: relative to the configuration where possible, so that it travels."""
        folder = self.config_file.parent
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


@dataclass(frozen=True)
class Mapping:
    """A source's mapping resolved for files with these columns; `claims` as in Source."""

    columns: Columns
    fields: dict[str, Resolved]
    where: Resolved | None
    claims: tuple[Resolved, ...]

    @property
    def places(self) -> list[int]:
        """Which columns of the file are needed."""
        needed = [*self.fields.values(), *self.claims, *([self.where] if self.where else [])]
        return sorted({place for field in needed for place in field.places})


def _dialect(files: Files) -> Dialect:
    names = tuple(files.column_names) if files.column_names else None
    return Dialect(files.format, files.delimiter, names, files.quoting, files.encoding)


def _claims(config: Config, key: str, kind: str, files: Files) -> tuple[tuple[str, str], ...]:
    """Source.claims: the alphabetically first domain keeps what no `where` on the same files can decide."""
    pattern, dialect = config.resolve(files.path), _dialect(files)
    sharing = {
        f"domains.{name}.{kind}": other.where
        for name, domain in sorted(config.domains.items())
        if (other := getattr(domain, kind)) is not None
        and config.resolve(other.path) == pattern
        and _dialect(other) == dialect
    }
    if next(iter(sharing)) != key:
        return ()
    return tuple((other, where) for other, where in sharing.items() if where) if all(sharing.values()) else ()


def _source(config: Config, domain: str, kind: str, files: Files, columns: dict[str, str | None]) -> Source:
    key = f"domains.{domain}.{kind}"
    return Source(
        config_file=config.path,
        key=key,
        pattern=str(config.resolve(files.path)),
        dialect=_dialect(files),
        columns={role: column for role, column in columns.items() if column is not None},
        where=files.where,
        claims=_claims(config, key, kind, files),
        time_unit=files.time_unit if isinstance(files, EventFiles) else None,
        time_format=files.time_format if isinstance(files, EventFiles) else None,
    )


def event_source(config: Config, domain: str) -> Source:
    """The event log of a domain; roles user, item, time; where mapped event, value, quantity, text."""
    files = config.domains[domain].events
    return _source(config, domain, "events", files, files.columns.model_dump())


def item_source(config: Config, domain: str) -> Source:
    """The catalogue of a domain; roles item, text.0, ...; where mapped available, category, region.0."""
    files = config.domains[domain].items
    texts = {f"text.{position}": column for position, column in enumerate(files.columns.text)}
    regions = {f"region.{position}": column for position, column in enumerate(files.columns.region)}
    single = {"available": files.columns.available, "category": files.columns.category}
    columns = {"item": files.columns.item, **texts, **single, **regions}
    return _source(config, domain, "items", files, columns)


def user_source(config: Config, domain: str) -> Source | None:
    """The user attributes of a domain, None where it has none; roles user, attributes.0, attributes.1, ..."""
    files = config.domains[domain].users
    if files is None:
        return None
    attributes = {f"attributes.{place}": column for place, column in enumerate(files.columns.attributes)}
    return _source(config, domain, "users", files, {"user": files.columns.user, **attributes})


def modality_sources(config: Config, domain: str) -> dict[str, Source]:
    """The modalities of a domain by name; roles item and either vector or image."""
    return {
        name: Source(
            config_file=config.path,
            key=f"domains.{domain}.modalities.{name}",
            pattern=str(config.resolve(files.path)),
            dialect=_dialect(files),
            columns=files.columns.model_dump(exclude_none=True),
            where=files.where,
        )
        for name, files in sorted(config.domains[domain].modalities.items())
    }


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


def _mapped_texts(source: Source) -> list[str]:
    return [
        *source.columns.values(),
        *([source.where] if source.where else []),
        *dict(source.claims).values(),
    ]


def _with_rare_keys(source: Source, columns: Columns) -> Columns:
    """The keys of a few records, and those that the mapping names besides: a quiet day may lack a rare one.

    Not what every record must have, and nothing that looks like a key that is there: that was a slip.
    """
    if not columns.is_sample:
        return columns
    conditions = [*([source.where] if source.where else []), *dict(source.claims).values()]
    optional = [text for role, text in source.columns.items() if role not in _IN_EVERY_RECORD] + conditions
    named = [name for text in optional if text not in columns.names for name in names_in(text)]
    rare = [name for name in dict.fromkeys(named) if not alike(name, columns.names)]
    return Columns.of_text([*columns.names, *rare])


def map_columns(source: Source, columns: Columns, where: str) -> Mapping:
    """The mapping of a source for a file with these columns; SourceError lists what it cannot fulfil.

    where: what the columns were found in, as the faults name it. A file without a header or a valid line has
    no columns: it misses none, and the names are taken from the mapping.
    """
    if not columns.names:
        columns = Columns.of_text([name for text in _mapped_texts(source) for name in names_in(text)])
    columns = _with_rare_keys(source, columns)
    names, types = columns.names, columns.types
    faults: list[str] = []
    fields: dict[str, Resolved] = {}
    for role, text in source.columns.items():
        try:
            fields[role] = resolve(text, names, types)
        except ExpressionError as error:
            faults.append(source.fault(f"columns.{role}", f"{where} {error}"))
    conditions: dict[str, Resolved] = {}
    own = [(source.key, source.where)] if source.where else []
    for key, text in dict([*own, *source.claims]).items():
        try:
            conditions[key] = condition(text, names, types)
        except ExpressionError as error:
            faults.append(f"{source.config_file}: {key}.where: {where} {error}")
    if faults:
        raise SourceError(faults)
    claims = tuple(conditions[key] for key, _ in source.claims)
    return Mapping(columns, fields, conditions.get(source.key), claims)


def _begins_as_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def broken(source: Source, path: Path, error: Exception) -> str:
    """The fault of a file that cannot be read to its end."""
    torn = "Truncated compressed stream" in str(error)
    if torn or ("No magic bytes" in str(error) and _begins_as_parquet(path)):
        return source.fault("path", f"{path} is cut off: its data end too early; copy it again")
    told = str(error).strip().splitlines() or [type(error).__name__]
    return source.fault("path", f"{path} cannot be read as {source.format}: {told[0]}")


def mapping_of(source: Source, path: Path) -> Mapping:
    """`map_columns` for a file; SourceError also where the file cannot be read."""
    try:
        columns = columns_of(path, source.dialect)
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        raise SourceError([broken(source, path, error)]) from error
    return map_columns(source, columns, str(path))


def file_faults(source: Source, path: Path) -> list[str]:
    """What keeps one file from being read as it is mapped, one readable line each."""
    try:
        mapping_of(source, path)
    except SourceError as error:
        return error.faults
    return []


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
        for source in (
            event_source(config, domain),
            item_source(config, domain),
            user_source(config, domain),
            *modality_sources(config, domain).values(),
        ):
            try:
                if source is not None:
                    usable_files(source)
            except SourceError as error:
                faults += error.faults
    if not isinstance(config.identity, str) and not config.resolve(config.identity.map).is_file():
        faults.append(f"{config.path}: identity.map: {config.resolve(config.identity.map)}: no such file")
    return list(dict.fromkeys(faults))
