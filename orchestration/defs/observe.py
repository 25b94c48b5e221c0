"""Observe: what users took of the lists they were served, by model version, beside what was promised."""

from dataclasses import replace

import dagster as dg

from orchestration.config import Home
from orchestration.observations import Observed, log_end, observe, write_observed
from orchestration.pages import markdown_table
from orchestration.partitions import CONFIG, DOMAINS
from orchestration.resources.warehouse import Warehouse
from orchestration.review.observed import observed_section, offline_rows
from orchestration.served import archive, periods

NOTHING_YET = (
    "Nothing to observe yet: no event of this domain answers to lists that are kept. Lists are kept whenever "
    "`recommendation_lists` writes them; the events that count come after."
)


@dg.asset(
    partitions_def=DOMAINS,
    deps=[
        dg.AssetDep("recommendations", partition_mapping=dg.MultiToSingleDimensionPartitionMapping("target")),
        dg.AssetDep(
            ["marts", "fct_interactions"],
            partition_mapping=dg.MultiToSingleDimensionPartitionMapping("domain"),
        ),
    ],
    group_name="serving",
    kinds={"duckdb", "parquet"},
    pool="warehouse",
    backfill_policy=dg.BackfillPolicy.single_run(),  # a moment for each target
)
def observed(context: dg.AssetExecutionContext, warehouse: Warehouse) -> None:
    """Precision and recall that served lists had, by version: `observed/<target>.json`, and every user's
    values in the folder beside it.
    """
    home = Home()
    for target in context.partition_keys:
        found = observations(warehouse, home, target)
        write_observed(home, found)
        figures = {"lists": len(found.lists), "answers": sum(facts.counted for facts in found.lists)}
        words = dg.MetadataValue.md(in_words(home, target))
        context.add_asset_metadata({**figures, "observed": words}, partition_key=target)


def observations(warehouse: Warehouse, home: Home, target: str) -> Observed:
    """What the warehouse knows of the lists that are kept, with what MLflow knows of their versions."""
    kept = archive(home, target)
    with warehouse.read() as connection:
        end = log_end(connection, target)
        spans = periods(kept, end) if end else []
        found = observe(connection, home, target, spans, CONFIG.evaluation.seed)
    if not found.lists:
        return found
    from orchestration.resources.registry import Registry

    return replace(found, offline=offline_rows(Registry(home), target, found.lists))


def in_words(home: Home, target: str) -> str:
    """One target's figures as markdown, or why there are none."""
    section = observed_section(home, target)
    if section is None or section.table is None:
        return NOTHING_YET
    return "\n".join(f"- {line}" for line in section.lines) + "\n\n" + markdown_table(section.table)
