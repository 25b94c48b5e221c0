"""Generated dirty logs: every line is in raw.events once, with its text; good ones hold what was written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.config import parse_config
from orchestration.landing import lines
from orchestration.landing.loading import Span, load_events

pytestmark = pytest.mark.slow
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BOMS = {"utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
UNDECODABLE = {
    "utf-8": b"caf\xe9,x",
    "cp1252": b"a\x81,b",
    "utf-16-le": b"a\0\0\xd8b\0",
    "utf-16-be": b"\0a\xd8\0\0b",
}
COLUMNS = ["user", "item", "time", "note"]
FOUND = "source_line, raw_line, error, user_id, item_id, occurred_at, event_type"
ROWS = f"select {FOUND} from raw.events order by 1"


@dataclass(frozen=True)
class Clock:
    """One way to write moments: the keys of the configuration, and how Python writes one."""

    keys: dict[str, str]
    write: Callable[[datetime], str]
    step: timedelta  # what it can tell apart


def whole(unit: timedelta) -> Callable[[datetime], str]:
    return lambda moment: str((moment - EPOCH) // unit)


MICROSECOND, SECOND = timedelta(microseconds=1), timedelta(seconds=1)
CLOCKS = [
    Clock({}, lambda moment: moment.isoformat(), MICROSECOND),
    Clock({}, lambda moment: moment.isoformat(" ").replace("+00:00", "Z"), MICROSECOND),
    Clock(
        {},
        lambda moment: moment.astimezone(timezone(timedelta(hours=5, minutes=45))).isoformat(),
        MICROSECOND,
    ),
    Clock(
        {},
        lambda moment: moment.astimezone(timezone(-timedelta(hours=9, minutes=30))).isoformat(),
        MICROSECOND,
    ),
    Clock({"time_format": "%m/%d/%y %H:%M"}, lambda moment: f"{moment:%m/%d/%y %H:%M}", timedelta(minutes=1)),
    Clock({"time_format": "%d.%m.%Y %H:%M:%S"}, lambda moment: f"{moment:%d.%m.%Y %H:%M:%S}", SECOND),
    Clock({"time_unit": "s"}, whole(SECOND), SECOND),
    Clock({"time_unit": "s"}, lambda m: f"{(m - EPOCH) // SECOND}.{m.microsecond:06d}", MICROSECOND),
    Clock({"time_unit": "ms"}, whole(timedelta(milliseconds=1)), timedelta(milliseconds=1)),
    Clock({"time_unit": "us"}, whole(MICROSECOND), MICROSECOND),
    Clock({"time_unit": "ns"}, lambda moment: whole(MICROSECOND)(moment) + "000", MICROSECOND),
]
leap_days = st.sampled_from(
    [datetime(2000, 2, 29, 23, 59, 59, 999999), datetime(2024, 2, 29), datetime(2048, 2, 29)]
)
moments = (leap_days | st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1))).map(
    lambda m: m.replace(tzinfo=UTC)
)


@dataclass(frozen=True)
class Row:
    """A line as it must be read; without fields where it is a bad one."""

    text: str | None
    error: str | None
    fields: tuple[Any, ...] = (None, None, None, None)


def read(folder: Path, data: bytes, events: dict[str, Any], block: int) -> list[tuple[Any, ...]]:
    """Load the bytes as the log of one domain; (line, raw line, error, user, item, moment, type) of each."""
    (folder / "log").write_bytes(data)
    items = {"path": "items.csv", "format": "csv", "columns": {"item": "id"}}
    domains = {"a": {"events": {"path": "log", **events}, "items": items}}
    calendar = {"grain": "month", "start": "2000-01-01", "end": "2060-02-01"}
    config = parse_config({"calendar": calendar, "domains": domains}, folder / "landbridge.yaml")
    with duckdb.connect() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        connection.execute("set TimeZone = 'UTC'; create schema raw")
        assert config.calendar.end is not None
        load_events(connection, config, Span(("a",), config.calendar.start, config.calendar.end))
        return connection.execute(ROWS).fetchall()


def check(found: list[tuple[Any, ...]], expected: list[Row], first: int) -> None:
    number = first
    assert len(found) == len(expected)
    for (line, text, error, *fields), row in zip(found, expected, strict=True):
        assert (line, error) == (number, row.error)
        assert row.text is None or text == row.text
        assert tuple(fields) == row.fields
        number += 1 + text.count("\n")


def as_read(text: str) -> str:
    """Line breaks are LF once a file is read."""
    return text.replace("\r\n", "\n")


def csv_text(fields: list[str], delimiter: str, quoting: bool, style: int) -> str:
    if not quoting:
        return delimiter.join(fields)
    target = io.StringIO()
    csv.writer(target, delimiter=delimiter, quoting=style, lineterminator="\r\n").writerow(fields)
    return target.getvalue().removesuffix("\r\n")


@st.composite
def csv_logs(draw: st.DrawFn) -> tuple[bytes, dict[str, Any], list[Row], int]:
    """(bytes, entry of landbridge.yaml, what must be read, number of the first line)."""
    delimiter = draw(st.sampled_from([",", ";", "\t", "|", "::"]))
    quoting = len(delimiter) == 1 and draw(st.booleans())
    encoding = draw(st.sampled_from(["utf-8", "iso8859-1", "cp1252", "utf-16-le", "utf-16-be"]))
    mark = draw(st.booleans()) and BOMS.get(encoding, b"")
    header, clock = draw(st.booleans()), draw(st.sampled_from(CLOCKS))
    alphabet = list("ab é'\\\0\x1a,;") + (
        ["日", "😀", "\u2028", "\x85", "ਅĀਅ"] if encoding.startswith("utf") else []
    )
    if quoting:
        alphabet += ['"', '""', "\n", "\r\n", delimiter]
    else:
        alphabet = [character for character in [*alphabet, '"'] if character not in delimiter]
    cell = st.lists(st.sampled_from(alphabet), max_size=6).map("".join)
    data, expected = [], []
    end = st.sampled_from(["\n", "\r\n"])
    if header:
        data.append((csv_text(COLUMNS, delimiter, quoting, csv.QUOTE_MINIMAL) + draw(end)).encode(encoding))
    for kind in draw(
        st.lists(st.sampled_from(["good"] * 5 + ["blank", "short", "long", "broken", "bytes"]), max_size=8)
    ):
        if kind == "bytes" and encoding in UNDECODABLE:
            data.append(UNDECODABLE[encoding] + draw(end).encode(encoding))
            expected.append(Row(None, f"not {encoding.upper()}"))
        elif kind == "good" or (kind == "broken" and not quoting):
            moment, user, item = draw(moments), draw(cell), draw(cell)
            moment -= (moment - EPOCH) % clock.step
            fields = [user, item, clock.write(moment), draw(cell)]
            style = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
            text = csv_text(fields, delimiter, quoting, style)
            data.append((text + draw(end)).encode(encoding))
            expected.append(Row(as_read(text), None, (as_read(user), as_read(item), moment, None)))
        else:
            text, error = {
                "short": (delimiter.join("xy"), "expected 4 fields, found 2"),
                "long": (delimiter.join("vwxyz"), "expected 4 fields, found 5"),
                "broken": (delimiter.join(["x", '"y"y', "z", "z"]), "malformed quotes"),
            }.get(kind, ("", "empty line"))
            data.append((text + draw(end)).encode(encoding))
            expected.append(Row(text, error))
    columns = {"user": "user", "item": "item", "time": "time"}
    entry = {"format": "csv", "delimiter": delimiter, "encoding": encoding, "columns": columns, **clock.keys}
    entry |= {} if quoting or len(delimiter) > 1 else {"quoting": False}
    entry |= {} if header else {"column_names": COLUMNS}
    if mark and draw(st.booleans()):
        entry["encoding"] = encoding.removesuffix("-le").removesuffix("-be")
        old, new = f"not {encoding.upper()}", f"not {entry['encoding'].upper()}"
        expected = [Row(row.text, row.error and row.error.replace(old, new), row.fields) for row in expected]
    elif encoding.startswith("utf-16"):
        mark = b""  # with the order of bytes named, a mark would be a character
    return (mark or b"") + b"".join(data), entry, expected, 2 if header else 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dirty")


bounded = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(bounded, max_examples=60)
@given(log=csv_logs(), block=st.sampled_from([4, 64, 4096]))
def test_every_line_of_a_dirty_csv_log_is_read_once(folder: Path, log: tuple, block: int) -> None:
    data, entry, expected, first = log
    check(read(folder, data, entry, block), expected, first)


values = st.one_of(
    st.text(st.sampled_from("aé日😀\"'\\\n\0 "), max_size=5),
    st.integers(-5, 10**12),
    st.booleans(),
    st.none(),
)
records = st.fixed_dictionaries({"item": values, "n": values}, optional={"user": values})
BAD_LITERALS = ["__import__('os').getcwd()", "[1]", "{'a':", "{1, 2}", "1", "{'a': b}", "\0"]
BAD_JSON = {
    "{": "not JSON",
    "[1]": "not a JSON object",
    '{"a":"\0"}': "not JSON",
    "null": "not a JSON object",
}


def text_of(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


@bounded
@given(
    found=st.lists(records | st.sampled_from([*BAD_JSON]) | st.just(""), max_size=8),
    moment=moments,
    ascii_only=st.booleans(),
)
def test_every_line_of_a_dirty_json_log_is_read_once(
    folder: Path, found: list, moment: datetime, ascii_only
) -> None:
    texts, expected = [], []
    for record in found:
        if isinstance(record, str):
            texts.append(record)
            expected.append(Row(record, BAD_JSON.get(record, "empty line")))
            continue
        texts.append(json.dumps({**record, "time": moment.isoformat()}, ensure_ascii=ascii_only))
        fields = (text_of(record.get("user")), text_of(record["item"]), moment, text_of(record["n"]))
        expected.append(Row(texts[-1], None, fields))
    columns = {"user": "user", "item": "item", "time": "time", "event": "n"}
    # The columns are told by the records there are, so a log without a user has no such column: one has.
    texts.append(json.dumps({"user": "u", "item": "i", "time": moment.isoformat()}))
    expected.append(Row(texts[-1], None, ("u", "i", moment, None)))
    check(read(folder, "\n".join(texts).encode(), {"format": "jsonl", "columns": columns}, 64), expected, 1)


@bounded
@given(found=st.lists(records | st.sampled_from(BAD_LITERALS), max_size=8), moment=moments)
def test_every_line_of_python_literals_is_read_once(folder: Path, found: list, moment: datetime) -> None:
    texts, expected = [], []
    for record in [*found, {"user": "u", "item": "i", "n": None}]:
        if isinstance(record, str):
            texts.append(record)
            expected.append(Row(record, "not a Python dict"))
            continue
        texts.append(repr({**record, "time": moment.isoformat()}))
        fields = (text_of(record.get("user")), text_of(record["item"]), moment, text_of(record["n"]))
        expected.append(Row(texts[-1], None, fields))
    columns = {"user": "user", "item": "item", "time": "time", "event": "n"}
    check(read(folder, "\n".join(texts).encode(), {"format": "python", "columns": columns}, 64), expected, 1)


@pytest.mark.parametrize("form", ["csv", "jsonl", "python"])
def test_fields_of_a_megabyte(tmp_path: Path, form: str) -> None:
    huge = ('x "quoted", and a line break\n' * 100 + "y" * 9000) * 80
    assert len(huge) > 950_000
    huge = huge if form != "csv" else huge.replace("\n", " ")  # a record has at most 200 lines
    row = {"user": "u", "item": huge, "time": "2024-02-29", "note": "z" * (1 << 20)}
    if form == "csv":
        text = csv_text(list(row.values()), ",", True, csv.QUOTE_MINIMAL)
        data = ",".join(row) + "\n" + f"{text}\r\n" * 3
    else:
        text = json.dumps(row) if form == "jsonl" else repr(row)
        data = f"{text}\n" * 3
    entry = {"format": form, "columns": {"user": "user", "item": "item", "time": "time", "event": "note"}}
    fields = ("u", huge, datetime(2024, 2, 29, tzinfo=UTC), row["note"])
    check(
        read(tmp_path, data.encode(), entry, 1 << 16),
        [Row(text, None, fields)] * 3,
        2 if form == "csv" else 1,
    )
