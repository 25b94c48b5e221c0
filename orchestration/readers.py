"""The DuckDB SELECT that turns one file into rows: where they stand, their raw line, a text field per role.

A row the reader cannot parse has `error` set and no fields; it is a row like any other and stops nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from orchestration.lines import read_lines
from orchestration.sources import Source, columns_of

_LINES = "landing_lines"
_SECONDS = {"s": "1000000", "ms": "1000", "us": "1", "ns": "0.001"}  # microseconds in one unit
# Sane moments: before 1970 or after 2199 a clock or a unit was wrong, not a customer early.
_EARLIEST, _LATEST = "timestamptz '1970-01-01 00:00:00+00'", "timestamptz '2200-01-01 00:00:00+00'"
_MAX_MICROSECONDS = 7_258_118_400_000_000  # 2200-01-01
# Unambiguous forms that a cast to TIMESTAMPTZ does not know; day/month orders need `time_format`.
_TEXT_FORMATS = (
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d",
    "%Y%m%d",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%d %b %Y %H:%M:%S",
    "%d %b %Y",
)


def quote(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def time_sql(text: str, unit: str | None = None, time_format: str | None = None) -> str:
    """SQL for the moment (TIMESTAMPTZ) that the SQL expression `text` tells; NULL where it is no sane one."""
    text = f"trim({text})"
    if unit is not None:
        micros = f"try_cast({text} as decimal(38, 9)) * {_SECONDS[unit]}"
        sane = f"{micros} between 0 and {_MAX_MICROSECONDS}"
        return f"case when {sane} then make_timestamptz(cast({micros} as bigint)) end"
    if time_format is not None:
        moment = f"try_cast(try_strptime({text}, {quote(time_format)}) as timestamptz)"
    else:
        formats = ", ".join(quote(form) for form in _TEXT_FORMATS)
        other = f"try_cast(try_strptime({text}, [{formats}]) as timestamptz)"
        moment = f"coalesce(try_cast({text} as timestamptz), {other})"
    return f"case when {moment} between {_EARLIEST} and {_LATEST} then {moment} end"


def _csv_select(names: Sequence[str], roles: Mapping[str, str], delimiter: str) -> str:
    d, escaped = quote(delimiter), re.escape(delimiter)
    # A match is the delimiter and one field; rejoining the fields gives the line back, or it was malformed.
    pattern = quote(escaped + '("(?:[^"]|"")*"|[^"' + escaped + "][^" + escaped + "]*|)")
    fields = []
    for role, column in roles.items():
        part = f"parts[{names.index(column) + 1}]"
        unquoted = f"""replace({part}[2:-2], '""', '"')"""
        fields.append(
            f"case when error is null then if({part}[1] = '\"', {unquoted}, {part}) end as {identifier(role)}"
        )
    return f"""
        with split as (
            select *,
                if(contains(raw_line, '"'), regexp_extract_all({d} || raw_line, {pattern}, 1),
                   string_split(raw_line, {d})) as parts
            from {_LINES} where source_line > 1
        ), judged as (
            select * replace (case
                when error is not null then error
                when trim(raw_line) = '' then 'empty line'
                when array_to_string(parts, {d}) <> raw_line then 'malformed quotes'
                when len(parts) <> {len(names)} then 'expected {len(names)} fields, found ' || len(parts)
            end as error)
            from split
        )
        select source_line, raw_line, error, {", ".join(fields)} from judged"""


def _jsonl_select(roles: Mapping[str, str]) -> str:
    paths = ", ".join(quote("$." + identifier(column)) for column in roles.values())
    fields = ", ".join(f"found[{place}] as {identifier(role)}" for place, role in enumerate(roles, start=1))
    return f"""
        with judged as (
            select * replace (case
                when error is not null then error
                when trim(raw_line) = '' then 'empty line'
                when not json_valid(raw_line) then 'not JSON'
                when json_type(raw_line) <> 'OBJECT' then 'not a JSON object'
            end as error)
            from {_LINES}
        ), parsed as (
            select *, case when error is null then json_extract_string(raw_line, [{paths}]) end as found
            from judged
        )
        select source_line, raw_line, error, {fields} from parsed"""


def _parquet_select(path: Path, names: Sequence[str], roles: Mapping[str, str]) -> str:
    record = ", ".join(f"{quote(name)}: {identifier(name)}" for name in names)
    fields = ", ".join(
        f"cast({identifier(column)} as varchar) as {identifier(role)}" for role, column in roles.items()
    )
    return f"""
        select file_row_number + 1 as source_line, cast(to_json({{{record}}}) as varchar) as raw_line,
            cast(null as varchar) as error, {fields}
        from read_parquet({quote(glob_escape(path))}, file_row_number = true)"""


def glob_escape(path: Path) -> str:
    """A path as DuckDB's readers take it literally, whatever pattern characters it holds."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def rows_sql(connection: duckdb.DuckDBPyConnection, source: Source, path: Path) -> str:
    """SELECT source_line, raw_line, error and one VARCHAR per role of `source.columns`, in the file's order.

    For CSV and JSONL the file is registered on the connection as a stream, so the SELECT can be run once.
    """
    names = columns_of(path, source.format, source.delimiter)
    if source.format == "parquet":
        return _parquet_select(path, names, source.columns)
    connection.register(_LINES, read_lines(path, source.format, source.delimiter))
    if source.format == "jsonl":
        return _jsonl_select(source.columns)
    # A file without even a header has no rows; any names serve.
    return _csv_select(names or list(source.columns.values()), source.columns, source.delimiter)
