"""What lists are like, and what re-ranking changes, as tables: for the review card and the evaluation's page.

Pure functions from figures to text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestration.review.peers import interval, peer_name, short

if TYPE_CHECKING:
    from ml.metrics.report import BeyondRow, PriceRow

FORMATS = {"coverage": ".1%", "novelty": ".2f", "diversity": ".3f", "popularity": ".3f", "gini": ".3f"}
PRICED = ("recall", "ndcg", "coverage", "diversity", "novelty", "popularity")


def meaning() -> list[str]:
    """One line for each figure."""
    from ml.metrics.beyond import MEANING

    return [f"{metric}: {words}" for metric, words in MEANING.items()]


def beyond_rows(
    rows: Iterable[BeyondRow], cohorts: Sequence[str], candidates: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Header and cells: a line for each cohort and candidate that was measured, in the order given."""
    found = {(r.cohort, r.candidate, r.metric): r for r in rows}
    body = []
    for cohort, name in ((cohort, name) for cohort in cohorts for name in candidates):
        mine = [found.get((cohort, name, metric)) for metric in FORMATS]
        if any(mine):
            cells = (_plain(row, form) for row, form in zip(mine, FORMATS.values(), strict=True))
            body.append([cohort, peer_name(name), *cells])
    return ["cohort", "candidate", *FORMATS], body


def _plain(row: BeyondRow | None, form: str) -> str:
    return "–" if row is None or row.value != row.value else f"{row.value:{form}}"


def price_rows(
    rows: Iterable[PriceRow], cohorts: Sequence[str], candidate: str
) -> tuple[list[str], list[list[str]]]:
    """Header and cells for one candidate: by cohort the plain lists' figure and its change by re-ranking."""
    found = {(r.cohort, r.metric): r for r in rows if r.candidate == candidate}
    body = []
    for cohort in cohorts:
        mine = [found.get((cohort, metric)) for metric in PRICED]
        if any(mine):
            body.append([cohort, *map(_changed, mine)])
    return ["cohort", *PRICED], body


def _changed(row: PriceRow | None) -> str:
    if row is None or row.mean != row.mean:
        return "–"
    figure = f"{short(row.plain)}\u00a0{short(row.mean, '+')}"
    return figure + ("" if row.low != row.low else f" {interval(row.low, row.high, '+')}")


def price_line(rows: Iterable[PriceRow], candidate: str) -> str | None:
    """What re-ranking certainly costs in recall, and whom; None where no cohort certainly loses."""
    worse = [r for r in rows if (r.candidate, r.metric) == (candidate, "recall") and r.high < 0]
    lost = ", ".join(f"{r.cohort} {short(r.mean, '+')} of {short(r.plain)}" for r in worse)
    return f"Re-ranking certainly costs recall: {lost}." if worse else None
