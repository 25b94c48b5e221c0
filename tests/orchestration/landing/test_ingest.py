"""Loading the raw schema: every line in one window, and the same rows however the load is cut or killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.config import Calendar
from orchestration.landing.loading import Span, horizon, window_sql
from orchestration.landing.sources import SourceError

EVENTS = "select * exclude (occurred_at), cast(occurred_at as varchar) from raw.events order by all"
DAYS = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]


def test_every_line_of_every_file_is_a_row(world) -> None:
    world.load()
    assert world.rows("select domain, count(*), count(error) from raw.events group by 1 order by 1") == [
        ("books", 14, 1),
        ("films", 3, 1),
    ]
    lines = world.rows("select source_line, raw_line from raw.events where domain = 'books' order by 1")
    assert lines == list(enumerate((world.folder / "books.csv").read_text().splitlines(), start=1))[1:]


def test_a_line_lies_in_the_window_of_its_time_or_else_in_the_first(world) -> None:
    world.load()
    found = dict(
        world.rows("select source_line, cast(window_start as varchar) from raw.events where domain = 'books'")
    )
    inside = {4: DAYS[1], 5: DAYS[2], 12: DAYS[1], 13: DAYS[1], 15: DAYS[2]}
    assert found == {line: inside.get(line, DAYS[0]) for line in range(2, 16)}


def test_a_line_of_a_dated_file_lies_in_the_window_of_the_file(world) -> None:
    header = "user_id,item_id,time,event,rating\n"
    world.write("log/2026-01-01.csv", header + "u1,b1,2026-01-02T00:00:01,view,\nu1,b1,never,view,\n")
    world.write("log/2026-01-03.csv", header + "u1,b1,2026-01-03T10:00:00,view,\n")
    world.document["domains"]["books"]["events"]["path"] = "log/{date}.csv"
    world.load(world.span(domains=["books"]))
    query = "select source_file, cast(window_start as varchar) from raw.events order by all"
    assert world.rows(query) == [
        ("log/2026-01-01.csv", DAYS[0]),
        ("log/2026-01-01.csv", DAYS[0]),
        ("log/2026-01-03.csv", DAYS[2]),
    ]


def test_loading_twice_or_window_by_window_gives_the_same_rows(world) -> None:
    world.load()
    whole = world.rows(EVENTS)
    world.load()
    assert world.rows(EVENTS) == whole
    for domain in ("films", "books"):
        for start, end in reversed(list(pairwise(DAYS))):
            world.load(world.span(start, end, [domain]), items=False)
    assert world.rows(EVENTS) == whole


def test_a_window_reloaded_after_its_file_changed_holds_what_the_file_holds(world) -> None:
    world.load()
    before = world.rows(EVENTS)
    world.write("films.jsonl", '{"user": "u9", "film": "f1", "ts": 1767348000001}\n')
    world.load(world.span(DAYS[1], DAYS[2], ["films"]), items=False)
    films = (
        "select cast(window_start as varchar), user_id from raw.events where domain = 'films' order by all"
    )
    assert world.rows(films) == [(DAYS[0], "u1"), (DAYS[0], None), (DAYS[1], "u9")]
    assert [row for row in world.rows(EVENTS) if row[0] == "books"] == [
        row for row in before if row[0] == "books"
    ]


def test_a_source_fault_is_told_before_anything_is_written(world) -> None:
    world.load()
    before = world.rows(EVENTS)
    (world.folder / "films.jsonl").unlink()
    with pytest.raises(SourceError, match=r"films\.events\.path"):
        world.load(items=False)
    assert world.rows(EVENTS) == before


@pytest.mark.parametrize("text,rows", [("", 0), ("user_id,item_id,time,event,rating\n", 0)])
def test_an_empty_log_loads_no_rows(world, text: str, rows: int) -> None:
    world.write("books.csv", text)
    world.load()
    assert world.rows("select count(*) from raw.events where domain = 'books'") == [(rows,)]


def test_a_log_of_bad_lines_only_loads_them_all(world) -> None:
    world.write("films.jsonl", "nonsense\n\nmore\n")
    world.load()
    query = "select source_line, raw_line, error from raw.events where domain = 'films' order by 1"
    assert world.rows(query) == [(1, "nonsense", "not JSON"), (2, "", "empty line"), (3, "more", "not JSON")]


def test_a_catalogue_without_rows_or_without_text_columns_loads(world) -> None:
    world.write("books_items.csv", "item_id,title,blurb\n")
    del world.document["domains"]["films"]["items"]["columns"]["text"]
    world.load()
    assert world.rows("select domain, item_id, texts from raw.items") == [("films", "f1", [])]


def test_a_line_in_the_future_waits_in_the_first_window_and_one_not_due_is_left(world) -> None:
    today = datetime.now(UTC).date()
    world.document["calendar"] = {"grain": "day", "start": str(today - timedelta(days=2)), "end": None}
    moments = [datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=30)]
    lines = [f"u1,b1,{moment:%Y-%m-%dT%H:%M:%S},view,\n" for moment in moments]
    world.write("books.csv", "user_id,item_id,time,event,rating\n" + "".join(lines))
    world.load(Span(("books",), today - timedelta(days=2), today))
    found = world.rows("select source_line, window_start from raw.events order by 1")
    assert found == [(2, today - timedelta(days=1)), (3, today - timedelta(days=2))]


@pytest.mark.slow
def test_killing_a_load_at_any_moment_leaves_the_rows_before_and_the_next_load_completes(world) -> None:
    lines = "".join(f"u{n},b1,2026-01-0{n % 3 + 1}T10:00:00,view,\n" for n in range(300_000))
    world.load()
    before = world.rows(EVENTS)
    world.write("books.csv", "user_id,item_id,time,event,rating\n" + lines)
    program = (
        "from datetime import date\nfrom orchestration.config import load_config\n"
        "from orchestration.landing.loading import Span, load_events\n"
        "from orchestration.resources.warehouse import Warehouse\n"
        "with Warehouse().write() as w:\n    print('open', flush=True)\n"
        "    load_events(w, load_config(), Span(('books', 'films'), date(2026, 1, 1), date(2026, 1, 4)))\n"
    )
    _ = world.config
    for pause in (0.02, 0.3):
        command = [sys.executable, "-c", program]
        process = subprocess.Popen(command, env=world.environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert world.rows(EVENTS) == before
    world.load()
    assert world.rows(
        "select count(*), count(distinct source_line) from raw.events where domain = 'books'"
    ) == [(300_000, 300_000)]


@pytest.mark.parametrize(
    "keys,expected",
    [
        ([("a", 1), ("a", 2), ("b", 1), ("b", 2)], Span(("a", "b"), date(2026, 1, 1), date(2026, 1, 3))),
        ([("b", 3)], Span(("b",), date(2026, 1, 3), date(2026, 1, 4))),
    ],
)
def test_the_span_of_partition_keys(keys: list[tuple[str, int]], expected: Span) -> None:
    calendar = Calendar(grain="day", start=date(2026, 1, 1))
    assert Span.of([(domain, date(2026, 1, day)) for domain, day in keys], calendar) == expected


def test_partition_keys_with_a_gap_are_refused() -> None:
    calendar = Calendar(grain="day", start=date(2026, 1, 1))
    with pytest.raises(ValueError, match="no whole range"):
        Span.of([("a", date(2026, 1, 1)), ("a", date(2026, 1, 3))], calendar)


def test_the_future_begins_at_the_end_of_the_last_whole_window_or_now() -> None:
    now = datetime(2026, 1, 20, 8, tzinfo=UTC)
    weeks = Calendar(grain="week", start=date(2026, 1, 4), end=date(2026, 1, 14))
    assert horizon(weeks, now) == datetime(2026, 1, 11, tzinfo=UTC)
    assert horizon(Calendar(grain="day", start=date(2026, 1, 4), end=date(2027, 1, 1)), now) == now
    assert horizon(Calendar(grain="day", start=date(2026, 1, 4)), now) == now


@settings(max_examples=60, deadline=None)
@given(
    moment=st.datetimes(datetime(2026, 1, 4), datetime(2027, 6, 1)),
    grain=st.sampled_from(["day", "week", "month"]),
)
def test_windows_in_sql_are_the_calendar_s(moment: datetime, grain: str) -> None:
    start = date(2026, 1, 1) if grain == "month" else date(2026, 1, 4)
    calendar = Calendar(grain=grain, start=start)
    day = start
    while calendar.window_end(day) <= moment.date():
        day = calendar.window_end(day)
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    sql = f"select {window_sql('t', grain)} from (select cast(? as timestamptz) as t)"
    assert connection.execute(sql, [moment.replace(tzinfo=UTC)]).fetchone() == (day,)
