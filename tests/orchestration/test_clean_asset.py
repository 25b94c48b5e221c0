"""The dbt project as assets: the snapshot among them, a picture of the overlap, no folders left over."""

from __future__ import annotations

import os
import time
from datetime import date
from pathlib import Path

import duckdb
import pytest
from log_world import World

from orchestration.overlap_plot import Overlap, latest_overlap, overlap_plot
from orchestration.resources.dbt import forget_old_runs

PROGRAM = """
import dagster as dg
from orchestration.config import Home
from orchestration.defs import clean, ingest
from orchestration.resources.dbt import dbt_resource
from orchestration.resources.warehouse import Warehouse
from orchestration.runs import materialise, multi_key

defs = dg.load_definitions_from_modules(
    [ingest, clean], resources={"warehouse": Warehouse(), "dbt": dbt_resource(clean.PROJECT)}
)
catalogues = dg.AssetSelection.assets(["raw", "items"], ["raw", "users"])
models = dg.AssetSelection.groups("staging", "intermediate", "marts")
events = dg.AssetSelection.assets(["raw", "events"]) | models
history, overlap = (dg.AssetKey(["marts", name]) for name in ("item_text_history", "domain_overlap"))
graph = defs.resolve_asset_graph()
assert graph.get(history).group_name == "marts" and graph.get(history).partitions_def is None
assert graph.get(dg.AssetKey(["raw", "users"])).child_keys == {dg.AssetKey(["staging", "stg_users"])}
with dg.DagsterInstance.ephemeral() as instance:
    materialise(defs, catalogues, instance, first="books", last="films")
    corners = [multi_key(domain=d, window=w) for d, w in (("books", "2026-01-01"), ("films", "2026-01-03"))]
    run = materialise(defs, events, instance, first=corners[0], last=corners[1])
    assert {"item_text_history", "user_attributes"} <= {
        event.asset_key.path[-1] for event in run.get_asset_materialization_events()
    }
    made = instance.get_latest_materialization_event(overlap)
    picture = made.asset_materialization.metadata["shared_users"].value
    assert picture.startswith("![users shared by each pair of domains](data:image/png;base64,iVBOR")
    checks = [c for c in run.get_asset_check_evaluations() if c.asset_key == overlap]
    assert len(checks) == 2 and all(check.passed for check in checks)
    # The checks speak of the table that was just made, not of the one before it.
    assert {c.target_materialization_data.run_id for c in checks} == {run.run_id}
    assert len(list((Home().root / "dbt").glob("clean-*"))) == 1
"""


@pytest.mark.slow
def test_a_run_makes_the_snapshot_the_users_and_the_picture(world: World) -> None:
    world.python(PROGRAM)


def test_only_the_newest_run_folders_of_the_op_are_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    names = [f"clean-{run}" for run in "fecadb"]
    for age, name in enumerate([*names, "docs", "cleaner"]):
        folder = tmp_path / "dbt" / name
        folder.mkdir(parents=True)
        (folder / "dbt.log").write_text("said")
        os.utime(folder, (time.time() - age, time.time() - age))
    forget_old_runs("clean", kept=2)
    assert sorted(p.name for p in (tmp_path / "dbt").iterdir()) == ["clean-e", "clean-f", "cleaner", "docs"]


@pytest.fixture
def overlap_table(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute("create schema marts")
    connection.execute("""create table marts.domain_overlap (domain_a varchar, domain_b varchar,
        window_start date, shared_users bigint, users_a bigint, users_b bigint, share double)""")
    return connection


def test_the_picture_shows_the_latest_window_of_every_pair(overlap_table) -> None:
    overlap_table.execute("""insert into marts.domain_overlap values
        ('a', 'b', '2026-01-01', 0, 1, 0, null), ('a', 'c', '2026-01-01', 0, 1, 0, null),
        ('b', 'c', '2026-01-01', 0, 0, 0, null),
        ('a', 'b', '2026-01-02', 2, 8, 4, 0.5), ('a', 'c', '2026-01-02', 0, 8, 0, null),
        ('b', 'c', '2026-01-02', 0, 4, 0, null)""")
    overlap = latest_overlap(overlap_table)
    assert overlap.window == date(2026, 1, 2)
    assert overlap.users == {"a": 8, "b": 4, "c": 0}
    assert overlap.share("a", "b") == overlap.share("b", "a") == 0.5
    assert overlap.share("a", "c") != overlap.share("a", "c")  # NaN: c has no user yet
    assert overlap_plot(overlap).startswith(b"\x89PNG")


def test_there_is_no_picture_without_a_pair(overlap_table) -> None:
    assert latest_overlap(overlap_table) is None


def test_the_picture_of_many_domains_stays_small() -> None:
    names = [f"domain {number:02}" for number in range(40)]
    pairs = {(a, b): 5 for a in names for b in names if a != b}
    assert len(overlap_plot(Overlap(date(2026, 1, 2), dict.fromkeys(names, 10), pairs))) < 1_000_000
