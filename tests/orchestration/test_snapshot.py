"""The training snapshot: net weights before a moment, nothing after it, and the same digest every time."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

ROWS = [
    # domain, window_start, user, item, event_time, weight
    ("a", "2026-01-01", "u1", "i1", datetime(2026, 1, 1, 9, tzinfo=UTC), 4.0),
    ("a", "2026-01-02", "u1", "i1", datetime(2026, 1, 2, 9, tzinfo=UTC), 1.0),
    ("a", "2026-01-01", "u2", "i1", datetime(2026, 1, 1, 9, tzinfo=UTC), 4.0),
    ("a", "2026-01-02", "u2", "i1", datetime(2026, 1, 2, 9, tzinfo=UTC), -4.0),  # cancelled
    ("a", "2026-01-02", "u3", "i1", datetime(2026, 1, 3, 0, tzinfo=UTC), 1.0),  # a dated file's late line
    ("b", "2026-01-03", "u1", "j1", datetime(2026, 1, 3, 9, tzinfo=UTC), 2.0),
]


@pytest.fixture
def mart(connection):
    connection.execute("create schema marts")
    connection.execute(
        "create table marts.fct_interactions (domain varchar, window_start date, user_id varchar, "
        "item_id varchar, event_time timestamptz, weight double)"
    )
    connection.executemany("insert into marts.fct_interactions values (?, ?, ?, ?, ?, ?)", ROWS)
    connection.execute("create table marts.item_documents as select 'a' as domain, 'i1' as item_id, "
                       "'Tides' as title, null::varchar as text_hash")  # fmt: skip
    return connection


@pytest.mark.parametrize(
    "day,expected",
    [
        (1, []),
        (2, [("a", "u1", 4.0), ("a", "u2", 4.0)]),
        (3, [("a", "u1", 5.0)]),
        (4, [("a", "u1", 5.0), ("a", "u3", 1.0), ("b", "u1", 2.0)]),
    ],
)
def test_net_weights_before_a_moment(mart, day: int, expected: list[tuple]) -> None:
    from orchestration.defs.snapshot import training_tables

    interactions, items = training_tables(mart, date(2026, 1, day))
    found = sorted((row["domain"], row["user_id"], row["weight"]) for row in interactions.to_pylist())
    assert found == expected
    assert all(row["event_time"] < datetime(2026, 1, day, tzinfo=UTC) for row in interactions.to_pylist())
    assert items.num_rows == 1


def test_an_as_of_that_was_never_materialised_says_what_to_do(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.defs.snapshot import snapshot_of

    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="materialise training_snapshot"):
        snapshot_of("2026-01-02")


def test_the_same_rows_have_the_same_snapshot(mart, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.data import write_snapshot
    from orchestration.config import as_of_time
    from orchestration.defs.snapshot import point_to, snapshot_of, snapshot_path, training_tables

    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    day = date(2026, 1, 4)
    paths = {
        write_snapshot(tmp_path / "snapshots", *training_tables(mart, day), as_of_time(day)) for _ in range(2)
    }
    assert len(paths) == 1
    mart.execute("insert into marts.item_documents values ('b', 'j1', null, null)")
    path = write_snapshot(tmp_path / "snapshots", *training_tables(mart, day), as_of_time(day))
    assert path not in paths
    point_to("2026-01-04", path)
    assert snapshot_path("2026-01-04") == path
    assert snapshot_of("2026-01-04").domains == ["a", "b"]
