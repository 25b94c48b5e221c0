"""Partition keys of a run, and headless runs over a range of them.

A range of domain x window partitions is a rectangle: the domains from first to last by the windows from first
to last. Dagster runs it as one run when the run carries the two tags that name its corners.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import dagster as dg

from orchestration.landing.loading import Span
from orchestration.partitions import CONFIG

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def span_of(context: dg.AssetExecutionContext) -> Span:
    """The domains and windows that a run of a domain x window asset covers."""
    keys = [key.keys_by_dimension for key in context.partition_keys if isinstance(key, dg.MultiPartitionKey)]
    return Span.of([(key["domain"], date.fromisoformat(key["window"])) for key in keys], CONFIG.calendar)


def multi_key(**dimensions: str) -> str:
    """A multi-partition key as text: `multi_key(domain="food", window="2026-01-01")`."""
    return str(dg.MultiPartitionKey(dimensions))


def materialise(
    defs: dg.Definitions,
    selection: dg.AssetSelection,
    instance: dg.DagsterInstance,
    *,
    first: str | None = None,
    last: str | None = None,
    tags: Mapping[str, str] | None = None,
    raise_on_error: bool = True,
) -> dg.ExecuteInProcessResult:
    """Run the selected assets and their checks in this process: one run over the keys `first` to `last`.

    The partitioned assets of a selection must share one partitions definition; others run beside them.
    `last` None is `first` alone; `first` None is for a selection without partitioned assets.
    """
    corners = {RANGE_START: first, RANGE_END: last} if first and last else {}
    job = defs.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        asset_selection=sorted(selection.resolve(job.asset_layer.asset_graph)),
        partition_key=first if last is None else None,
        tags={**corners, **(tags or {})},
        raise_on_error=raise_on_error,
    )
