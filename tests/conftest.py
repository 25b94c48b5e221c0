"""Fixtures that the tests of the log's path share."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from log_world import BOOKS_EVENTS, BOOKS_ITEMS, FILMS_EVENTS, FILMS_ITEMS, World, document


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The hand-written world in a folder of its own, with LANDBRIDGE_HOME set to it."""
    made = World(tmp_path, document())
    for name, text in (
        ("books.csv", BOOKS_EVENTS),
        ("books_items.csv", BOOKS_ITEMS),
        ("films.jsonl", FILMS_EVENTS),
        ("films_items.jsonl", FILMS_ITEMS),
    ):
        made.write(name, text)
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path / "home"))
    return made


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    """An empty in-memory DuckDB with the session settings of the warehouse."""
    made = duckdb.connect()
    made.execute("set TimeZone = 'UTC'")
    return made
