"""The backtest of reports written by hand: what is collected, what is left out, what the page shows."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import date
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import click
import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ml.metrics.report import CHAMPION, CohortRow, LiftRow, Report
from orchestration.commands.backtest import backtest_table, choose_as_ofs
from orchestration.config import Home
from orchestration.defs.backtest import backtest
from orchestration.partitions import CONFIG
from orchestration.review.backtest import (
    backtest_page,
    cohort_picture,
    cohort_table,
    collect,
    figures,
    notes,
    verdict,
    write_page,
)

TARGET = CONFIG.domain_names[0]
NONE = pa.table({})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    return Home()


def report(bridge: float, champion: float | None = None, k: int | str = 10) -> Report:
    """100 cold users, who are all users: popularity .1, twin .2, and the bridge somewhere, ± .01."""
    means = {"popularity": 0.1, "twin": 0.2, "bridge": bridge}
    means |= {} if champion is None else {CHAMPION: champion}
    rows = [
        CohortRow(cohort, name, "recall", mean, mean - 0.01, mean + 0.01, 100)
        for cohort in ("cold", "all")
        for name, mean in means.items()
    ]
    lifts = [lift("cold", bridge - 0.2), lift("all", bridge - 0.2)]
    against = [] if champion is None else [lift("all", bridge - champion, CHAMPION)]
    return Report(k, rows, lifts, NONE, comparisons=against)


def lift(cohort: str, mean: float, over: str = "twin") -> LiftRow:
    return LiftRow(cohort, "recall", mean, mean - 0.02, mean + 0.02, 100, over=over)


def leave(home: Home, as_of: str, content: Report | str) -> Path:
    path = home.models / as_of / TARGET / "evaluation" / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(content if isinstance(content, str) else content.to_json())
    return path


@pytest.fixture
def three(home: Home) -> Home:
    """The bridge certainly above, uncertainly above, certainly below its twin; a champion at the last."""
    leave(home, "2026-01-04", report(0.25))
    leave(home, "2026-01-11", report(0.21))
    leave(home, "2026-02-01", report(0.15, champion=0.19))
    return home


def test_the_verdict_counts_as_ofs(three):
    said = verdict(collect(three, TARGET, 10))
    assert said == (
        f"{TARGET}, 3 as-ofs from 2026-01-04 to 2026-02-01: over all users the bridge is above its twin at 2 "
        "(certainly at 1) and certainly below it at 1."
    )


def test_the_table_holds_the_bridge_against_twin_and_champion(three):
    table = cohort_table(collect(three, TARGET, 10), "all")
    assert table.header[2:] == [
        "bridge − twin",
        "bridge − champion",
        "popularity",
        "twin",
        "bridge",
        "champion",
    ]
    assert [row[0] for row in table.rows] == ["2026-01-04", "2026-01-11", "2026-02-01"]
    assert table.rows[0][2:4] == ["+.0500\u00a0[+.0300,\u00a0+.0700]", "–"]
    assert table.rows[2][3:5] == ["-.0400\u00a0[-.0600,\u00a0-.0200]", ".1000\u00a0[.0900,\u00a0.1100]"]
    assert cohort_table(collect(three, TARGET, 10), "warm").rows == []


def test_only_the_span_that_is_asked_for(three):
    found = collect(three, TARGET, 10, date(2026, 1, 5), date(2026, 1, 31))
    assert list(found.reports) == [date(2026, 1, 11)]
    assert any("one as-of is no backtest yet" in line for line in notes(found))


@pytest.mark.parametrize(
    "content, reason",
    [
        ('{"k": 10, "rows": [', "JSONDecodeError"),
        ('{"k": 10}', "it holds no figure"),
        ("[]", "AttributeError"),
        ('{"rows": []}', "KeyError"),
        ('{"k": 10, "rows": [{"cohort": "cold", "recall_at": 3}]}', "TypeError"),
    ],
)
def test_a_report_that_cannot_be_read_is_left_out_by_name(three, content, reason):
    leave(three, "2026-03-01", content)
    found = collect(three, TARGET, 10)
    assert len(found.reports) == 3
    (said,) = found.skipped
    assert said.startswith("2026-03-01: ")
    assert reason in said
    assert f"left out: {said}" in notes(found)


def test_an_older_report_without_the_newer_kinds_of_rows_counts(home):
    """Written before comparisons, and before lifts named their pair."""
    old = report(0.25)
    lifts = [
        {key: asdict(row)[key] for key in ("cohort", "metric", "mean", "low", "high", "users")}
        for row in old.lifts
    ]
    leave(
        home, "2026-01-04", json.dumps({"k": 10, "rows": [asdict(row) for row in old.rows], "lifts": lifts})
    )
    assert "certainly at 1" in verdict(collect(home, TARGET, 10))


def test_another_k_is_no_point_of_this_curve(three):
    leave(three, "2026-03-01", report(0.3, k=20))
    assert collect(three, TARGET, 10).skipped == [
        "2026-03-01: measured at 20, the configuration says 10: run it again"
    ]


def test_no_report_says_what_to_do(home):
    said = verdict(collect(home, TARGET, 10))
    assert f"landbridge backtest --target {TARGET} --from DAY" in said


def test_every_figure_is_in_the_parquet_file(three):
    table = figures(collect(three, TARGET, 10))
    assert len(table) == 6 + 6 + 8
    write_page(three, collect(three, TARGET, 10))
    assert pq.read_table(backtest_page(three, TARGET).with_suffix(".parquet")).equals(table)
    assert figures(collect(three, "no_such_target", 10)).schema == table.schema


def test_the_picture_names_every_candidate_and_puts_the_newest_at_the_right(three):
    picture = ElementTree.fromstring(cohort_picture(collect(three, TARGET, 10), "all"))
    svg = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in picture.iter(f"{svg}text")]
    assert words[-4:] == ["twin", "champion", "bridge", "popularity"]  # the best at the end first
    assert "2026-02-01" in words
    lines = {tuple(line.get("points").split()) for line in picture.iter(f"{svg}polyline")}
    assert sorted(map(len, lines)) == [1, 3, 3, 3]
    # A week, then three: time is drawn to scale.
    across = [float(point.split(",")[0]) for point in next(line for line in lines if len(line) == 3)]
    assert (across[2] - across[1]) / (across[1] - across[0]) == pytest.approx(3, rel=0.01)
    assert cohort_picture(collect(three, TARGET, 10), "warm") == ""


def test_many_as_ofs_keep_their_dates_apart(home):
    for day in range(1, 31):
        leave(home, f"2026-01-{day:02d}", report(0.25))
    picture = cohort_picture(collect(home, TARGET, 10), "all")
    dated = [float(x) for x in re.findall(r'x="([\d.]+)" y="[\d.]+" text-anchor="middle">2026', picture)]
    assert len(dated) > 2
    assert min(newer - older for newer, older in pairwise(dated)) >= 80


def test_the_page_fetches_nothing_and_escapes_what_it_is_told(three):
    leave(three, "2026-03-01", report(0.3, k="<script>"))
    page = write_page(three, collect(three, TARGET, 10)).read_text()
    assert "<script" not in page
    assert not re.search(r'(src|href)="', page)
    assert page.count("<svg") == 2


def test_the_table_fits_a_terminal(three):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(backtest_table(collect(three, TARGET, 10)))
    text = capture.get()
    assert "…" not in text
    assert re.search(r"cold\s+2026-01-04\s+100\s+\+\.0500 \[\+\.0300", text)


def test_the_asset_shows_each_target_s_own_figures(three):
    result = dg.materialize(
        [backtest, dg.AssetSpec("evaluation")],
        selection=[backtest],
        tags={
            "dagster/asset_partition_range_start": CONFIG.domain_names[0],
            "dagster/asset_partition_range_end": CONFIG.domain_names[1],
        },
    )
    shown = {e.partition: e.metadata for e in result.asset_materializations_for_node("backtest")}
    assert [shown[name]["as_ofs"].value for name in CONFIG.domain_names[:2]] == [3, 0]
    assert shown[TARGET]["chart"].value.startswith("![all](data:image/svg+xml;base64,")
    assert Path(shown[TARGET]["page"].value) == backtest_page(three, TARGET)
    assert "chart" not in shown[CONFIG.domain_names[1]]


KEYS = [f"2026-01-{day:02d}" for day in range(1, 11)]


def test_as_ofs_are_counted_back_from_the_last():
    assert choose_as_ofs(KEYS, date(2026, 1, 2), None, 4) == ["2026-01-02", "2026-01-06", "2026-01-10"]
    assert choose_as_ofs(KEYS, date(2026, 1, 2), date(2026, 1, 5), 3) == ["2026-01-02", "2026-01-05"]
    assert choose_as_ofs(KEYS, None, None, 1) == []


@pytest.mark.parametrize("first, last", [(date(2026, 2, 1), None), (date(2026, 1, 5), date(2026, 1, 3))])
def test_a_span_without_an_as_of_names_the_calendar_s(first, last):
    with pytest.raises(click.ClickException, match="it has 2026-01-01 to 2026-01-10"):
        choose_as_ofs(KEYS, first, last, 1)
