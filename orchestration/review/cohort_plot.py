"""Recall by cohort as a picture: the same PNG goes to Dagster's metadata and to MLflow's run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.review.cohort_tables import CANDIDATES, CHAMPION, COHORTS

if TYPE_CHECKING:
    from ml.metrics.report import CohortRow

# Okabe and Ito's colours, and a marker each, so that the candidates are told apart without colour.
BEST_PEER = "best peer"
_LOOK = {
    "popularity": ("#999999", "s"),
    "twin": ("#e69f00", "^"),
    "bridge": ("#0072b2", "o"),
    CHAMPION: ("#cc79a7", "d"),
    BEST_PEER: ("#009e73", "D"),
}


def cohort_plot(rows: Sequence[CohortRow], k: int, metric: str = "recall") -> bytes:
    """PNG of one metric's mean and 95 % interval, cohorts along x, a mark for each candidate.

    Of the peers that were measured beside them only the best of each cohort is drawn.
    """
    from matplotlib.figure import Figure

    from ml.metrics.peers import best_peer

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    cells = {(r.cohort, r.candidate): r for r in rows if r.metric == metric and r.mean == r.mean}
    cohorts = [name for name in COHORTS if any(cohort == name for cohort, _ in cells)]
    for cohort in cohorts:
        best = best_peer(rows, cohort, metric)
        if best is not None and best.candidate not in CANDIDATES:  # popularity is drawn anyway
            cells[cohort, BEST_PEER] = best
    series = [*CANDIDATES, *(n for n in (CHAMPION, BEST_PEER) if any(name == n for _, name in cells))]
    for shift, candidate in enumerate(series):
        shown = [(x, cells[name, candidate]) for x, name in enumerate(cohorts) if (name, candidate) in cells]
        colour, marker = _LOOK[candidate]
        axes.errorbar(
            [x + (shift - (len(series) - 1) / 2) * 0.16 for x, _ in shown],
            [row.mean for _, row in shown],
            yerr=[[r.mean - r.low for _, r in shown], [r.high - r.mean for _, r in shown]],
            fmt=marker,
            color=colour,
            capsize=4,
            label=candidate,
        )
    users = {name: next(r.users for (cohort, _), r in cells.items() if cohort == name) for name in cohorts}
    axes.set_xticks(range(len(cohorts)), [f"{name}\n{users[name]:,} users" for name in cohorts])
    axes.set_ylabel(f"{metric}@{k}")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, ncols=len(series), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    buffer = io.BytesIO()
    # No creation date or software version: the same figures give the same bytes.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
