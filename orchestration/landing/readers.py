"""The DuckDB SELECT that turns one file into rows: where they stand, their raw line, a text field per role.

A row the reader cannot parse has `error` set and no fields; it is a row like any other and stops nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.landing.columns import Columns
from orchestration.landing.expressions import TEXT, Resolved
from orchestration.landing.lines import Dialect, read_lines
from orchestration.landing.quoting import glob_escape, identifier, quote
from orchestration.landing.sources import Mapping, Source, SourceError, broken, map_columns, mapping_of

LINES = "landing_lines"
UNDECIDED = "unknown_domain: its `where` could not be decided"
_SCALES = {"s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds in one unit; a nanosecond is less than one
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


def _number_sql(text: str, unit: str) -> str:
    """`time_sql` for numbers: whole ones (nearly all) as BIGINT, ten times faster than as DECIMAL(38, 9)."""
    whole, exact = f"try_cast({text} as bigint)", f"try_cast({text} as decimal(38, 9))"
    if unit == "ns":
        most, micros, exact = _MAX_MICROSECONDS * 1000, f"({whole} + 500) // 1000", f"{exact} * 0.001"
    else:
        most, micros, exact = (
            _MAX_MICROSECONDS // _SCALES[unit],
            f"{whole} * {_SCALES[unit]}",
            f"{exact} * {_SCALES[unit]}",
        )
    known = f"between 0 and {_MAX_MICROSECONDS}"
    fraction = " or ".join(f"contains({text}, '{mark}')" for mark in ".eE")
    return f"""case
        when {fraction} then
            case when {exact} {known} then make_timestamptz(cast({exact} as bigint)) end
        when {whole} between 0 and {most} then make_timestamptz({micros}) end"""


def time_sql(text: str, unit: str | None = None, time_format: str | None = None) -> str:
    """SQL for the moment (TIMESTAMPTZ) that the SQL expression `text` tells; NULL where it is no sane one."""
    text = f"trim({text})"
    if unit is not None:
        return _number_sql(text, unit)
    if time_format is not None:
        moment = f"try_cast(try_strptime({text}, {quote(time_format)}) as timestamptz)"
    else:
        formats = ", ".join(quote(form) for form in _TEXT_FORMATS)
        other = f"try_cast(try_strptime({text}, [{formats}]) as timestamptz)"
        moment = f"coalesce(try_cast({text} as timestamptz), {other})"
    return f"case when {moment} between {_EARLIEST} and {_LATEST} then {moment} end"


def _moment(field: Resolved, source: Source) -> str:
    """The moment of a `time` mapping: what is a time already is taken as it is, anything else is text."""
    if field.type == "DATE" or field.type.startswith("TIMESTAMP"):
        moment = f"try_cast({field.sql} as timestamptz)"
        return f"case when {moment} between {_EARLIEST} and {_LATEST} then {moment} end"
    return time_sql(f"cast({field.sql} as varchar)", source.time_unit, source.time_format)


def _csv_rows(columns: Columns, places: Sequence[int], dialect: Dialect) -> str:
    d, escaped = quote(dialect.delimiter), re.escape(dialect.delimiter)
    header = "where source_line > 1" if dialect.has_header else ""
    count = len(columns.names)
    parts, rejoined = f"string_split(raw_line, {d})", "false"
    if dialect.quoted:
        # A match is the delimiter and one field; rejoining them gives the line back, or it was malformed.
        pattern = quote(escaped + '("(?:[^"]|"")*"|[^"' + escaped + "][^" + escaped + "]*|)")
        found = f"regexp_extract_all({d} || raw_line, {pattern}, 1)"
        parts = f"if(contains(raw_line, '\"'), {found}, {parts})"
        rejoined = f"contains(raw_line, '\"') and array_to_string(parts, {d}) <> raw_line"
    fields = []
    for place in places:
        field = f"parts[{place + 1}]"
        if dialect.quoted:
            field = f"""if({field}[1] = '"', replace({field}[2:-2], '""', '"'), {field})"""
        fields.append(f", case when error is null then {field} end as c{place}")
    return f"""
        with split as (select *, {parts} as parts from {LINES} {header}),
        judged as (
            select * replace (case
                when error is not null then error
                when trim(raw_line) = '' then 'empty line'
                when {rejoined} then 'malformed quotes'
                when len(parts) <> {count} then 'expected {count} fields, found ' || len(parts)
            end as error)
            from split
        )
        select source_line, raw_line, error{"".join(fields)} from judged"""


def _json_rows(columns: Columns, places: Sequence[int], form: str) -> str:
    """Rows of JSON objects; form: jsonl, or python where they stand in `record`."""
    record = "record" if form == "python" else "raw_line"
    word = "a Python dict" if form == "python" else "JSON"
    paths = ", ".join(quote("$." + identifier(columns.names[place])) for place in places)
    fields = "".join(f", found[{at}] as c{place}" for at, place in enumerate(places, start=1))
    return f"""
        with judged as (
            select * replace (case
                when error is not null then error
                when trim(raw_line) = '' then 'empty line'
                when not coalesce(json_valid({record}), false) then 'not {word}'
                when json_type({record}) <> 'OBJECT' then 'not a JSON object'
            end as error)
            from {LINES}
        ), parsed as (
            select *,
                case when error is null then json_extract_string({record}, [{paths or "'$'"}]) end as found
            from judged
        )
        select source_line, raw_line, error{fields} from parsed"""


def _parquet_rows(path: Path, columns: Columns, places: Sequence[int]) -> str:
    record = ", ".join(f"{quote(name)}: {identifier(name)}" for name in columns.names)
    fields = "".join(f", {identifier(columns.names[place])} as c{place}" for place in places)
    return f"""
        select file_row_number + 1 as source_line, cast(to_json({{{record}}}) as varchar) as raw_line,
            cast(null as varchar) as error{fields}
        from read_parquet({quote(glob_escape(path))}, file_row_number = true)"""


def _role_sql(role: str, field: Resolved, source: Source) -> str:
    if role == "time":
        return _moment(field, source)
    if role == "vector":
        # A list as it stands, or its text as JSON writes it.
        return f"try_cast({field.sql} as float[])"
    return field.sql if field.type == TEXT else f"cast({field.sql} as varchar)"


def _select(rows: str, mapping: Mapping, source: Source) -> str:
    """The roles over `rows`, and whether each row is this domain's."""
    roles = "".join(
        f", {_role_sql(role, field, source)} as {identifier(role)}" for role, field in mapping.fields.items()
    )
    if mapping.where is None:
        return f"select source_line, raw_line, error{roles}, true as belongs from ({rows})"
    # None of the conditions is true and one is unknown: exactly one of the domains, this one, keeps the line.
    claimed = f"({' or '.join(claim.sql for claim in mapping.claims)}) is null" if mapping.claims else "false"
    return f"""
        select * exclude (claimed) replace (
            if(claimed and error is null, {quote(UNDECIDED)}, error) as error, belongs or claimed as belongs)
        from (
            select source_line, raw_line, error{roles},
                coalesce({mapping.where.sql}, false) as belongs, {claimed} as claimed
            from ({rows})
        )"""


def lines_sql(source: Source, names: Sequence[str]) -> str:
    """The SELECT of `rows_sql` for a relation LINES(source_line, raw_line, error), with `record` for Python.

    names: the columns of the file the lines come from. Records of a Parquet file stand in it as JSON, so that
    all their columns are text. SourceError where the mapping needs a column that is not there.
    """
    columns = Columns.of_text(names, is_sample=source.format in ("jsonl", "python"))
    mapping = map_columns(source, columns, "the file")
    rows = (
        _csv_rows(mapping.columns, mapping.places, source.dialect)
        if source.format == "csv"
        else _json_rows(mapping.columns, mapping.places, source.format)
    )
    return _select(rows, mapping, source)


def rows_sql(connection: duckdb.DuckDBPyConnection, source: Source, path: Path) -> str:
    """SELECT source_line, raw_line, error, a column per role of `source.columns` and belongs, in file order.

    A role is VARCHAR, but `time` is TIMESTAMPTZ and `vector` FLOAT[]. belongs (never NULL): whether the line
    is this domain's; where no domain's `where` can decide, one keeps it with `error` UNDECIDED. Text files
    are registered on the connection as a stream, so the SELECT can be run once. SourceError as in
    `mapping_of`.
    """
    mapping = mapping_of(source, path)
    if source.format == "parquet":
        return _select(_parquet_rows(path, mapping.columns, mapping.places), mapping, source)
    connection.register(LINES, read_lines(path, source.dialect))
    return lines_sql(source, mapping.columns.names)


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _is_broken(source: Source, path: Path, error: Exception) -> bool:
    """Whether an error is the file's, not the warehouse's; DuckDB's on Parquet pages do not name the file."""
    if LINES in str(error) or str(path) in str(error):
        return True
    if source.format == "parquet":
        try:
            for _ in pq.ParquetFile(path).iter_batches():
                pass
        except (OSError, pa.ArrowException):
            return True
    return False


@contextmanager
def reading(connection: duckdb.DuckDBPyConnection, source: Source, path: Path) -> Iterator[str]:
    """`rows_sql`, to be run inside the block; SourceError where the file is torn or changed meanwhile.

    The caller rolls back: what was written before the end of the file was seen must not stay.
    """
    before = None
    try:
        before = _state(path)
        yield rows_sql(connection, source, path)
        changed = _state(path) != before
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        changed = before is not None and (not path.exists() or _state(path) != before)
        if not changed and not _is_broken(source, path, error):
            raise
        if not changed:
            raise SourceError([broken(source, path, error)]) from error
    if changed:
        told = f"{path} changed while it was read; nothing was loaded; run again when it is complete"
        raise SourceError([source.fault("path", told)])
