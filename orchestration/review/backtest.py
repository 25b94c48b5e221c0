"""The backtest: what each candidate would have been worth at one as-of after another, in one table and chart.

An evaluation as of a day has read nothing of what came after it, so the reports that a backfill leaves behind
are the history that the present code and settings would have had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.config import Home
from orchestration.files import replaced_file
from orchestration.pages import Section, Table, html_page
from orchestration.review.backtest_chart import Line, Mark, chart
from orchestration.review.observed import observed_section
from orchestration.review.peers import short

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.metrics.report import CohortRow, LiftRow, Report

METRIC = "recall"
COHORTS = ("all", "cold", "sparse", "warm")
CANDIDATES = ("popularity", "twin", "bridge", "champion")
NOTHING = "–"
_AS_OF = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Backtest:
    """reports: as-of -> report, in order of time. skipped: sentences about those that could not be used."""

    target: str
    k: int
    reports: dict[date, Report]
    skipped: list[str]


def collect(home: Home, target: str, k: int, first: date | None = None, last: date | None = None) -> Backtest:
    """Every report at `k` that evaluation left of a target between two as-ofs, both included.

    One that cannot be read, or was measured at another k, is skipped and named with its reason.
    """
    reports, skipped = {}, []
    for as_of, path in _evaluated(home, target):
        if (first and as_of < first) or (last and as_of > last):
            continue
        try:
            report = _report(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            skipped.append(f"{as_of}: {path} cannot be read ({_reason(error)}): run it again")
            continue
        if report.k == k:
            reports[as_of] = report
        else:
            skipped.append(f"{as_of}: measured at {report.k}, the configuration says {k}: run it again")
    return Backtest(target, k, reports, skipped)


def _evaluated(home: Home, target: str) -> Iterator[tuple[date, Path]]:
    for path in sorted(home.models.glob(f"*/{target}/evaluation/report.json")):
        if _AS_OF.fullmatch(path.parents[2].name):
            yield date.fromisoformat(path.parents[2].name), path


def _report(path: Path) -> Report:
    """A report without its users' values, which are large and not needed for means."""
    import pyarrow as pa

    from ml.metrics.report import Report

    report = Report.from_json(path.read_text(encoding="utf-8"), pa.table({}))
    if not report.rows:
        raise ValueError("it holds no figure")
    return report


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def figures(found: Backtest) -> pa.Table:
    """Every mean of every as-of, cohort, candidate and metric, as a table for whoever wants to go on."""
    import pyarrow as pa

    from ml.metrics.report import CohortRow

    rows = [
        {"as_of": as_of, **{name: getattr(row, name) for name in CohortRow.__dataclass_fields__}}
        for as_of, report in found.reports.items()
        for row in report.rows
    ]
    kinds: dict[str, Any] = {"as_of": pa.date32(), "users": pa.int64()}
    words = ("cohort", "candidate", "metric")
    names = ("as_of", *CohortRow.__dataclass_fields__)
    schema = pa.schema(
        [(name, kinds.get(name, pa.string() if name in words else pa.float64())) for name in names]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def cells(found: Backtest, cohort: str) -> dict[tuple[date, str], CohortRow]:
    """As-of and candidate -> recall of a cohort, where it was measured."""
    return {
        (as_of, row.candidate): row
        for as_of, report in found.reports.items()
        for row in report.rows
        if row.cohort == cohort and row.metric == METRIC and row.mean == row.mean
    }


def candidates(found: Backtest) -> list[str]:
    """Popularity, twin and bridge, and the champion where it was measured beside them."""
    measured = {row.candidate for report in found.reports.values() for row in report.rows}
    return [name for name in CANDIDATES if name in measured]


def lift(report: Report, cohort: str, over: str) -> LiftRow | None:
    """The bridge's paired lift in recall over its twin or the champion; None where it was not measured."""
    rows = [*report.lifts, *report.comparisons]
    mine = (row for row in rows if (row.cohort, row.metric) == (cohort, METRIC))
    return next(
        (row for row in mine if (row.of, row.over) == ("bridge", over) and row.mean == row.mean), None
    )


def cohort_picture(found: Backtest, cohort: str) -> str:
    """SVG of a cohort's recall over time, a line a candidate; empty where it was never measured."""
    known = cells(found, cohort)
    lines = [
        Line(name, [Mark(as_of, r.mean, r.low, r.high) for (as_of, of), r in known.items() if of == name])
        for name in candidates(found)
    ]
    return chart([line for line in lines if line.marks], f"{METRIC}@{found.k} of {users_of(cohort)} by as-of")


def cohort_table(found: Backtest, cohort: str) -> Table:
    """What the bridge has over its twin and over the champion at each as-of, and every candidate's recall."""
    known, names = cells(found, cohort), candidates(found)
    rivals = [name for name in ("twin", "champion") if name in names]
    body = []
    for as_of, report in found.reports.items():
        mine = [known.get((as_of, name)) for name in names]
        users = max((row.users for row in mine if row is not None), default=0)
        if users:
            lifts = [_figure(lift(report, cohort, rival), "+") for rival in rivals]
            body.append([as_of.isoformat(), f"{users:,}", *lifts, *map(_figure, mine)])
    return Table(["as of", "users", *(f"bridge − {rival}" for rival in rivals), *names], body)


def _figure(row: CohortRow | LiftRow | None, sign: str = "") -> str:
    if row is None:
        return NOTHING
    mean, low, high = (short(value, sign) for value in (row.mean, row.low, row.high))
    return f"{mean}\u00a0[{low},\u00a0{high}]"


def users_of(cohort: str) -> str:
    """A cohort in words."""
    return "all users" if cohort == "all" else f"{cohort} users"


def verdict(found: Backtest) -> str:
    """In one sentence: at how many as-ofs the bridge was above its twin, and at how many certainly."""
    if not found.reports:
        return f"No evaluation of {found.target} could be read. {what_to_do(found.target)}"
    lifts = [row for report in found.reports.values() if (row := lift(report, "all", "twin"))]
    total, above = len(found.reports), sum(row.mean > 0 for row in lifts)
    sure, worse = sum(row.low > 0 for row in lifts), sum(row.high < 0 for row in lifts)
    times = "1 as-of" if total == 1 else f"{total} as-ofs"
    return (
        f"{found.target}, {times} from {min(found.reports)} to {max(found.reports)}: over all users the "
        f"bridge is above its twin at {above} (certainly at {sure}) and certainly below it at {worse}."
    )


def what_to_do(target: str) -> str:
    """How a backtest comes about."""
    return (
        f"Run `landbridge backtest --target {target} --from DAY`, or in Dagster a backfill of "
        "`training_snapshot` and then of the job `backtest_models` over the same as-ofs."
    )


def sections(found: Backtest) -> list[Section]:
    """The page's content: a chart and a table a cohort, and what to bear in mind."""
    made = [
        Section(f"Recall@{found.k} of {users_of(cohort)}", (), table, cohort_picture(found, cohort))
        for cohort in COHORTS
        if (table := cohort_table(found, cohort)).rows
    ]
    return [*made, Section("How to read this", notes(found))]


def notes(found: Backtest) -> Sequence[str]:
    """What the figures can and cannot say."""
    lines = [
        "each as-of is a training of its own that read nothing at or after it; bars: 95 % intervals by user",
        "the same users come back at the next as-of, so the points are not independent: count the as-ofs at "
        "which the sign holds, and do not add up their users",
        "a snapshot of a day long past holds the catalogue of the day it is taken: an item that came later "
        "is in it as one that nobody had touched yet",
    ]
    if "champion" in candidates(found):
        lines.append("champion: its recipe refitted on the split that the others are measured on")
    if len(found.reports) == 1:
        lines.append(f"one as-of is no backtest yet. {what_to_do(found.target)}")
    return [*lines, *(f"left out: {line}" for line in found.skipped)]


def write_page(home: Home, found: Backtest) -> Path:
    """Write what was collected as a page and as Parquet; returns the page's path."""
    import pyarrow.parquet as pq

    page, seen = backtest_page(home, found.target), observed_section(home, found.target)
    content = [*sections(found), *([seen] if seen else [])]
    with replaced_file(page.with_suffix(".parquet")) as beside:
        pq.write_table(figures(found), beside)
    with replaced_file(page) as beside:
        title = f"Backtest of {found.target}"
        beside.write_text(html_page(title, verdict(found), "bridge", content), encoding="utf-8")
    return page


def backtest_page(home: Home, target: str) -> Path:
    """Where a target's page lies."""
    return home.backtest / f"{target}.html"
