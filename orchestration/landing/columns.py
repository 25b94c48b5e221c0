"""Which columns one landing file has: the header, the names given for it, its schema, or the keys it uses."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import duckdb

from orchestration.landing.expressions import TEXT
from orchestration.landing.lines import Dialect, read_lines
from orchestration.landing.quoting import glob_escape, quote

_KEYS_SEEN_IN = 1000  # lines of a JSONL or Python file that are looked at to learn its keys
_LOOK = 64 << 10  # bytes read at a time for it


@dataclass(frozen=True)
class Columns:
    """Names in the file's order and DuckDB's types; both empty where the file shows none.

    is_sample: these are the keys of a few records, so that one which is rare may be missing.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    is_sample: bool = False

    @classmethod
    def of_text(cls, names: Sequence[str], is_sample: bool = False) -> Columns:
        """The columns of a text file: all of them are text."""
        return cls(tuple(names), (TEXT,) * len(names), is_sample)


def _records(path: Path, dialect: Dialect) -> Iterator[str]:
    text = "record" if dialect.format == "python" else "raw_line"
    for batch in read_lines(path, dialect, _LOOK):
        yield from batch.column(text).to_pylist()


def _keys(path: Path, dialect: Dialect) -> Columns:
    keys: dict[str, None] = {}
    records = 0
    for text in islice(_records(path, dialect), _KEYS_SEEN_IN):
        try:
            record = json.loads(text or "")
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            keys.update(dict.fromkeys(record))
            records += 1
    return Columns.of_text(list(keys), is_sample=records < _KEYS_SEEN_IN)


def _header(path: Path, dialect: Dialect) -> list[str]:
    record = next(_records(path, dialect), "")
    if not dialect.quoted:
        return record.split(dialect.delimiter) if record else []
    try:
        return next(csv.reader([record], delimiter=dialect.delimiter), [])
    except csv.Error:  # a field over 128 KiB: this is data, not a header
        return record.split(dialect.delimiter)


def columns_of(path: Path, dialect: Dialect) -> Columns:
    """A file's columns. Raises OSError or duckdb.Error where the file cannot be read."""
    if dialect.format == "parquet":
        found = duckdb.connect().execute(f"describe from read_parquet({quote(glob_escape(path))})").fetchall()
        return Columns(tuple(row[0] for row in found), tuple(row[1] for row in found))
    if dialect.column_names is not None:
        return Columns.of_text(dialect.column_names)
    return Columns.of_text(_header(path, dialect)) if dialect.format == "csv" else _keys(path, dialect)
