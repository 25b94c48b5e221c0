"""The table at the end of a run: it fits 100 columns, and only a certain lift is set off."""

from __future__ import annotations

from types import SimpleNamespace

from rich.console import Console

from ml.metrics.report import CohortRow, LiftRow
from orchestration.commands.results import results_table


def report(low: float, high: float):
    rows = [
        CohortRow(cohort, candidate, metric, 0.0496, 0.04, 0.06, 1428)
        for cohort in ("cold", "sparse", "warm", "all")
        for candidate in ("popularity", "twin", "bridge")
        for metric in ("recall", "precision", "ndcg")
    ]
    lifts = [LiftRow("cold", "recall", (low + high) / 2, low, high, 1428)]
    return SimpleNamespace(rows=rows, lifts=lifts)


def rendered(reports, styled: bool = False) -> str:
    console = Console(width=100, force_terminal=styled, color_system="standard" if styled else None)
    with console.capture() as capture:
        console.print(results_table(reports, 10))
    return capture.get()


def test_every_cell_is_whole_in_100_columns():
    text = rendered({"kitchen": report(0.004, 0.012), "food": report(-0.004, 0.012)})
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text.replace(" … ", "")
    assert "sparse" in text
    assert "kitchen" in text
    assert "+.0080" in text
    assert "+.0040 … +.0120" in text
    assert text.count("1,428") == 8


def test_a_cohort_without_users_has_no_row():
    none = SimpleNamespace(rows=[CohortRow("cold", "twin", "recall", float("nan"), 0, 0, 0)], lifts=[])
    assert "cold" not in rendered({"food": none})


def test_only_a_certain_lift_is_set_off():
    assert "\x1b[1;32m+.0080" in rendered({"food": report(0.004, 0.012)}, styled=True)
    assert "\x1b[1;31m-.0080" in rendered({"food": report(-0.012, -0.004)}, styled=True)
    assert "\x1b[2m+.0040" in rendered({"food": report(-0.004, 0.012)}, styled=True)
