"""Fixtures that the tests of the log's path share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from log_world import BOOKS_EVENTS, BOOKS_ITEMS, FILMS_EVENTS, FILMS_ITEMS, World, document

from orchestration.config import Home
from orchestration.landing.loading import Span


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the world of a test lies while it runs; the same for all, because dbt keeps nothing of a parse
    (6 s) whose warehouse had another path."""
    return tmp_path_factory.mktemp("worlds") / "present"


@pytest.fixture
def world(
    tmp_path: Path, world_folder: Path, dbt_target: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """The hand-written world in a folder of its own, with LANDBRIDGE_HOME set to it."""
    made = World(world_folder, document(), dbt_target)
    for name, text in (
        ("books.csv", BOOKS_EVENTS),
        ("books_items.csv", BOOKS_ITEMS),
        ("films.jsonl", FILMS_EVENTS),
        ("films_items.jsonl", FILMS_ITEMS),
    ):
        made.write(name, text)
    monkeypatch.setenv("LANDBRIDGE_HOME", str(made.home))
    yield made
    made.keep_parsed()
    world_folder.rename(tmp_path / "world")  # pytest keeps it as it keeps every tmp_path


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    """An empty in-memory DuckDB with the session settings of the warehouse."""
    made = duckdb.connect()
    made.execute("set TimeZone = 'UTC'")
    return made


@pytest.fixture(scope="session")
def dbt_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt keeps the parsed project: parsing it once for all tests saves seconds in each."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture
def dbt_run(dbt_target: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the models of the home that is set now, in this process: one of its own takes 4 s more."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    from orchestration.resources.dbt import PROJECT, covering, project_hash

    def run(span: Span | None = None, command: str = "run") -> None:
        monkeypatch.setenv("LANDBRIDGE_WAREHOUSE", str(Home().warehouse))
        monkeypatch.setenv("DBT_PROFILES_DIR", str(PROJECT))
        target = str(dbt_target)
        places = ["--project-dir", str(PROJECT), "--target-path", target, "--log-path", target]
        with covering(span):
            done = dbtRunner().invoke(["--quiet", command, *places])
        DuckDBConnectionManager.close_all_connections()
        failed = [f"{r.node.name}: {r.message}" for r in (done.result or []) if r.status in ("error", "fail")]
        assert done.success, failed or done.exception
        (dbt_target / "stamp").write_text(project_hash())

    return run


@pytest.fixture(scope="session")
def judged_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `judged` keeps the warehouse that it copies."""
    return tmp_path_factory.mktemp("judged") / "warehouse.duckdb"


@pytest.fixture
def judged(judged_warehouse: Path, world: World, dbt_run: Callable[..., None]) -> World:
    """The world loaded and judged, so that a test pays for dbt only where it changes something."""
    if not judged_warehouse.exists():
        world.load()
        dbt_run()
        shutil.copy(Home().warehouse, judged_warehouse)
    else:
        Home().root.mkdir()
        shutil.copy(judged_warehouse, Home().warehouse)
    return world
