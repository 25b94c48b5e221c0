"""Evaluate: what bridge, twin, popularity and peers are worth to cold, sparse and warm users; the gate."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Home
from orchestration.defs.transfer import target_and_as_of
from orchestration.files import replaced_folder
from orchestration.pages import Table, markdown_table
from orchestration.partitions import CONFIG, TARGET_AS_OF
from orchestration.review.beyond_tables import beyond_rows, price_rows
from orchestration.review.champion import FOLDER, LISTS_FILE, Compared
from orchestration.review.cohort_plot import cohort_plot
from orchestration.review.cohort_tables import (
    CANDIDATES,
    COHORTS,
    COLD_ITEMS,
    METRICS,
    NEW_USERS,
    metric_table,
    peer_table,
)
from orchestration.review.peers import best_peer_line

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.bridge import Training
    from ml.metrics.gate import Decision
    from ml.metrics.item_facts import ItemFacts
    from ml.metrics.report import Report

NOT_WORSE, ABOVE_POPULARITY = "bridge_not_worse_than_twin", "recall_above_popularity"
CERTAIN = "bridge_certainly_helps"
REPORT_FILE, PER_USER_FILE, PLOT_FILE = "report.json", "per_user.parquet", "recall_by_cohort.png"


@dg.asset(
    partitions_def=TARGET_AS_OF,
    deps=["bridge", "champion_lists"],
    group_name="transfer",
    kinds={"python", "parquet"},
    check_specs=[
        dg.AssetCheckSpec(
            NOT_WORSE, asset="evaluation", description="No cohort loses recall by knowledge transfer."
        ),
        dg.AssetCheckSpec(
            ABOVE_POPULARITY, asset="evaluation", description="What would be served beats popularity."
        ),
        dg.AssetCheckSpec(
            CERTAIN, asset="evaluation", description="The bridge is certainly better than its twin somewhere."
        ),
    ],
)
def evaluation(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Recall, precision and NDCG by cohort with 95 % intervals, what lists are like, every user's values."""
    import pyarrow.parquet as pq

    import ml.bridge
    from ml.metrics.gate import decide
    from ml.metrics.report import evaluate
    from orchestration.features import item_facts

    target, as_of = target_and_as_of(context)
    folder = Home().models / as_of.isoformat() / target
    training = ml.bridge.Training.load(folder)
    catalogue = len(training.candidates["popularity"].item_ids[target])
    lists, champion = with_champion(training.lists, folder / FOLDER)
    report = evaluate(lists, catalogue, CONFIG.evaluation.k, CONFIG.evaluation.seed)
    report = _with_beyond(report, training, item_facts(target, as_of.isoformat(), CONFIG, Home()))
    plot = cohort_plot(report.rows, CONFIG.evaluation.k)
    with replaced_folder(folder / "evaluation") as beside:
        pq.write_table(report.per_user, beside / PER_USER_FILE)
        (beside / PLOT_FILE).write_bytes(plot)
        (beside / REPORT_FILE).write_text(report.to_json())
        if champion:
            champion.write(beside)
    decision = decide(report, CONFIG.promotion.gate.margin_twin)
    metadata = _metadata(report, decision, plot)
    if champion:
        metadata["champion"] = dg.MetadataValue.text(champion.words)
    return dg.MaterializeResult(metadata=metadata, check_results=_checks(report, decision))


def with_champion(lists: "pa.Table", folder: Path) -> "tuple[pa.Table, Compared | None]":
    """The lists with the champion's, and what `champion_lists` left in its folder to say of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = Compared.read(folder)
    if found is None or found.state != "compared":
        return lists, found
    return pa.concat_tables([lists, pq.read_table(folder / LISTS_FILE)]), found


def _with_beyond(report: "Report", training: "Training", facts: "ItemFacts") -> "Report":
    """The report with what the lists are like and, where they are re-ranked, what that changes."""
    from ml.metrics.beyond import beyond
    from ml.metrics.price import price

    seed, shown = CONFIG.evaluation.seed, training.reranked
    priced = [] if shown is None else price(training.lists, shown, facts, report.k, seed)
    return replace(report, beyond=beyond(training.lists, facts, report.k), price=priced)


def read_report(training: Path) -> "Report":
    """The report that `evaluation` wrote for a training's folder."""
    import pyarrow.parquet as pq

    from ml.metrics.report import Report

    path = training / "evaluation" / REPORT_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: materialise evaluation for this partition first")
    return Report.from_json(path.read_text(), pq.read_table(path.with_name(PER_USER_FILE)))


def _metadata(report: "Report", decision: "Decision", plot: bytes) -> dict:
    tables = {
        metric: dg.MetadataValue.md(markdown_table(metric_table(report.rows, report.lifts, metric)))
        for metric in METRICS
    }
    further = {
        name: dg.MetadataValue.md(markdown_table(metric_table(report.rows, report.lifts, "recall", cohorts)))
        for name, cohorts in (("new_users", tuple(NEW_USERS)), ("cold_items", (COLD_ITEMS,)))
        if any(row.cohort in cohorts for row in report.rows)
    }
    picture = f"![recall by cohort](data:image/png;base64,{base64.b64encode(plot).decode()})"
    reasons = "\n".join(f"- {reason}" for reason in decision.reasons)
    return {
        "served": decision.serve,
        "why_served": dg.MetadataValue.md(reasons),
        "plot": dg.MetadataValue.md(picture),
        **tables,
        **further,
        **_peers(report),
        **_beyond(report, decision),
    }


def _peers(report: "Report") -> dict[str, dg.MetadataValue]:
    from ml.metrics.peers import peer_lifts

    lifts = peer_lifts(report, CONFIG.evaluation.seed)
    if not lifts:
        return {}
    return {
        "best_peer": dg.MetadataValue.text(best_peer_line(lifts)),
        "peers": dg.MetadataValue.md(markdown_table(peer_table(report.rows, lifts))),
    }


def _beyond(report: "Report", decision: "Decision") -> dict[str, dg.MetadataValue]:
    tables = {"beyond_accuracy": Table(*beyond_rows(report.beyond, COHORTS, CANDIDATES))}
    if report.price:
        tables["re_ranking"] = Table(*price_rows(report.price, COHORTS, decision.serve))
    return {name: dg.MetadataValue.md(markdown_table(table)) for name, table in tables.items()}


def _checks(report: "Report", decision: "Decision") -> list[dg.AssetCheckResult]:
    """All three are information for the reviewer: the gate has already chosen what is safe to serve."""
    worse = [lift.cohort for lift in report.lifts if lift.metric == "recall" and lift.high < 0]
    recall = {(row.cohort, row.candidate): row.mean for row in report.rows if row.metric == "recall"}
    below = [
        cohort
        for (cohort, candidate), mean in recall.items()
        if candidate == decision.serve and mean < recall[cohort, "popularity"]
    ]
    outcomes: dict[str, tuple[bool, dict[str, str]]] = {
        NOT_WORSE: (not worse, {"cohorts that lose": ", ".join(worse) or "none"}),
        ABOVE_POPULARITY: (not below, {"cohorts below popularity": ", ".join(below) or "none"}),
        CERTAIN: (decision.passed, {"served": decision.serve}),
    }
    return [
        dg.AssetCheckResult(
            check_name=name, passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=metadata
        )
        for name, (passed, metadata) in outcomes.items()
    ]
