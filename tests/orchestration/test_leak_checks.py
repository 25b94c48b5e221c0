"""Leaks planted on purpose: a check names each of them, nothing is trained, and evaluation does not run."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transfer_case import AS_OF, TARGET, write_world

from ml.bridge.protocol import Protocol
from ml.snapshot_files import INTERACTIONS_FILE
from orchestration.config import Home
from orchestration.defs.evaluate import evaluation
from orchestration.defs.snapshot import nothing_at_or_after_as_of, snapshot_path
from orchestration.defs.transfer import bridge
from orchestration.partitions import AS_OF as AS_OFS
from orchestration.protocols import NOTHING_LEAKS, leak_check, protocol_lines


@pytest.fixture
def home(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    write_world(Home(), users=60, items=20)
    return Home()


def a_future_event(home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    path = snapshot_path(AS_OF) / INTERACTIONS_FILE
    log = pq.read_table(path)
    last = log.slice(len(log) - 1).to_pylist()[0]
    moment = datetime.combine(date.fromisoformat(AS_OF), datetime.min.time(), UTC)
    late = pa.Table.from_pylist([{**last, "event_time": moment}], log.schema)
    pq.write_table(pa.concat_tables([log.slice(0, len(log) - 1), late]), path)
    return f"user {last['user_id']}, item {last['item_id']} of {last['domain']} at {AS_OF} 00:00:00+00:00"


def a_history_that_stays(home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    def cold(self: Protocol, stage: str, hiding=Protocol.cold):
        return replace(hiding(self, stage), task=self.served())

    monkeypatch.setattr(Protocol, "cold", cold)
    return f"hidden interactions of {TARGET} are read, the first: user u"


def a_mean_of_everything(home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    def task(self: Protocol, shown: dict, scaling=Protocol._task):
        made, whole = scaling(self, shown), self.snapshot.interactions
        logs = {d: replace(log, weights=log.weights / len(whole[d])) for d, log in made.interactions.items()}
        return replace(made, interactions=logs)

    monkeypatch.setattr(Protocol, "_task", task)
    return f"the weights read of {TARGET} depend on what is hidden"


@pytest.mark.parametrize("plant", [a_future_event, a_history_that_stays, a_mean_of_everything])
def test_a_planted_leak_stops_the_path_before_anything_is_trained(
    home: Home, monkeypatch: pytest.MonkeyPatch, plant: Callable
) -> None:
    named = plant(home, monkeypatch)
    before = {dep for asset in (bridge, evaluation) for deps in asset.asset_deps.values() for dep in deps}
    result = dg.materialize(
        [bridge, evaluation, *(dg.AssetSpec(key) for key in before - {bridge.key})],
        selection=[bridge, evaluation],
        partition_key=dg.MultiPartitionKey({"target": TARGET, "as_of": AS_OF}),
        raise_on_error=False,
    )
    assert not result.success
    (check,) = result.get_asset_check_evaluations()
    assert check.check_name == NOTHING_LEAKS
    assert not check.passed
    assert check.blocking
    assert named in check.metadata["leaks"].value
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_key == "bridge"
    assert "nothing was trained" in failed.step_failure_data.user_failure_data.description
    assert not result.get_asset_materialization_events()
    assert {event.step_key for event in result.all_events if event.is_step_start} == {"bridge"}
    assert not (home.models / AS_OF).exists()


@dg.asset(partitions_def=AS_OFS)
def training_snapshot() -> None:
    """The one that the home holds already."""


@dg.asset(partitions_def=AS_OFS, deps=[training_snapshot])
def reader() -> None:
    """Whatever reads a snapshot in the same run."""


@pytest.mark.parametrize("planted", [False, True])
def test_the_check_of_a_snapshot_blocks_and_names_the_row(
    home: Home, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    named = a_future_event(home, monkeypatch) if planted else "none"
    result = dg.materialize(
        [training_snapshot, reader, nothing_at_or_after_as_of], partition_key=AS_OF, raise_on_error=False
    )
    (check,) = result.get_asset_check_evaluations()
    assert check.passed is not planted
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert made == {"training_snapshot"} | (set() if planted else {"reader"})
    assert named in check.metadata["late"].value


def test_many_leaks_are_told_in_short() -> None:
    found = leak_check([f"leak {i}" for i in range(13)])
    assert found.metadata["leaks"].value.splitlines()[-1] == "- and 3 more"
    assert found.description == "leak 0"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "global time. Hidden: everything in every domain at or after as-of less the horizon."),
        ({"protocol": "leave_one_out"}, "leave-one-out. Hidden: the last item of every target history"),
        ({"protocol": "last_fraction"}, "Not a forecast: what came later is read."),
    ],
)
def test_a_training_says_what_it_was_asked(settings: dict, sentence: str) -> None:
    cold, history, *further = protocol_lines({"train_settings": settings})
    assert cold.startswith("cold users by hash.")
    assert sentence in history
    assert [line.split(".")[0] for line in further] == ["new users after their first events", "cold items"]
