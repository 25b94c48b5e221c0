"""The archive of served lists: nothing shown is lost, nothing is kept twice, and each event has its list."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from orchestration.config import Home
from orchestration.files import replaced_file
from orchestration.served import Served, archive, keep, periods

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = date(2026, 3, 1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def write(home: Home, content: bytes) -> Path:
    """Lists as `recommendation_lists` writes them: beside the old ones, then in their place."""
    path = home.recommendations / "books.parquet"
    with replaced_file(path) as beside:
        beside.write_bytes(content)
    return path


def serve(home: Home, content: bytes, version: int, hour: int = 0, most: int = 60) -> Path | None:
    return keep(home, "books", write(home, content), DAY, version, NOON + timedelta(hours=hour), most)


def test_what_was_served_outlives_the_lists_that_replace_it(home):
    serve(home, b"first", 1)
    serve(home, b"second", 2, hour=1)
    assert [(s.version, s.path.read_bytes()) for s in archive(home, "books")] == [
        (1, b"first"),
        (2, b"second"),
    ]
    assert archive(home, "books")[0].served_at == NOON


def test_lists_written_again_are_served_since_the_first_time(home):
    assert serve(home, b"same", 1) == serve(home, b"same", 1, hour=1)
    assert len(archive(home, "books")) == 1


def test_a_version_approved_again_is_served_again(home):
    """v1, v2, back to v1: three spans of time, two of them with the same lists."""
    for hour, (content, version) in enumerate([(b"one", 1), (b"two", 2), (b"one", 1)]):
        serve(home, content, version, hour)
    assert [served.version for served in archive(home, "books")] == [1, 2, 1]


def test_the_oldest_lists_go(home):
    for hour in range(4):
        serve(home, bytes([hour]), hour + 1, hour, most=2)
    assert [served.version for served in archive(home, "books")] == [3, 4]
    assert serve(home, b"none", 5, 9, most=0) is None
    assert archive(home, "books") == []


def test_without_links_the_lists_are_copied(home, monkeypatch):
    def refused(*_: object) -> None:
        raise OSError("this file system has no links")

    monkeypatch.setattr("os.link", refused)
    assert serve(home, b"copied", 1).read_bytes() == b"copied"


@pytest.mark.parametrize(
    "name", ["books.parquet", "2026-03-01-v1.parquet", "2026-03-01-vx-20260301T1.parquet"]
)
def test_a_foreign_file_is_no_served_list(home, name):
    folder = home.served / "books"
    folder.mkdir(parents=True)
    (folder / name).touch()
    assert archive(home, "books") == []


def served(day: int, version: int, written: datetime) -> Served:
    return Served(Path("lists"), date(2026, 3, day), version, written)


def test_live_lists_answer_from_when_they_were_written():
    at = [NOON, NOON + timedelta(hours=3), NOON + timedelta(days=1)]
    lists = [served(1, 1, at[0]), served(1, 2, at[1]), served(2, 2, at[2])]
    found = periods(lists, log_end=NOON + timedelta(days=3))
    assert [(p.start, p.end, p.shown) for p in found] == [
        (at[0], at[1], True),
        (at[1], at[2], True),
        (at[2], None, True),
    ]


def test_lists_of_replayed_history_answer_from_their_as_of():
    """All written in November, on a log that ends in March; two of one as-of share its events."""
    november = datetime(2026, 11, 22, tzinfo=UTC)
    written = [november + timedelta(hours=hour) for hour in range(3)]
    lists = [served(1, 1, written[0]), served(1, 2, written[1]), served(8, 2, written[2])]
    found = periods(lists, log_end=datetime(2026, 3, 31, tzinfo=UTC))
    first, second = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC)
    assert [(p.start, p.end, p.shown) for p in found] == [
        (first, second, False),
        (first, second, False),
        (second, None, False),
    ]
