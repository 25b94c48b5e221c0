"""`landbridge backtest`: what the present code and settings would have been worth at each as-of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from orchestration.commands.display import Progress, quiet
from orchestration.commands.run import ending_in_words, run_stages
from orchestration.config import Config, Home
from orchestration.environment import require_sources

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from orchestration.review.backtest import Backtest
    from orchestration.stages import Stage


def choose_as_ofs(keys: Sequence[str], first: date | None, last: date | None, every: int) -> list[str]:
    """Of the calendar's as-ofs those from `first` to `last`, every nth counted back from the newest of them;
    none without `first`: then only what was measured already is shown.
    """
    if first is None:
        return []
    between = [key for key in keys if first <= date.fromisoformat(key) <= (last or date.max)]
    if not between:
        raise click.ClickException(
            f"no as-of of the calendar lies from --from {first} to --to {last or 'the newest'}; "
            f"it has {keys[0]} to {keys[-1]}"
        )
    return between[::-1][::every][::-1]


def run_backtest(
    config: Config, home: Home, targets: Sequence[str], first: date | None, last: date | None, every: int = 1
) -> None:
    """Train and evaluate what is missing, write the pages, print the tables; status 1 where a stage fails."""
    chosen = _known(config, targets)
    log = home.root / "logs" / "backtest.log"
    if first is not None:
        require_sources(config)
    with quiet(log) as console, ending_in_words(console, log):
        from orchestration.partitions import AS_OF
        from orchestration.review.backtest import collect
        from orchestration.stages import backtested, windows_of

        windows_of(config)
        as_ofs = choose_as_ofs(AS_OF.get_partition_keys(), first, last, every)
        todo = _missing(config, home, chosen, as_ofs)
        trainings = sum(len(names) for names in todo.values())
        if as_ofs:
            there = len(as_ofs) * len(chosen) - trainings
            console.print(f"{len(as_ofs)} as-ofs: {trainings} trainings to do, {there} are there already")
        progress = Progress(console)
        run_stages([*_stages(config, home, todo), backtested(chosen)], home, progress, log)
        for target in chosen:
            _print(console, home, collect(home, target, config.evaluation.k, first, last))


def _known(config: Config, targets: Sequence[str]) -> list[str]:
    if unknown := sorted(set(targets) - set(config.domain_names)):
        known = ", ".join(config.domain_names)
        raise click.ClickException(f"--target {unknown[0]} is no domain; expected one of {known}")
    return sorted(set(targets)) or config.domain_names


def _missing(
    config: Config, home: Home, targets: Sequence[str], as_ofs: Sequence[str]
) -> dict[str, list[str]]:
    """As-of -> targets without a report that can be used, oldest first."""
    from orchestration.review.backtest import collect

    known = {target: collect(home, target, config.evaluation.k).reports for target in targets}
    days = {as_of: date.fromisoformat(as_of) for as_of in as_ofs}
    found = {as_of: [name for name in targets if day not in known[name]] for as_of, day in days.items()}
    return {as_of: names for as_of, names in found.items() if names}


def _stages(config: Config, home: Home, todo: dict[str, list[str]]) -> list[Stage]:
    """The trainings, and before them the path up to the snapshot where no table is there to take one of."""
    from orchestration.stages import measuring, preparing, windows_of

    trained = [stage for as_of, names in todo.items() for stage in measuring(config, as_of, names)]
    if not todo or _has_tables(home):
        return trained
    windows = windows_of(config)
    tables = preparing(config, next(iter(todo)), windows[0], windows[-1])[:-1]  # without its snapshot
    return [*tables, *trained]


def _has_tables(home: Home) -> bool:
    """Whether a run has left interactions that snapshots can be taken of."""
    from orchestration.resources.warehouse import Warehouse

    if not home.warehouse.exists():
        return False
    query = "select 1 from information_schema.tables where table_schema || '.' || table_name = ?"
    with Warehouse(root=str(home.root)).read() as connection:
        return connection.execute(query, ["marts.fct_interactions"]).fetchone() is not None


def _print(console: Console, home: Home, found: Backtest) -> None:
    """One target: the sentence, the table, what was left out and where the page is."""
    from orchestration.review.backtest import backtest_page, verdict, what_to_do

    console.print(f"\n[bold]{escape(verdict(found))}[/]")
    if found.reports:
        console.print(backtest_table(found))
    if len(found.reports) == 1:
        console.print(f"One as-of is no backtest yet. {what_to_do(found.target)}", markup=False)
    for line in found.skipped:
        console.print(f"left out: {line}", markup=False)
    console.print(f"page: {backtest_page(home, found.target)}", markup=False, soft_wrap=True)


def backtest_table(found: Backtest) -> Table:
    """Cohort and as-of by candidate; intervals only of the lifts, so that it fits a terminal."""
    from rich import box
    from rich.table import Table

    from orchestration.review.backtest import COHORTS, candidates, cohort_table

    by_cohort = {cohort: cohort_table(found, cohort) for cohort in COHORTS}
    header = by_cohort["all"].header
    means_from = len(header) - len(candidates(found))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.title = f"recall@{found.k} by as-of; lifts paired by user, with their 95 % intervals"
    table.add_column("cohort", no_wrap=True)
    for name in header:
        table.add_column(name, justify="left" if name == header[0] else "right")
    for cohort, figures in by_cohort.items():
        for place, row in enumerate(figures.rows):
            lifts = (cell.replace("\u00a0", " ") for cell in row[2:means_from])
            means = (cell.partition("\u00a0")[0] for cell in row[means_from:])
            table.add_row("" if place else cohort, *row[:2], *lifts, *means)
        table.add_section()
    return table
