"""`landbridge run`: raw files to recommendations for every target, in this process and without servers.

Each Dagster run costs seconds of its own, so there are as few as partitions allow: one for the events
and all dbt models, one for each target. They go into the instance that `landbridge ui` shows.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from orchestration.commands.display import Progress, quiet
from orchestration.config import Config, Home
from orchestration.environment import require_sources
from orchestration.live import listening

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import Console
    from rich.status import Status

    from orchestration.stages import Stage

PID_TAG = "landbridge/pid"
NEXT = "put that right and give the same command again: what is finished is kept"


def in_words(first: str, last: str | None) -> str:
    """A span of partitions, for an error message."""
    return first if last is None or first == last else f"{first} to {last}"


class StageError(Exception):
    """A stage that ended with an error; the message is what a user can act on."""


def choose_as_of(wanted: date | None) -> str:
    """The as-of to train for: the newest of the calendar, or `wanted` where it is one of them."""
    from orchestration.partitions import AS_OF, CONFIG
    from orchestration.stages import newest_as_of

    newest = newest_as_of(CONFIG)
    if wanted is not None and wanted.isoformat() not in (keys := AS_OF.get_partition_keys()):
        raise click.ClickException(
            f"--as-of {wanted} is no end of a {CONFIG.calendar.grain} of the calendar; "
            f"expected one between {keys[0]} and {keys[-1]}"
        )
    return wanted.isoformat() if wanted else newest


@contextmanager
def ending_in_words(console: Console, log: Path) -> Iterator[None]:
    """A stage that fails, or Ctrl-C, ends the command with what to do next and not with a traceback."""
    try:
        yield
    except StageError as error:
        console.print(
            f"\n{escape(str(error))}\n\nWhat next: {NEXT}.\nEverything that was said: {escape(str(log))}"
        )
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        console.print("\ninterrupted; give the same command again: it completes what is missing")
        raise SystemExit(130) from None


def run_everything(config: Config, home: Home, as_of: date | None) -> None:
    """Run every stage and print the results; exits with status 1 where a stage fails."""
    require_sources(config)
    log = home.root / "logs" / "run.log"
    with quiet(log) as console:
        progress = Progress(console)
        with ending_in_words(console, log):
            day = choose_as_of(as_of)
            console.print(
                f"Landbridge: {', '.join(config.domain_names)} as of {day}, state in {escape(str(home.root))}"
            )
            from orchestration.commands.outcome import print_outcome
            from orchestration.stages import whole_path

            run_stages(whole_path(config, day), home, progress, log)
            print_outcome(console, config, home, date.fromisoformat(day), time.monotonic() - progress.started)


def run_stages(todo: Sequence[Stage], home: Home, progress: Progress, log: Path) -> None:
    """Run stages in order, a line for each; StageError at the first that fails."""
    began = time.monotonic()
    with progress.working("loading"):
        import dagster as dg

        defs = _definitions()
        instance = dg.DagsterInstance.from_config(str(home.dagster))
        release_dead_runs(instance)
    progress.done("load definitions", time.monotonic() - began, "")
    with instance:
        for stage in todo:
            _run_stage(stage, defs, instance, progress, log)


def _definitions() -> dg.Definitions:
    try:
        from orchestration.definitions import defs
    except Exception as error:
        traceback.print_exc()  # into the log
        raise StageError(f"the definitions do not load: {error}") from error
    return defs


def _run_stage(
    stage: Stage, defs: dg.Definitions, instance: dg.DagsterInstance, progress: Progress, log: Path
) -> None:
    from orchestration.commands.outcome import failure, sentence
    from orchestration.stages import run_stage

    began = time.monotonic()
    with progress.working(stage.title) as status, _following(log, stage.title, status):
        results = run_stage(stage, defs, instance, tags={PID_TAG: str(os.getpid())})
        if not results[-1].success:
            where, why = failure(results[-1])
            progress.failed(stage.title, time.monotonic() - began, f"{where} failed")
            raise StageError(f"{where}, partition {in_words(*stage.spans[len(results) - 1])}:\n{why}")
    progress.done(stage.title, time.monotonic() - began, sentence(stage.title, results))


def release_dead_runs(instance: dg.DagsterInstance) -> None:
    """End the runs of killed processes: they would hold their place in the warehouse pool for ever."""
    import dagster as dg

    open_states = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    for run in instance.get_runs(dg.RunsFilter(statuses=open_states)):
        pid = run.tags.get(PID_TAG)
        if pid is not None and not _alive(int(pid)):
            instance.report_run_failed(run, f"its process ({pid}) is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _following(log: Path, title: str, status: Status | None) -> Iterator[None]:
    """Show beside the spinner what an asset says it does, and the newest message that it wrote to its log."""
    if status is None:
        yield
        return
    over = threading.Event()

    def follow() -> None:
        with log.open(encoding="utf-8", errors="replace") as lines:
            lines.seek(0, os.SEEK_END)
            while not over.wait(0.5):
                said = [line for line in lines if " - INFO - " in line]
                if said:
                    status.update(f"{title}: {escape(said[-1].rsplit(' - ', 1)[-1].strip()[:80])}")

    watcher = threading.Thread(target=follow, daemon=True)
    watcher.start()
    try:
        with listening(lambda line: status.update(f"{title}: {escape(line)}")):
            yield
    finally:
        over.set()
        watcher.join()
