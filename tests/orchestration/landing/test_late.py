"""Late, corrected and vanished files: exactly the windows they touch, and the same rows as a full refresh."""

from __future__ import annotations

import os
from datetime import date

import duckdb
import pytest
from log_world import World

from orchestration.config import Home
from orchestration.landing.late import read_history, touched_catalogues, touched_windows
from orchestration.resources.warehouse import Warehouse

HEADER = "user_id,item_id,time,event,rating\n"
EVENTS = "select * exclude (occurred_at), cast(occurred_at as varchar) from raw.events order by all"


def touched(world: World) -> dict[str, list[str]]:
    with Warehouse().read() as connection:
        history = read_history(connection, world.config)
    return {
        domain: [str(day) for day in days] for domain, days in touched_windows(history, world.config).items()
    }


def line(user: str, day: int | str) -> str:
    time = f"2026-01-{day:02}T10:00:00" if isinstance(day, int) else day
    return f"{user},b1,{time},view,\n"


def run_touched(world: World) -> None:
    """Load each touched window by itself, the last one first."""
    for domain, days in touched(world).items():
        for day in reversed(days):
            end = world.config.calendar.window_end(date.fromisoformat(day))
            world.load(world.span(day, str(end), [domain]), items=False)


def equals_a_full_refresh(world: World) -> bool:
    """Whether the warehouse holds what loading everything into an empty one gives."""
    found = world.rows(EVENTS)
    Home().warehouse.unlink()
    world.load()
    return world.rows(EVENTS) == found


@pytest.fixture
def dated(world: World) -> World:
    """The world with a log of books in one file a day, of which the second is missing."""
    world.document["domains"]["books"]["events"]["path"] = "log/{date}.csv"
    world.write("log/2026-01-01.csv", HEADER + line("u1", 1))
    world.write("log/2026-01-03.csv", HEADER + line("u1", 3) + line("u2", "n/a"))
    return world


@pytest.fixture
def undated(world: World) -> World:
    """The world with a log of books in one file."""
    world.write("books.csv", HEADER + line("u1", 1) + line("u2", 2) + line("u3", 3))
    return world


def test_nothing_is_touched_after_a_load(world: World) -> None:
    world.load()
    assert touched(world) == {}


def test_everything_that_has_lines_is_touched_before_a_load(world: World) -> None:
    world.load(world.span(domains=["films"]))
    assert touched(world) == {"books": ["2026-01-01", "2026-01-02", "2026-01-03"]}
    run_touched(world)
    assert touched(world) == {}


def test_a_late_a_corrected_and_a_vanished_dated_file(dated: World) -> None:
    dated.load()
    dated.write("log/2026-01-02.csv", HEADER + line("u1", 2))
    assert touched(dated) == {"books": ["2026-01-02"]}
    dated.write("log/2026-01-03.csv", HEADER + line("u9", 3))
    assert touched(dated) == {"books": ["2026-01-02", "2026-01-03"]}
    (dated.folder / "log/2026-01-01.csv").unlink()
    assert touched(dated) == {"books": ["2026-01-01", "2026-01-02", "2026-01-03"]}
    run_touched(dated)
    assert touched(dated) == {}
    assert dated.rows("select source_file from raw.source_files where kind = 'events' order by 1") == [
        ("films.jsonl",),
        ("log/2026-01-02.csv",),
        ("log/2026-01-03.csv",),
    ]
    assert equals_a_full_refresh(dated)


def test_a_dated_file_outside_the_calendar_touches_nothing(dated: World) -> None:
    dated.load()
    dated.write("log/2026-01-04.csv", HEADER + line("u1", 4))
    dated.write("log/2025-12-31.csv", HEADER + line("u1", 4))
    assert touched(dated) == {}


@pytest.mark.parametrize(
    "more,days",
    [
        (line("u4", 2), ["2026-01-02"]),
        (line("u4", 3) + line("u4", 2), ["2026-01-02", "2026-01-03"]),
        (line("u4", "n/a"), ["2026-01-01"]),  # a line that tells no time lies in the first window
        (line("u4", "2025-12-01T00:00:00"), ["2026-01-01"]),
        ("broken\n", ["2026-01-01"]),
        ("", []),
    ],
)
def test_lines_appended_to_an_undated_file(undated: World, more: str, days: list[str]) -> None:
    undated.load()
    with (undated.folder / "books.csv").open("a") as file:
        file.write(more)
    os.utime(undated.folder / "books.csv")
    assert touched(undated) == ({"books": days} if days else {})
    run_touched(undated)
    assert touched(undated) == {}
    assert equals_a_full_refresh(undated)


def test_a_corrected_line_and_one_that_moves_in_an_undated_file(undated: World) -> None:
    undated.load()
    path = undated.write("books.csv", HEADER + line("u1", 1) + line("u2", 3) + line("u8", 3))
    assert touched(undated) == {"books": ["2026-01-02", "2026-01-03"]}
    run_touched(undated)
    assert equals_a_full_refresh(undated)
    path.write_text(HEADER + line("u2", 3) + line("u8", 3))  # each line has another number now
    assert touched(undated) == {"books": ["2026-01-01", "2026-01-03"]}


def test_a_window_run_alone_leaves_the_others_touched(undated: World) -> None:
    """The state of a file says nothing about windows that were loaded from an earlier state of it."""
    undated.load()
    with (undated.folder / "books.csv").open("a") as file:
        file.write(line("u4", 2) + line("u4", 3))
    undated.load(undated.span("2026-01-03", "2026-01-04", ["books"]), items=False)
    assert touched(undated) == {"books": ["2026-01-02"]}
    undated.load(undated.span("2026-01-03", "2026-01-04", ["books"]), items=False)
    assert touched(undated) == {"books": ["2026-01-02"]}
    run_touched(undated)
    assert equals_a_full_refresh(undated)


def test_a_file_of_a_glob_that_comes_and_one_that_goes(world: World) -> None:
    world.document["domains"]["books"]["events"]["path"] = "part-*.csv"
    first = world.write("part-1.csv", HEADER + line("u1", 1))
    world.write("part-2.csv", HEADER + line("u2", 2))
    world.load()
    world.write("part-3.csv", HEADER + line("u3", 3))
    assert touched(world) == {"books": ["2026-01-03"]}
    first.unlink()
    assert touched(world) == {"books": ["2026-01-01", "2026-01-03"]}
    run_touched(world)
    assert touched(world) == {}
    assert equals_a_full_refresh(world)


def test_a_changed_catalogue(world: World) -> None:
    def catalogues() -> list[str]:
        with Warehouse().read() as connection:
            return touched_catalogues(read_history(connection, world.config), world.config)

    world.load()
    assert catalogues() == []
    world.write("films_items.jsonl", '{"film": "f1", "title": "Another harbour"}\n')
    assert catalogues() == ["films"]
    world.load()
    assert catalogues() == []


def test_an_empty_warehouse_has_no_history(world: World, connection: duckdb.DuckDBPyConnection) -> None:
    history = read_history(connection, world.config)
    assert not any(history.files.values())
    assert list(touched_windows(history, world.config)) == ["books", "films"]


def test_windows_of_months_and_a_calendar_without_end(world: World) -> None:
    world.document["calendar"] = {"grain": "month", "start": "2025-12-01", "end": None}
    with Warehouse().write():
        pass
    found = touched(world)
    assert found == {"books": ["2025-12-01", "2026-01-01"], "films": ["2025-12-01", "2026-01-01"]}
