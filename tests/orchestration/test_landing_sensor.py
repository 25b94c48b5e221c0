"""The sensor over landing files: what it asks for, and that the runs it asks for do what is missing."""

from __future__ import annotations

import os
from datetime import date, timedelta

import pytest
from log_world import World

from orchestration.config import Calendar
from orchestration.defs.late_files import event_requests, ranges
from orchestration.landing.history import EVENTS, State
from orchestration.partitions import CONFIG
from orchestration.runs import RANGE_END, RANGE_START

PROGRAM = """
import os, subprocess, sys
import dagster as dg
from orchestration.config import Home
from orchestration.definitions import defs
from orchestration.defs.late_files import SETTLED, landing_files
from orchestration.partitions import CONFIG
from orchestration.runs import multi_key

folder, cursor = CONFIG.path.parent, None
def look(again=False):
    global cursor
    found = landing_files(dg.build_sensor_context(cursor=None if again else cursor))
    if isinstance(found, dg.SkipReason):
        return found.skip_message
    cursor = found.cursor
    return found.run_requests
def settle(*paths):  # as if the files had been written a while ago
    for path in paths:
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - SETTLED))
def run(request):
    job = defs.get_job_def(request.job_name)
    done = job.execute_in_process(instance=instance, tags=request.tags, partition_key=request.partition_key)
    assert done.success
    return done
HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
def while_somebody_writes(call):
    command = [sys.executable, "-c", HOLD, str(Home().warehouse)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "open\\n"
        return call()
"""
SCENES = """
with dg.DagsterInstance.ephemeral() as instance:
    assert look() == [] and look() == "no file changed since the last look"
    log, items = folder / "books.csv", folder / "films_items.jsonl"
    text = log.read_text().replace("rating\\n", "rating,shop\\n", 1).replace(",\\n", ",,web\\n")
    log.write_text(text + "u7,b1,2026-01-02T10:00:00,view,,web\\nu7,b1,2026-01-03T10:00:00,view,,web\\n")
    items.write_text(items.read_text() + '{"film": "f2", "title": "Pier"}\\n')
    assert "may not be whole" in look()
    settle(log, items)
    assert "in use" in while_somebody_writes(look)
    catalogue, events = look()
    assert look() == "no file changed since the last look"
    assert [request.run_key for request in look(again=True)] == [catalogue.run_key, events.run_key]
    assert (catalogue.job_name, catalogue.partition_key) == ("load_items", "films")
    assert events.job_name == "load_events"
    run(catalogue)
    done = run(events)
    made = done.get_asset_materialization_events()
    filled = {event.partition for event in made if event.asset_key.path == ["raw", "events"]}
    assert filled == {multi_key(domain="books", window=f"2026-01-0{day}") for day in (1, 2, 3)}, filled
    (drift,) = [check for check in done.get_asset_check_evaluations() if check.check_name == "schema_drift"]
    assert not drift.passed and drift.severity == dg.AssetCheckSeverity.WARN
    (record,) = drift.metadata["columns"].records
    assert (record.data["column"], record.data["change"]) == ("shop", "new")
    assert look() == []
"""


def day(number: int) -> date:
    return date(2026, 1, 1) + timedelta(days=number)


def test_ranges_are_windows_that_follow_each_other() -> None:
    daily = Calendar(start=day(0))
    assert ranges([], daily) == []
    assert ranges([day(0), day(1), day(3), day(5), day(6)], daily) == [
        (day(0), day(1)),
        (day(3), day(3)),
        (day(5), day(6)),
    ]
    monthly = Calendar(grain="month", start=day(0))
    assert ranges([date(2026, 1, 1), date(2026, 2, 1)], monthly) == [(date(2026, 1, 1), date(2026, 2, 1))]


def test_neighbouring_domains_with_the_same_windows_share_a_run() -> None:
    assert CONFIG.domain_names == ["books", "films", "garden", "music"]
    landing = {(domain, EVENTS): {"a.csv": State(1, 2)} for domain in CONFIG.domain_names}
    touched = {"books": [day(1)], "films": [day(1), day(3)], "music": [day(1)]}
    requests = list(event_requests(touched, landing))
    assert [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in requests] == [
        ("books|2026-01-02", "films|2026-01-02"),
        ("films|2026-01-04", "films|2026-01-04"),
        ("music|2026-01-02", "music|2026-01-02"),
    ]
    again = list(event_requests(touched, landing | {("music", EVENTS): {"a.csv": State(9, 2)}}))
    assert [a.run_key == b.run_key for a, b in zip(requests, again, strict=True)] == [True, True, False]


@pytest.mark.slow
def test_the_sensor_asks_once_for_what_changed_and_its_runs_bring_it_in(world: World) -> None:
    for path in world.folder.iterdir():
        os.utime(path, (1767300000, 1767300000))
    world.load()
    world.python(PROGRAM + SCENES)
    query = "select window_start::varchar, source_line from marts.fct_interactions where user_id = 'u7'"
    assert world.rows(query + " order by 1") == [("2026-01-02", 16), ("2026-01-03", 17)]
    assert world.rows("select count(*) from raw.items where item_id = 'f2'") == [(1,)]
