"""The event log of many runs: what was stored is read back, however many databases were opened in between."""

import logging

import pytest
from dagster import EventLogEntry

from orchestration import event_log
from orchestration.event_log import BulkSqliteEventLogStorage

RUNS = 5


def said(run: int, number: int) -> EventLogEntry:
    return EventLogEntry(
        error_info=None,
        level=logging.INFO,
        user_message=f"{run}-{number}",
        run_id=f"run{run}",
        timestamp=float(number),
    )


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setattr(event_log, "_MOST_ENGINES", 3)
    return BulkSqliteEventLogStorage(str(tmp_path))


def read(storage, run):
    return [
        record.event_log_entry.user_message for record in storage.get_records_for_run(f"run{run}").records
    ]


def test_more_runs_than_engines_are_all_kept_and_another_process_reads_them(log, tmp_path):
    for number in range(4):
        for run in range(RUNS):
            log.store_event(said(run, number))
    for storage in (log, BulkSqliteEventLogStorage(str(tmp_path))):
        for run in range(RUNS):
            assert read(storage, run) == [f"{run}-{number}" for number in range(4)]
    assert len(log._engines) <= 3


def deleted_and_interrupted(storage):
    with storage.run_connection("run0") as connection:
        connection.exec_driver_sql("delete from event_logs")
        raise RuntimeError("in the middle")


def test_a_failed_transaction_leaves_nothing_and_the_next_one_works(log):
    log.store_event(said(0, 0))
    with pytest.raises(RuntimeError, match="in the middle"):
        deleted_and_interrupted(log)
    log.store_event(said(0, 1))
    assert read(log, 0) == ["0-0", "0-1"]
