"""marts -> training snapshot: everything before one moment as immutable Parquet, named by its content."""

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import duckdb

from orchestration.config import Home, as_of_time
from orchestration.files import replaced_file
from orchestration.partitions import AS_OF
from orchestration.resources.warehouse import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.data import Snapshot

# A window that ends by as-of may hold a line of a dated file with a later time: such a row must wait.
_INTERACTIONS = """
select domain, user_id, item_id, max(event_time) as event_time, cast(sum(weight) as float) as weight
from marts.fct_interactions
where window_start < $day and event_time < make_timestamptz($as_of)
group by domain, user_id, item_id
having sum(weight) > 0
"""
_ITEMS = "select domain, item_id, title, text_hash from marts.item_documents"


def snapshot_pointer(as_of_key: str) -> Path:
    """The small file that says which snapshot an as-of key means."""
    return Home().snapshots / "as_of" / f"{as_of_key}.json"


def snapshot_path(as_of_key: str) -> Path:
    """The folder of the snapshot of an as-of key; FileNotFoundError where it was never materialised."""
    pointer = snapshot_pointer(as_of_key)
    if not pointer.exists():
        raise FileNotFoundError(
            f"no training snapshot as of {as_of_key}: materialise training_snapshot first"
        )
    return Home().snapshots / json.loads(pointer.read_text())["snapshot"]


def point_to(as_of_key: str, path: Path) -> None:
    """Make an as-of key mean the snapshot at `path`."""
    with replaced_file(snapshot_pointer(as_of_key)) as beside:
        beside.write_text(json.dumps({"snapshot": path.name}))


def snapshot_of(as_of_key: str) -> "Snapshot":
    """The training snapshot of an as-of key, read."""
    from ml.data import read_snapshot

    return read_snapshot(snapshot_path(as_of_key))


def training_tables(connection: duckdb.DuckDBPyConnection, day: date) -> "tuple[pa.Table, pa.Table]":
    """The net interactions before `day` (weights summed over windows, sums <= 0 dropped) and all items."""
    parameters = {"day": day, "as_of": as_of_time(day)}
    return (
        connection.sql(_INTERACTIONS, params=parameters).to_arrow_table(),
        connection.sql(_ITEMS).to_arrow_table(),
    )


@dg.asset(
    group_name="features",
    kinds={"parquet"},
    deps=[["marts", "fct_interactions"], ["marts", "item_documents"]],
    partitions_def=AS_OF,
    pool="warehouse",
)
def training_snapshot(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """All a model as of this moment may read. One row per domain, user and item before the moment."""
    from ml.data import write_snapshot

    key = context.partition_key
    day = date.fromisoformat(key)
    with warehouse.read() as connection:
        interactions, items = training_tables(connection, day)
    path = write_snapshot(Home().snapshots, interactions, items, as_of_time(day))
    point_to(key, path)
    per_domain = interactions.group_by("domain").aggregate([([], "count_all")]).to_pylist()
    return dg.MaterializeResult(
        metadata={
            "digest": json.loads((path / "manifest.json").read_text())["digest"],
            "path": dg.MetadataValue.path(path),
            "dagster/row_count": len(interactions),
            "items": len(items),
            **{f"interactions/{row['domain']}": row["count_all"] for row in per_domain},
        }
    )


@dg.asset_check(asset=training_snapshot, blocking=True)
def nothing_at_or_after_as_of(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No model reads anything at or after its as-of time: read back from the files themselves."""
    snapshot = snapshot_of(context.partition_key)
    limit = as_of_time(date.fromisoformat(context.partition_key))
    late = {d: len(log.since(limit)) for d, log in snapshot.interactions.items() if len(log.since(limit))}
    return dg.AssetCheckResult(passed=not late and snapshot.as_of == limit, metadata={"late": str(late)})
