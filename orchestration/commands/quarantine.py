"""`landbridge quarantine`: which lines were rejected and why, all of them as a file, judging them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestration.commands.options import place_options

if TYPE_CHECKING:
    import duckdb

    from orchestration.config import Config, Home
    from orchestration.quarantine import Selection

F = TypeVar("F", bound=Callable[..., Any])


class WindowRange(click.ParamType):
    """`FIRST` or `FIRST..LAST`, days; as a pair."""

    name = "first[..last]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The two days; both the same where only one is given."""
        first, _, last = str(value).partition("..")
        try:
            days = date.fromisoformat(first), date.fromisoformat(last or first)
        except ValueError:
            self.fail(f"{value!r}: expected a day, or two: 2026-01-01..2026-01-31", param, ctx)
        if days[1] < days[0]:
            self.fail(f"{value!r}: the last day lies before the first", param, ctx)
        return days


def _filters(command: F) -> F:
    for decorator in (
        click.option(
            "--window",
            type=WindowRange(),
            help="Only windows that start on these days, both included. Catalogues have no window.",
        ),
        click.option("--reason", help="Only lines that were rejected for this reason."),
        click.option("--domain", help="Only lines of this domain."),
        place_options,
    ):
        command = decorator(command)
    return command


_kind = click.option(
    "--kind",
    type=click.Choice(["events", "items", "users"]),
    help="Only lines of logs (events), catalogues (items) or user files (users).",
)


@click.group()
def quarantine() -> None:
    """Show, export and replay the lines that were rejected.

    A line that is not used is not lost: the warehouse keeps its file, line number, text and reason.
    """


@quarantine.command()
@_filters
@_kind
@click.option(
    "--limit", type=click.IntRange(0), default=20, show_default=True, help="How many lines to print."
)
def show(config_path: str | None, home: str | None, limit: int, kind: str | None, **chosen: Any) -> None:
    """Count rejected lines by reason, print some of each, and say what can be done about them."""
    from orchestration.commands.rejected import print_quarantine

    _, _, selection = _prepared(config_path, home, kind=kind, **chosen)
    with _reading() as connection:
        print_quarantine(connection, selection, limit)


@quarantine.command()
@_filters
@_kind
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; its suffix says the format: .csv, .jsonl or .parquet.",
)
def export(config_path: str | None, home: str | None, out: Path, kind: str | None, **chosen: Any) -> None:
    """Write all rejected lines with every column to a file."""
    from orchestration import quarantine as rejected

    _, _, selection = _prepared(config_path, home, kind=kind, **chosen)
    with _reading() as connection:
        rows = rejected.export(connection, selection, out)
    click.echo(f"{out}: {rows:,} rejected lines")


@quarantine.command()
@_filters
def replay(config_path: str | None, home: str | None, **chosen: Any) -> None:
    """Judge rejected log lines again, after landbridge.yaml or a catalogue was corrected.

    The log files are not read: the warehouse kept the lines. Lines that were kept before stay as they are, so
    a correction that concerns these too needs their windows of raw/events materialised instead.
    Exit status 1 where the models fail; the same command completes a replay that was interrupted.
    """
    from orchestration.commands.replay import replay_rejected

    config, place, selection = _prepared(config_path, home, kind="events", **chosen)
    replay_rejected(config, place, selection)


def _prepared(
    config_path: str | None,
    home: str | None,
    *,
    kind: str | None,
    domain: str | None,
    reason: str | None,
    window: tuple[date, date] | None,
) -> tuple[Config, Home, Selection]:
    """The configuration, the home and what is selected; ClickException lists what there is to select."""
    from orchestration.environment import prepare
    from orchestration.quarantine import ADVICE, Selection

    config, place = prepare(config_path, home)
    for option, value, known in (("domain", domain, config.domain_names), ("reason", reason, ADVICE)):
        if value is not None and value not in known:
            raise click.ClickException(f"--{option} {value}: unknown {option}; there are: {', '.join(known)}")
    first, last = window or (None, None)
    return config, place, Selection(domain, reason, kind, first, last)


@contextmanager
def _reading() -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to a warehouse whose models are built; ClickException says what is missing."""
    from orchestration.quarantine import QuarantineError, require_models
    from orchestration.resources.warehouse import Warehouse, WarehouseError

    try:
        with Warehouse().read() as connection:
            require_models(connection)
            yield connection
    except (QuarantineError, WarehouseError) as error:
        raise click.ClickException(str(error)) from error
