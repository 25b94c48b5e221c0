"""Partition keys of every grain, counted by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from orchestration.config import Calendar
from orchestration.partitions import as_of_partitions, window_partitions


@pytest.mark.parametrize(
    "grain,start,end,windows,as_of",
    [
        (
            "day",
            "2026-01-01",
            "2026-04-01",
            (90, "2026-01-01", "2026-03-31"),
            (90, "2026-01-02", "2026-04-01"),
        ),
        (
            "month",
            "2000-05-01",
            "2014-08-01",
            (171, "2000-05-01", "2014-07-01"),
            (171, "2000-06-01", "2014-08-01"),
        ),
        # an end in the middle of a week: the last window is the last whole one
        (
            "week",
            "2026-01-04",
            "2026-02-04",
            (4, "2026-01-04", "2026-01-25"),
            (4, "2026-01-11", "2026-02-01"),
        ),
        ("day", "2026-01-01", "2026-01-02", (1, "2026-01-01", "2026-01-01"), (1, "2026-01-02", "2026-01-02")),
    ],
)
def test_keys_of_a_closed_calendar(grain: str, start: str, end: str, windows: tuple, as_of: tuple) -> None:
    calendar = Calendar(grain=grain, start=date.fromisoformat(start), end=date.fromisoformat(end))
    for partitions, expected in ((window_partitions, windows), (as_of_partitions, as_of)):
        keys = partitions(calendar).get_partition_keys()
        assert (len(keys), keys[0], keys[-1]) == expected


@pytest.mark.parametrize("end", [None, date(2999, 1, 1)])
def test_an_open_calendar_s_last_moment_is_today(end: date | None) -> None:
    today = datetime.now(UTC).date()
    calendar = Calendar(grain="day", start=today - timedelta(days=10), end=end)
    windows = window_partitions(calendar).get_partition_keys()
    moments = as_of_partitions(calendar).get_partition_keys()
    assert windows[-1] == str(today - timedelta(days=1))
    assert moments[-1] == str(today)
    assert len(windows) == len(moments) == 10


@pytest.mark.parametrize("grain", ["day", "month"])
def test_every_moment_is_the_end_of_a_window(grain: str) -> None:
    calendar = Calendar(grain=grain, start=date(2025, 12, 1), end=date(2026, 4, 1))
    windows = window_partitions(calendar).get_partition_keys()
    ends = [str(calendar.window_end(date.fromisoformat(key))) for key in windows]
    assert as_of_partitions(calendar).get_partition_keys() == ends
