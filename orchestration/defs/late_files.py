"""Late and corrected landing files: a sensor, stopped until switched on, that re-runs what they touch.

It asks for whole windows, through the assets of `landbridge run`; it never writes, and it opens the warehouse
for the moment it takes to read what was loaded.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from datetime import date

import dagster as dg
import duckdb

from orchestration.config import Calendar, Home
from orchestration.landing.history import EVENTS, ITEMS, State
from orchestration.landing.late import (
    History,
    landing_state,
    read_history,
    touched_catalogues,
    touched_windows,
)
from orchestration.landing.sources import SourceError
from orchestration.partitions import CONFIG, DOMAIN_WINDOWS, DOMAINS
from orchestration.runs import RANGE_END, RANGE_START, multi_key
from orchestration.stages import MODELS, Stage

SETTLED = 30  # seconds without a write after which a file is taken to be whole

events_job = dg.define_asset_job(
    "load_events",
    selection=Stage("events", ["raw/events", *MODELS], []).selection,
    partitions_def=DOMAIN_WINDOWS,
    description="Windows of the logs, and every model on them.",
)
items_job = dg.define_asset_job(
    "load_items",
    selection=dg.AssetSelection.assets(["raw", "items"]),
    partitions_def=DOMAINS,
    description="Catalogues.",
)

Landing = Mapping[tuple[str, str], Mapping[str, State]]  # by domain and kind, then by file


def landing_now() -> Landing:
    """The state of every landing file of every domain."""
    return {
        (domain, kind): {
            label: state for label, (_, state) in sorted(landing_state(CONFIG, domain, kind).items())
        }
        for domain in CONFIG.domain_names
        for kind in (EVENTS, ITEMS)
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()[:16]


def ranges(days: list[date], calendar: Calendar) -> list[tuple[date, date]]:
    """(first, last) of the runs of windows that follow each other; `days` are sorted."""
    found: list[tuple[date, date]] = []
    for day in days:
        if found and calendar.window_end(found[-1][1]) == day:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def event_requests(touched: Mapping[str, list[date]], landing: Landing) -> Iterator[dg.RunRequest]:
    """A run for every range of windows of a domain; neighbouring domains with the same range share one."""
    names = CONFIG.domain_names
    wanted: list[tuple[date, date, list[str]]] = []
    for domain in names:
        for first, last in ranges(touched.get(domain, []), CONFIG.calendar):
            before = names[names.index(domain) - 1] if domain != names[0] else None
            shared = next((w for w in wanted if w[:2] == (first, last) and w[2][-1] == before), None)
            if shared:
                shared[2].append(domain)
            else:
                wanted.append((first, last, [domain]))
    for first, last, domains in wanted:
        state = _digest([list(landing[domain, EVENTS].items()) for domain in domains])
        yield dg.RunRequest(
            run_key=f"{domains[0]}..{domains[-1]} {first}..{last} {state}",
            job_name=events_job.name,
            tags={
                RANGE_START: multi_key(domain=domains[0], window=str(first)),
                RANGE_END: multi_key(domain=domains[-1], window=str(last)),
            },
        )


def _read_history() -> History:
    """Raises duckdb.Error at once where somebody writes: the next look is a minute away."""
    with duckdb.connect(str(Home().warehouse), read_only=True) as connection:
        return read_history(connection, CONFIG)


def _catalogue_requests(domains: list[str], landing: Landing) -> Iterator[dg.RunRequest]:
    for domain in domains:
        yield dg.RunRequest(
            run_key=f"{domain} {_digest(list(landing[domain, ITEMS].items()))}",
            job_name=items_job.name,
            partition_key=domain,
        )


def _requests(history: History, landing: Landing) -> list[dg.RunRequest]:
    return [
        *_catalogue_requests(touched_catalogues(history, CONFIG), landing),
        *event_requests(touched_windows(history, CONFIG), landing),
    ]


def _newest_write(landing: Landing) -> float:
    states = (state for files in landing.values() for state in files.values())
    return max((state.modified / 1e6 for state in states), default=0.0)


@dg.sensor(jobs=[events_job, items_job], minimum_interval_seconds=60)
def landing_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Looks for landing files that changed since they were loaded, and asks for the windows they touch.

    Each state of the files and of the warehouse is examined once (the cursor names it), and the same state of
    a domain's files asks for the same windows once (the run key does), whether that run succeeded or not.
    """
    if not Home().warehouse.exists():
        return dg.SkipReason("nothing is loaded yet: run landbridge run first")
    landing = landing_now()
    if time.time() - _newest_write(landing) < SETTLED:
        return dg.SkipReason(f"a file was written to less than {SETTLED} s ago; it may not be whole yet")
    try:
        history = _read_history()
    except (duckdb.IOException, duckdb.ConnectionException) as error:
        return dg.SkipReason(f"the warehouse is in use; the next look will do: {error}")
    known = [[list(key), files] for key, files in sorted(history.files.items())]
    examined = _digest([[[list(key), files] for key, files in sorted(landing.items())], known])
    if context.cursor == examined:
        return dg.SkipReason("no file changed since the last look")
    if not any(history.files.values()):
        return dg.SkipReason("nothing is loaded yet: run landbridge run first")
    try:
        requests = _requests(history, landing)
    except SourceError as error:
        return dg.SkipReason(f"a file cannot be read as it is mapped: {error}")
    reason = None if requests else "no window is touched by what changed"
    return dg.SensorResult(run_requests=requests, skip_reason=reason, cursor=examined)
