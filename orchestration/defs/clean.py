"""raw -> staging -> intermediate -> marts: the dbt project as assets, one `dbt build` for a run."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets

from orchestration.full_disk import full_disk_line, is_full_disk
from orchestration.landing.raw_tables import prepare
from orchestration.partitions import CONFIG, DOMAIN_WINDOWS
from orchestration.resources.dbt import covering, dbt_project, forget_old_runs
from orchestration.resources.warehouse import FullDiskError, Warehouse
from orchestration.runs import span_of

PROJECT = dbt_project()
# These hold rows of windows and are rebuilt for the windows of a run; the others are views or rebuilt whole.
# Each costs Dagster two events a partition (30 ms of CPU with SQLite), so a view is not among them.
WINDOWED = {"int_event_verdicts", "fct_interactions", "fct_sessions"}
OVERLAP = dg.AssetKey(["marts", "domain_overlap"])


class LayerTranslator(DagsterDbtTranslator):
    """Keys [schema, name], the layer as group, partitions where a model is windowed."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """[schema, name], or what a source's `meta.dagster.asset_key` says."""
        named = dbt_resource_props.get("meta", {}).get("dagster", {}).get("asset_key")
        return dg.AssetKey(named or [dbt_resource_props["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The layer: staging, intermediate or marts."""
        return dbt_resource_props["schema"]

    def get_partitions_def(self, dbt_resource_props: Mapping[str, Any]) -> dg.PartitionsDefinition | None:
        """Domain x window for the windowed models, none for the rest."""
        return DOMAIN_WINDOWS if dbt_resource_props["name"] in WINDOWED else None


# Data tests with the models, without unit tests, which test the code.
BUILD = ["build", "--exclude-resource-type", "unit_test"]


@dbt_assets(
    manifest=PROJECT.manifest_path,
    project=PROJECT,
    dagster_dbt_translator=LayerTranslator(
        DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True)
    ),
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="warehouse",
)
def clean(context: dg.AssetExecutionContext, dbt: DbtCliResource, warehouse: Warehouse) -> Iterator[Any]:
    """The models and their data tests, for the windows of the run."""
    partitioned = context.has_partition_key or context.has_partition_key_range
    with warehouse.write() as connection:
        prepare(connection, CONFIG)  # weights or identity may have changed since the lines were loaded
    held = []  # dbt has the warehouse until it ends, and the picture is drawn from what it wrote
    try:
        with covering(span_of(context) if partitioned else None):
            invocation = dbt.cli(BUILD, context=context)
        for event in invocation.stream():
            if _key_of(event, context) == OVERLAP:
                held.append(event)
            else:
                yield event
    except Exception as error:
        if is_full_disk(error, warehouse.home):
            line = full_disk_line(warehouse.home)
            warehouse.reclaim()
            raise FullDiskError(line) from error
        yield from held
        raise
    yield from (with_heat_map(event, warehouse) for event in held)
    forget_old_runs("clean")


def _key_of(event: Any, context: dg.AssetExecutionContext) -> dg.AssetKey | None:
    if isinstance(event, dg.Output):
        return context.asset_key_for_output(event.output_name)
    return getattr(event, "asset_key", None)


def with_heat_map(event: Any, warehouse: Warehouse) -> Any:
    """The event with a picture of marts.domain_overlap where it says that the table was made."""
    from orchestration.overlap_plot import latest_overlap, overlap_plot
    from orchestration.plots import inline_png

    if not isinstance(event, dg.Output):
        return event
    with warehouse.read() as connection:
        overlap = latest_overlap(connection)
    if overlap is None:  # one domain, or no interaction yet
        return event
    picture = dg.MetadataValue.md(inline_png(overlap_plot(overlap), "users shared by each pair of domains"))
    return event.with_metadata({**event.metadata, "shared_users": picture})
