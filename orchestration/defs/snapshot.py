"""marts -> training snapshot: everything before one moment as immutable Parquet, named by its content."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb

from orchestration.config import Home, SnapshotRules, as_of_time
from orchestration.documents import catalogue_of
from orchestration.files import replaced_file
from orchestration.generation import writes
from orchestration.item_attributes import filtered_domains, with_attributes
from orchestration.partitions import AS_OF, CONFIG
from orchestration.resources.warehouse import Warehouse
from orchestration.reviews import reviewed_domains, reviews_before
from orchestration.user_attributes import attributes_of_users, usable_attributes

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.data import Snapshot

# A window that ends by as-of may hold a line of a dated file with a later time: such a row must wait.
# A cancellation fades with the window of its purchase: what is cancelled is worth nothing at any age.
# Rounded, because differences of such weights as 0.3 and 0.1 leave a trace of interest.
_INTERACTIONS = """
with taken_back as (
    select domain, purchase_window as window_start, user_id, item_id, sum(takes_back) as weight
    from marts.fct_cancellations
    where takes_back < 0 and event_time < make_timestamptz($as_of)
    group by all
),

standing as (
    select domain, window_start, user_id, item_id, bought.event_time,
        coalesce(round(bought.weight + taken_back.weight, 9), bought.weight) as weight
    from marts.fct_interactions as bought
    left join taken_back using (domain, window_start, user_id, item_id)
    where window_start < $day and bought.event_time < make_timestamptz($as_of)
)

select domain, user_id, item_id, max(event_time) as event_time, cast({weight} as float) as weight
from standing
group by domain, user_id, item_id
having {weight} > 0
"""
_WHOLE = "sum(weight)"
# In order, so that a sum of fractions is the same to the last bit; a floor, so that float32 holds the weight.
_FADING = """
sum(weight * greatest(power(2, -date_diff('day', window_start, $day) / $half_life_days), 1e-30)
    order by window_start)
"""
_GENERATED = (
    [dg.AssetDep("generated_texts", partition_mapping=dg.AllPartitionMapping())]
    if writes(CONFIG, "items")
    else []
)
# What lists are filtered by, where a catalogue has it.
_ATTRIBUTES = [["marts", "dim_items"]] if filtered_domains(CONFIG) else []
# What is known of users, where their files tell something that models may read.
_USERS = [["marts", "user_attributes"]] if usable_attributes(CONFIG) else []
# What users wrote, where a log has it.
_REVIEWS = (
    [dg.AssetDep("review_embeddings", partition_mapping=dg.AllPartitionMapping())]
    if reviewed_domains(CONFIG)
    else []
)


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


def newest_snapshot_path(home: Home) -> Path | None:
    """The folder of the snapshot with the latest as-of, None where there is none."""
    pointers = sorted((home.snapshots / "as_of").glob("*.json"), reverse=True)
    paths = (home.snapshots / json.loads(pointer.read_text())["snapshot"] for pointer in pointers)
    return next((path for path in paths if path.is_dir()), None)


def snapshot_of(as_of_key: str) -> "Snapshot":
    """The training snapshot of an as-of key, read."""
    from ml.snapshot_files import read_snapshot

    return read_snapshot(snapshot_path(as_of_key))


def net_interactions(
    connection: duckdb.DuckDBPyConnection, day: date, half_life_days: float | None = None
) -> "pa.Table":
    """The net interactions before `day`.

    The weight of a user and item is the sum over windows, less what was cancelled before `day`; sums <= 0 are
    dropped. With a half-life a window counts half as much for every `half_life_days` from its first day to
    `day`. The time of an interaction is that of its last event, cancelled or not.
    """
    parameters: dict[str, object] = {"day": day, "as_of": as_of_time(day)}
    if half_life_days is not None:
        parameters["half_life_days"] = half_life_days
    query = _INTERACTIONS.format(weight=_WHOLE if half_life_days is None else _FADING)
    return connection.sql(query, params=parameters).to_arrow_table()


def check_items_known(interactions: "pa.Table", items: "pa.Table") -> None:
    """Raises dg.Failure where an interaction's item is not among `items`: the two are of different times."""
    known = items.select(["domain", "item_id"])
    strange = interactions.join(known, ["domain", "item_id"], join_type="left anti")
    if len(strange):
        row = strange.slice(0, 1).to_pylist()[0]
        raise dg.Failure(
            f"{len(strange):,} interactions are with items that item_texts does not have, such as "
            f"{row['item_id']!r} of {row['domain']}: materialise item_texts again; where the items have left "
            "the catalogue, judge the events again too (landbridge run does both)"
        )


def draw(
    connection: duckdb.DuckDBPyConnection,
    day: date,
    rules: SnapshotRules,
    items: "pa.Table",
    attributes: "pa.Table | None" = None,
) -> Path:
    """Write the snapshot of `day` under these rules, with all of `items` and the attributes of its users;
    returns its folder.

    The manifest has `rules` where there are any: the rules as configured, and `left_out`, what the k-core
    dropped of each domain.
    """
    from ml.k_core import core_of_each_domain
    from ml.snapshot_files import write_snapshot

    interactions = net_interactions(connection, day, rules.half_life_days)
    check_items_known(interactions, items)
    applied = rules.model_dump(exclude_none=True)
    if rules.k_core is not None:
        core = core_of_each_domain(interactions, rules.k_core.users, rules.k_core.items)
        interactions, applied["left_out"] = core
    reviews = reviews_before(CONFIG, Home(), day, interactions)
    return write_snapshot(
        Home().snapshots, interactions, items, as_of_time(day), applied, reviews, attributes
    )


def manifest_of(snapshot: Path) -> dict[str, Any]:
    """What a snapshot says of itself: as_of, digest, interactions, items and, where there are any, rules."""
    from ml.snapshot_files import MANIFEST_FILE

    return json.loads((snapshot / MANIFEST_FILE).read_text())


def rows_of_domains(snapshot: Path) -> dict[str, int]:
    """The interactions of each domain in a snapshot."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from ml import columns as c
    from ml.snapshot_files import INTERACTIONS_FILE

    domains = pq.read_table(snapshot / INTERACTIONS_FILE, columns=[c.DOMAIN])[c.DOMAIN]
    return {found["values"]: found["counts"] for found in pc.value_counts(domains).to_pylist()}


def left_out(manifest: dict[str, Any]) -> dict[str, int]:
    """`domain/what` -> how many the k-core dropped, for metadata; empty where nothing was."""
    domains = manifest.get("rules", {}).get("left_out", {})
    return {f"{domain}/{what}": n for domain, counts in domains.items() for what, n in counts.items()}


@dg.asset(
    group_name="features",
    kinds={"parquet"},
    deps=[
        ["marts", "fct_interactions"],
        ["marts", "fct_cancellations"],
        dg.AssetDep("item_texts", partition_mapping=dg.AllPartitionMapping()),
        *_ATTRIBUTES,
        *_USERS,
        *_GENERATED,
        *_REVIEWS,
    ],
    partitions_def=AS_OF,
    pool="warehouse",
)
def training_snapshot(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """All a model as of this moment may read. One row per domain, user and item before the moment."""
    key, items = context.partition_key, catalogue_of(Home(), CONFIG.domain_names)
    with warehouse.read() as connection:
        items = with_attributes(connection, CONFIG, items)
        attributes = attributes_of_users(connection, CONFIG)
        path = draw(connection, date.fromisoformat(key), CONFIG.snapshot, items, attributes)
    point_to(key, path)
    manifest = manifest_of(path)
    return dg.MaterializeResult(
        metadata={
            "digest": manifest["digest"],
            "path": dg.MetadataValue.path(path),
            "dagster/row_count": manifest["interactions"],
            "items": manifest["items"],
            **{kind: manifest[kind] for kind in ("reviews", "user_attributes") if kind in manifest},
            "rules": json.dumps(CONFIG.snapshot.model_dump(exclude_none=True)),
            **{f"interactions/{domain}": rows for domain, rows in rows_of_domains(path).items()},
            **{f"left out/{what}": n for what, n in left_out(manifest).items()},
        }
    )


@dg.asset_check(asset=training_snapshot, blocking=True)
def nothing_at_or_after_as_of(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No model reads anything at or after its as-of time: read back from the files themselves."""
    from ml.snapshot_end import late

    snapshot = snapshot_of(context.partition_key)
    limit = as_of_time(date.fromisoformat(context.partition_key))
    found = late(replace(snapshot, as_of=limit))
    if snapshot.as_of != limit:
        found.append(f"the manifest's as-of is {snapshot.as_of}, expected {limit}")
    return dg.AssetCheckResult(
        passed=not found,
        description="; ".join(found) or None,
        metadata={"late": dg.MetadataValue.md("\n".join(f"- {what}" for what in found) or "none")},
    )


@dg.asset_check(asset=training_snapshot)
def nothing_left_out(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Models learn from every interaction: fails softly where `snapshot.k_core` left users or items out.

    Figures measured on a core are true of the core only, and who is left out of a domain counts as new there:
    a list for it may hold what it already has.
    """
    lost = left_out(manifest_of(snapshot_path(context.partition_key)))
    return dg.AssetCheckResult(passed=not lost, severity=dg.AssetCheckSeverity.WARN, metadata=lost)
