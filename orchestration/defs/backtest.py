"""Backtest: recall over time of one target, from the evaluations that a backfill over as-ofs leaves."""

from pathlib import Path

import dagster as dg

from orchestration.config import Home
from orchestration.defs.evaluate import evaluation
from orchestration.defs.transfer import bridge
from orchestration.defs.transferability import transferability
from orchestration.pages import markdown_table
from orchestration.partitions import CONFIG, DOMAINS, TARGET_AS_OF
from orchestration.review.backtest import (
    COHORTS,
    Backtest,
    cohort_picture,
    cohort_table,
    collect,
    notes,
    verdict,
    write_page,
)
from orchestration.review.transfer_heat_map import inline_svg

backtest_models = dg.define_asset_job(
    "backtest_models",
    selection=dg.AssetSelection.assets(transferability, bridge, evaluation),
    partitions_def=TARGET_AS_OF,
    description="Train and evaluate at the as-ofs of a backfill, registering nothing. First backfill "
    "`training_snapshot` over the same days (seconds each); then materialise `backtest`, which draws them.",
)


@dg.asset(
    partitions_def=DOMAINS,
    deps=[dg.AssetDep("evaluation", partition_mapping=dg.MultiToSingleDimensionPartitionMapping("target"))],
    group_name="transfer",
    kinds={"python"},
    backfill_policy=dg.BackfillPolicy.single_run(),  # a moment for each target
)
def backtest(context: dg.AssetExecutionContext) -> None:
    """Recall by as-of, cohort and candidate: `backtest/<target>.html`, all figures as Parquet beside it."""
    home = Home()
    for target in context.partition_keys:
        found = collect(home, target, CONFIG.evaluation.k)
        page = write_page(home, found)
        for line in found.skipped:
            context.log.warning(f"{target}: {line}")
        context.add_asset_metadata(_metadata(found, page), partition_key=target)


def _metadata(found: Backtest, page: Path) -> dict:
    pictures = [
        inline_svg(picture, cohort) for cohort in COHORTS if (picture := cohort_picture(found, cohort))
    ]
    tables = {
        f"recall_{cohort}": dg.MetadataValue.md(markdown_table(table))
        for cohort in COHORTS
        if (table := cohort_table(found, cohort)).rows
    }
    return {
        "as_ofs": len(found.reports),
        "verdict": verdict(found),
        "page": dg.MetadataValue.path(page),
        **({"chart": dg.MetadataValue.md("\n\n".join(pictures))} if pictures else {}),
        **tables,
        "notes": dg.MetadataValue.md("\n".join(f"- {line}" for line in notes(found))),
    }
