"""Observed precision and recall, on a log and lists small enough to count by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.metrics.report import CohortRow, Report
from orchestration.config import Home
from orchestration.defs.observe import NOTHING_YET, in_words, observed
from orchestration.observations import ObservedRow, answers, observe, read_observed, write_observed
from orchestration.partitions import CONFIG
from orchestration.resources.evidence import figures
from orchestration.resources.mlflow_store import ensure_experiment
from orchestration.resources.registry import Registry, model_name
from orchestration.resources.warehouse import Warehouse
from orchestration.review.observed import observed_section, offline_rows
from orchestration.served import archive, keep, periods

TARGET = CONFIG.domain_names[0]
AS_OF = date(2026, 3, 1)
WRITTEN = datetime(2026, 3, 1, 2, tzinfo=UTC)
LISTS = {"ann": "abcd", "bob": "abcd", "cy": "efgh", "dee": "abcd"}
# user, item, time, weight. Lists as of 1 March are written at 02:00 and replaced on 8 March at 02:00.
LOG = [
    # ann, sparse: had x. Takes a and b (hits), z (a miss), and x again: neither. Recall 2/3, precision 2/4.
    ("ann", "x", "2026-02-01 10:00", 1.0),
    ("ann", "a", "2026-03-02 10:00", 1.0),
    ("ann", "b", "2026-03-03 10:00", 4.0),
    ("ann", "z", "2026-03-03 11:00", 1.0),
    ("ann", "x", "2026-03-04 10:00", 1.0),
    # bob, cold: takes a before the lists are written, dislikes b, buys c and cancels it, takes y. Recall 0/1.
    ("bob", "a", "2026-03-01 01:00", 1.0),
    ("bob", "b", "2026-03-02 10:00", -1.0),
    ("bob", "c", "2026-03-02 11:00", 4.0),
    ("bob", "y", "2026-03-02 12:00", 1.0),
    # cy, sparse: had w and takes only that again; e comes after the period. Does not count.
    ("cy", "w", "2026-02-01 10:00", 1.0),
    ("cy", "w", "2026-03-05 10:00", 1.0),
    ("cy", "e", "2026-03-08 02:00", 1.0),
    # eve has no list.
    ("eve", "a", "2026-03-02 10:00", 1.0),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path / "home"))
    return Home()


def write_log(
    connection: duckdb.DuckDBPyConnection, log=LOG, cancelled=(("bob", "c", "2026-03-02"),)
) -> None:
    """Interactions of the target in windows of days, and purchases of which all is taken back."""
    connection.execute("create schema if not exists marts")
    connection.execute(
        "create or replace table marts.fct_interactions "
        "(domain varchar, window_start date, user_id varchar, item_id varchar, event_time timestamptz, "
        "weight double)"
    )
    for user, item, at, weight in log:
        row = [TARGET, at[:10], user, item, f"{at}+00", weight]
        connection.execute("insert into marts.fct_interactions values (?, ?, ?, ?, ?, ?)", row)
    connection.execute(
        "create or replace table marts.fct_cancellations "
        "(domain varchar, purchase_window date, user_id varchar, item_id varchar, takes_back double)"
    )
    for user, item, window in cancelled:
        row = [TARGET, window, user, item, -4.0]
        connection.execute("insert into marts.fct_cancellations values (?, ?, ?, ?, ?)", row)


def serve(home: Home, version: int = 1, as_of: date = AS_OF, at: datetime = WRITTEN) -> None:
    rows = [
        {"user_id": user, "item_id": item, "rank": rank}
        for user, items in LISTS.items()
        for rank, item in enumerate(items, start=1)
    ]
    path = home.recommendations / f"{TARGET}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    # A second name of the very file would change with it: lists are replaced, as in `write_lists`.
    keep(home, TARGET, path, as_of, version, at, most=60)
    path.unlink()


def two_weeks(home: Home):
    """Lists of two weeks, on a log that goes on after both."""
    serve(home)
    serve(home, 2, date(2026, 3, 8), datetime(2026, 3, 8, 2, tzinfo=UTC))
    return periods(archive(home, TARGET), log_end=datetime(2026, 3, 20, tzinfo=UTC))


def test_counts_by_hand(home, connection):
    write_log(connection)
    facts, values = answers(connection, TARGET, two_weeks(home)[0])
    assert (facts.k, facts.listed, facts.counted, facts.without_list, facts.repeats) == (4, 4, 2, 1, 2)
    assert values.to_pylist() == [
        {"version": 1, "user_id": "ann", "cohort": "sparse", "recall": 2 / 3, "precision": 2 / 4},
        {"version": 1, "user_id": "bob", "cohort": "cold", "recall": 0.0, "precision": 0.0},
    ]


def test_the_next_lists_answer_for_what_comes_after_them(home, connection):
    """cy takes e, listed first, at the very moment the second lists are written."""
    write_log(connection)
    facts, values = answers(connection, TARGET, two_weeks(home)[1])
    assert (facts.version, facts.end) == (2, None)
    assert values.select(["user_id", "recall"]).to_pylist() == [{"user_id": "cy", "recall": 1.0}]


def test_a_version_s_user_counts_once_however_many_lists(home, connection):
    """ann: 1/1 in the first week, 0/1 in the second, one version: half a hit, of one user."""
    write_log(connection, [("ann", "a", "2026-03-02 10:00", 1.0), ("ann", "z", "2026-03-09 10:00", 1.0)], ())
    serve(home)
    serve(home, 1, date(2026, 3, 8), datetime(2026, 3, 8, 2, tzinfo=UTC))
    spans = periods(archive(home, TARGET), datetime(2026, 3, 20, tzinfo=UTC))
    rows = {(row.cohort, row.metric): row for row in observe(connection, home, TARGET, spans, 0).rows}
    assert rows["all", "recall"] == ObservedRow(1, "all", "recall", 0.5, 0.5, 0.5, 1)
    assert rows["all", "precision"].mean == pytest.approx(1 / 8)
    # She was cold in the first week and sparse in the second: one user of each cohort, one of all.
    assert (rows["cold", "recall"].mean, rows["sparse", "recall"].mean) == (1.0, 0.0)


def test_figures_of_lists_that_are_gone_stay(home, connection):
    write_log(connection)
    first, second = two_weeks(home)
    write_observed(home, observe(connection, home, TARGET, [first, second], 0))
    first.served.path.unlink()
    again = observe(connection, home, TARGET, [second], 0)
    assert again == read_observed(home, TARGET)
    assert {row.version for row in again.rows} == {1, 2}


def test_nobody_who_answered_gives_no_section(home, connection):
    write_log(connection, [("eve", "a", "2026-03-02 10:00", 1.0)], ())
    write_observed(home, observe(connection, home, TARGET, two_weeks(home), 0))
    assert observed_section(home, TARGET) is None
    assert in_words(home, TARGET) == NOTHING_YET


def version_of(home: Home, recall: float) -> None:
    """Version 1 of the target in MLflow, whose run holds what its evaluation said of cold users."""
    registry, name = Registry(home), model_name(TARGET)
    row = CohortRow("cold", "bridge", "recall", recall, recall - 0.1, recall + 0.1, 150)
    run = registry.client.create_run(ensure_experiment(registry.client, home, name)).info.run_id
    for metric, value in figures(Report(10, [row], [], pa.table({})), 10, "bridge").items():
        registry.client.log_metric(run, metric, value)
    registry.client.create_registered_model(name)
    registry.client.create_model_version(name, str(home.models), run)


def materialise(home: Home) -> dg.ExecuteInProcessResult:
    deps = [dg.AssetSpec("recommendations"), dg.AssetSpec(["marts", "fct_interactions"])]
    return dg.materialize(
        [observed, *deps], selection=[observed], partition_key=TARGET, resources={"warehouse": Warehouse()}
    )


def shown(result: dg.ExecuteInProcessResult) -> dict:
    return result.asset_materializations_for_node("observed")[0].metadata


def test_the_asset_says_so_where_nothing_was_served(home):
    with Warehouse().write() as connection:
        write_log(connection, ())
    assert shown(materialise(home))["observed"].value == NOTHING_YET


def test_observed_stands_beside_what_the_version_s_evaluation_said(home):
    """Version 1's run says .5 at 10. Its lists of 4 are not to be compared with that."""
    version_of(home, 0.5)
    with Warehouse().write() as connection:
        write_log(connection)
    serve(home)
    assert shown(materialise(home))["answers"].value == 3
    found = read_observed(home, TARGET)
    assert found.offline == []
    at_ten = [replace(facts, k=10) for facts in found.lists]
    offline = offline_rows(Registry(home), TARGET, at_ten)
    assert offline == [ObservedRow(1, "cold", "recall", 0.5, 0.4, 0.6, 150)]
    write_observed(home, replace(found, offline=offline))
    section = observed_section(home, TARGET, 1)
    both = [".0000\u00a0[.0000,\u00a0.0000]", ".5000\u00a0[.4000,\u00a0.6000]"]
    assert section.table.rows[0][:4] == ["1 cold", "1", *both]
    assert any("no experiment" in line for line in section.lines)
    assert any("2 items were taken again" in line for line in section.lines)
    assert observed_section(home, TARGET, 9) is None
