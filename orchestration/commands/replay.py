"""`landbridge quarantine replay`: correct the raw rows, rebuild the models of their windows, count.

The raw rows change in one transaction that also notes what is to be rebuilt, so a replay that is killed
anywhere is completed by the next one, whatever that one selects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from orchestration.commands.display import Progress, quiet
from orchestration.commands.run import ending_in_words, run_stages
from orchestration.config import Config, Home
from orchestration.landing.replay import LEFT_OUT, Outcome, ReplayError, Touched, pending, replay, settle
from orchestration.landing.sources import SourceError
from orchestration.quarantine import QuarantineError, Selection, counts
from orchestration.resources.warehouse import Warehouse, WarehouseError


def replay_rejected(config: Config, home: Home, selection: Selection) -> None:
    """Replay the selected log lines; exits with status 1 where the models cannot be rebuilt."""
    log = home.root / "logs" / "replay.log"
    with quiet(log) as console, ending_in_words(console, log):
        try:
            if unfinished := _unfinished(home):
                console.print("an earlier replay was interrupted; completing it first")
                _rebuild(unfinished, home, console, log)
            with Warehouse().write() as connection:
                touched = replay(connection, config, selection)
            if touched is None:
                console.print("nothing to replay: no line of a log is in quarantine for what was asked")
            else:
                _rebuild(touched, home, console, log)
            _mention_catalogues(console, selection)
        except (QuarantineError, ReplayError, SourceError, WarehouseError) as error:
            raise click.ClickException(str(error)) from error


def _unfinished(home: Home) -> Touched | None:
    if not home.warehouse.exists():
        raise click.ClickException(f"{home.root} holds no lines yet; `landbridge run` loads them")
    with Warehouse().read() as connection:
        return pending(connection)


def _rebuild(touched: Touched, home: Home, console: Console, log: Path) -> None:
    """Run all models for what was touched, in one Dagster run, and print what became of the lines."""
    from orchestration.stages import models

    (first, last), (start, end) = touched.domains, touched.windows
    todo = models((first, start.isoformat()), (last, end.isoformat()))
    run_stages([todo], home, Progress(console), log)
    with Warehouse().write() as connection:
        outcomes = settle(connection)
    console.print(in_words(outcomes), soft_wrap=True)


def in_words(outcomes: Sequence[Outcome]) -> str:
    """How many lines were replayed, for what they had been rejected, and what they are now."""
    before, after = Counter[str](), Counter[str]()
    for outcome in outcomes:
        before[outcome.before] += outcome.lines
        after[outcome.after] += outcome.lines
    kept, left_out = after.pop("kept", 0), after.pop(LEFT_OUT, 0)
    lines = "1 line" if before.total() == 1 else f"{before.total():,} lines"
    said = f"{lines} replayed ({_list(before)}): {kept:,} kept now"
    if left_out:
        said += f", {left_out:,} {LEFT_OUT}"
    return f"{said}, {after.total():,} still rejected ({_list(after)})" if after else f"{said}, none rejected"


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} {lines:,}" for reason, lines in counts.most_common())


def _mention_catalogues(console: Console, selection: Selection) -> None:
    """Rejected lines of catalogues are not replayed: a catalogue is small and read whole."""
    items = replace(selection, kind="items", reason=None, first=None, last=None)
    with Warehouse().read() as connection:
        rejected = sum(count.rejected for count in counts(connection, items))
    if rejected:
        console.print(
            f"{rejected:,} lines of catalogues are rejected too; to read them again, materialise raw/items"
        )
