"""The table that `landbridge run` ends in: what each candidate is worth, for whom, and what is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from orchestration.review.cohort_tables import CANDIDATES, COHORTS
from orchestration.review.peers import short

if TYPE_CHECKING:
    from ml.metrics.report import LiftRow, Report

NOTHING = "–"
SHORT = {"popularity": "popul."}  # the table has to fit 100 columns


def results_table(reports: Mapping[str, Report], k: int) -> Table:
    """Target and cohort by candidate: recall@k, precision@k, and the lift of the bridge over its twin."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.title = (
        f"recall@{k} and precision@{k}, whole catalogue ranked; lift = bridge − twin in recall, by user"
    )
    table.add_column("target", overflow="fold")
    table.add_column("cohort", no_wrap=True)
    table.add_column("users", justify="right")
    for metric in ("recall", "prec."):
        for candidate in CANDIDATES:
            table.add_column(f"{metric}\n{SHORT.get(candidate, candidate)}", justify="right", no_wrap=True)
    table.add_column("lift", justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    for target, report in reports.items():
        for row in _rows(report):
            table.add_row(target, *row)
            target = ""
        table.add_section()
    return table


def _rows(report: Report) -> list[list[str]]:
    means = {(r.cohort, r.candidate, r.metric): r for r in report.rows}
    lifts = {lift.cohort: lift for lift in report.lifts if lift.metric == "recall"}
    rows = []
    for cohort in COHORTS:
        cells = [
            means.get((cohort, name, metric)) for metric in ("recall", "precision") for name in CANDIDATES
        ]
        if users := max((cell.users for cell in cells if cell is not None), default=0):
            figures = [NOTHING if cell is None else short(cell.mean) for cell in cells]
            rows.append([cohort, f"{users:,}", *figures, *_lift(lifts.get(cohort))])
    return rows


def _lift(lift: LiftRow | None) -> tuple[str, str]:
    """Bold where the whole interval lies on one side of 0."""
    if lift is None or lift.mean != lift.mean:
        return NOTHING, NOTHING
    style = "bold green" if lift.low > 0 else "bold red" if lift.high < 0 else "dim"
    interval = f"{short(lift.low, '+')} … {short(lift.high, '+')}"
    return f"[{style}]{short(lift.mean, '+')}[/]", f"[{style}]{interval}[/]"
