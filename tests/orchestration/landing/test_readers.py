"""One file as rows: each format gives the same fields, and a bad line is a row that says what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.landing.lines import Dialect
from orchestration.landing.readers import rows_sql, time_sql
from orchestration.landing.sources import Source

ROLES = {"user": "user id", "item": "item"}
CSV = 'item,user id,x\ni1,u1,\n"i,""2""",u2,y\n'
JSONL = '{"item": "i1", "user id": "u1"}\n{"user id": "u2", "item": "i,\\"2\\""}\n'


def read(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    form: str,
    delimiter: str = ",",
    roles: dict[str, str] = ROLES,
) -> list[tuple]:
    dialect = Dialect(form, delimiter)
    source = Source(path.parent / "landbridge.yaml", "domains.a.events", str(path), dialect, roles)
    rows = connection.execute(rows_sql(connection, source, path)).fetchall()
    assert all(belongs for *_, belongs in rows)
    return [row[:-1] for row in rows]


def written(folder: Path, form: str) -> Path:
    path = folder / f"log[1].{form}"
    if form == "parquet":
        pq.write_table(pa.table({"item": ["i1", 'i,"2"'], "user id": ["u1", "u2"]}), path)
    else:
        path.write_text(CSV if form == "csv" else JSONL)
    return path


@pytest.mark.parametrize("form,first_line", [("csv", 2), ("jsonl", 1), ("parquet", 1)])
def test_every_format_gives_the_same_fields(connection, tmp_path: Path, form: str, first_line: int) -> None:
    rows = read(connection, written(tmp_path, form), form)
    assert [(line - first_line, error, *fields) for line, _, error, *fields in rows] == [
        (0, None, "u1", "i1"),
        (1, None, "u2", 'i,"2"'),
    ]
    assert all(raw for _, raw, *_ in rows)


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "^", "]", "-"])
def test_any_delimiter(connection, tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV.replace(",", delimiter).replace(f"i{delimiter}", "i,"))
    assert [row[3:] for row in read(connection, path, "csv", delimiter)] == [("u1", "i1"), ("u2", 'i,"2"')]


@pytest.mark.parametrize(
    "line,error",
    [
        ("u1", "expected 2 fields, found 1"),
        ("u1,i1,more", "expected 2 fields, found 3"),
        ('u1,"i1', "malformed quotes"),
        ('u1,"i"1', "malformed quotes"),
        ("  ", "empty line"),
        ('u1,12" pipe', None),
        ('"",""', None),
    ],
)
def test_a_bad_csv_line_is_a_row_with_its_error(
    connection, tmp_path: Path, line: str, error: str | None
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"user id,item\n{line}\nu2,i2\n")
    bad, good = read(connection, path, "csv")
    assert bad[:3] == (2, line, error)
    assert error is None or bad[3:] == (None, None)
    assert good == (3, "u2,i2", None, "u2", "i2")


@pytest.mark.parametrize(
    "line,error", [("{", "not JSON"), ("[1]", "not a JSON object"), ("", "empty line"), ("{}", None)]
)
def test_a_bad_json_line_is_a_row_with_its_error(
    connection, tmp_path: Path, line: str, error: str | None
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{line}\n{{"user id": 7, "item": "i2"}}\n')
    assert read(connection, path, "jsonl") == [
        (1, line, error, None, None),
        (2, '{"user id": 7, "item": "i2"}', None, "7", "i2"),
    ]


def dialect_rows(connection: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect, **roles: str) -> list:
    source = Source(path.parent / "landbridge.yaml", "domains.a.events", str(path), dialect, roles)
    return [row[:-1] for row in connection.execute(rows_sql(connection, source, path)).fetchall()]


def test_a_file_without_a_header_and_with_a_longer_delimiter(connection, tmp_path: Path) -> None:
    path = tmp_path / "movies.dat"
    path.write_bytes('1::"Great" Caf\xe9::Drama\n2::a,b:c\n'.encode("latin-1"))
    dialect = Dialect("csv", "::", ("id", "title", "genres"), encoding="iso8859-1")
    assert dialect_rows(connection, path, dialect, item="id", title="title || ' (' || genres || ')'") == [
        (1, '1::"Great" Café::Drama', None, "1", '"Great" Café (Drama)'),
        (2, "2::a,b:c", "expected 3 fields, found 2", None, None),
    ]


def test_without_quoting_a_quote_is_a_character(connection, tmp_path: Path) -> None:
    path = tmp_path / "a.inter"
    path.write_text('user_id:token\titem_id:token\n"u1\ti"1\n')
    roles = {"user": "user_id:token", "item": '"item_id:token"'}
    assert dialect_rows(connection, path, Dialect("csv", "\t", quoting=False), **roles) == [
        (2, '"u1\ti"1', None, '"u1', 'i"1')
    ]


def test_python_literals(connection, tmp_path: Path) -> None:
    path = tmp_path / "meta.json"
    path.write_text(
        "{'asin': 'B1', 'title': \"It's\", 'categories': [['Books', None]]}\n{'asin': open('x')}\n"
    )
    roles = {"item": "asin", "title": "title", "first": "categories ->> '$[0][0]'"}
    first, second = dialect_rows(connection, path, Dialect("python"), **roles)
    assert first[2:] == (None, "B1", "It's", "Books")
    assert second == (2, "{'asin': open('x')}", "not a Python dict", None, None, None)


def test_a_column_that_is_a_time_is_taken_as_it_is(connection, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    moments = pa.array([datetime(2026, 1, 2, 12), None, datetime(1931, 1, 1)], pa.timestamp("ns"))
    pq.write_table(pa.table({"at": moments, "text": ["2026-01-02 13:00+01", "soon", None]}), path)
    rows = dialect_rows(connection, path, Dialect("parquet"), time="at", other="text")
    assert [row[3] for row in rows] == [NOON, None, None]
    rows = dialect_rows(connection, path, Dialect("parquet"), time="cast(text as timestamptz)")
    assert [row[3] for row in rows] == [NOON, None, None]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_empty_file_has_no_rows(connection, tmp_path: Path, form: str) -> None:
    path = tmp_path / "a"
    path.write_text("")
    assert read(connection, path, form) == []


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text,unit,form,moment",
    [
        ("1767355200", "s", None, NOON),
        (" 1767355200.0 ", "s", None, NOON),
        ("1767355200000", "ms", None, NOON),
        ("1767355200000000", "us", None, NOON),
        ("1767355200000000000", "ns", None, NOON),
        ("1767355200000", "s", None, None),  # milliseconds taken for seconds: the year 57,975
        ("1767355200000000499", "ns", None, NOON),
        ("1767355200.0000004", "s", None, NOON),
        ("1.7673552e9", "s", None, NOON),
        ("17673552000e-1", "s", None, NOON),
        ("99999999999999999999", "ns", None, None),
        ("-5", "s", None, None),
        ("soon", "s", None, None),
        ("2026-01-02T12:00:00", None, None, NOON),
        ("2026-01-02 13:00:00+01:00", None, None, NOON),
        ("2026-01-02T12:00:00Z", None, None, NOON),
        ("Fri, 02 Jan 2026 12:00:00 GMT", None, None, NOON),
        ("1/2/26 12:00", None, "%m/%d/%y %H:%M", NOON),
        ("2026-01-02T12:00:00", None, "%m/%d/%y %H:%M", None),
        ("2026-02-30", None, None, None),
        ("infinity", None, None, None),
        ("0001-01-01", None, None, None),
        ("", None, None, None),
    ],
)
def test_times(connection, text: str, unit: str | None, form: str | None, moment: datetime | None) -> None:
    found = connection.execute(f"select {time_sql('t', unit, form)} from (select ? as t)", [text]).fetchone()
    assert found == (moment,)
