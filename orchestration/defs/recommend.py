"""Recommend: the champion's lists for every known user, as one Parquet file and one warehouse table.

Ranking runs outside the warehouse pool and writes the file; loading it into the warehouse takes a moment.
Users get what is newest: an as-of before the one being served changes nothing.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Home
from orchestration.defs.transfer import SNAPSHOT, target_and_as_of
from orchestration.files import replaced_file
from orchestration.partitions import CONFIG, TARGET_AS_OF
from orchestration.resources.warehouse import Warehouse
from orchestration.review.champion_line import IN_OFFICE
from orchestration.review.gating import is_refused
from orchestration.reviews import with_review_vectors
from orchestration.served import keep

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.bridge import Recommender
    from ml.data import Catalogue

USERS_AT_ONCE = 20_000
_TABLE = "serving.recommendations"
_COLUMNS = "target, user_id, item_id, score, rank, reason, model_version, as_of"


@dg.asset(
    partitions_def=TARGET_AS_OF,
    deps=["model_version", SNAPSHOT],
    group_name="serving",
    kinds={"python", "parquet"},
    output_required=False,
)
def recommendation_lists(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """The champion's k best unseen items for every known user, in `recommendations/<target>.parquet`."""
    from orchestration.defs.snapshot import snapshot_of
    from orchestration.resources.registry import Registry

    (target, as_of), home = target_and_as_of(context), Home()
    registry, path = Registry(), recommendations_path(home, target)
    champion, served = registry.champion(target), served_as_of(path)
    if champion is None:
        context.log.warning(
            f"{target} has no champion: approve a version with `landbridge review approve {target} …`"
        )
        return
    if is_refused(champion) and champion.tags.get("review") not in IN_OFFICE:
        raise dg.Failure(
            f"{target}: the alias champion was set by hand to version {champion.version}, which the gate "
            "refused and nobody approved. The sensor mlflow_reviews takes it back, or "
            f"`landbridge review rollback {target}`"
        )
    if served and served > as_of:
        context.log.info(f"{target} is served as of {served}: lists as of {as_of} are not written")
        return
    snapshot = snapshot_of(as_of.isoformat())
    # A champion trained some days ago reads its users as the snapshot of today knows them.
    recommender = registry.load(champion)
    if encoder := recommender.settings.get("review_encoder"):  # its own, which may not be today's
        snapshot = with_review_vectors(snapshot, encoder, home)
    recommender = recommender.at(snapshot)
    version = int(champion.version)
    rows = write_lists(path, recommender, snapshot.users.tolist(), target, version, as_of)
    kept = keep(home, target, path, as_of, version, datetime.now(UTC), CONFIG.recommendations.keep_lists)
    sample = samples(path, snapshot.catalogues[target])
    yield dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "users": len(snapshot.users),
            "model_version": version,
            "kept_as": kept.name if kept else "not kept (recommendations.keep_lists: 0)",
            "served": champion.tags["served"],
            "unavailable_items": unavailable_items(path),
            "sample": dg.MetadataValue.md(sample),
        }
    )


@dg.asset(
    partitions_def=TARGET_AS_OF,
    deps=[recommendation_lists],
    group_name="serving",
    kinds={"duckdb", "table"},
    pool="warehouse",
)
def recommendations(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """`serving.recommendations`: the lists of one target, replaced in one transaction."""
    target, _ = target_and_as_of(context)
    path = recommendations_path(Home(), target)
    rows = load_lists(warehouse, path, target)
    return dg.MaterializeResult(
        metadata={"dagster/row_count": rows, "unavailable_items": unavailable_items(path)}
    )


def recommendations_path(home: Home, target: str) -> Path:
    """Where a target's lists lie."""
    return home.recommendations / f"{target}.parquet"


def served_as_of(path: Path) -> date | None:
    """The as-of of the lists in a file, None where there is no file."""
    return date.fromisoformat(_metadata(path)[b"as_of"].decode()) if path.exists() else None


def served_version(path: Path) -> int | None:
    """The model version that made the lists in a file, None where there is no file."""
    return int(_metadata(path)[b"model_version"]) if path.exists() else None


def unavailable_items(path: Path) -> int | None:
    """How many items a file's lists leave out as not available; None where an older file does not say."""
    found = _metadata(path).get(b"unavailable_items")
    return None if found is None else int(found)


def _metadata(path: Path) -> dict[bytes, bytes]:
    import pyarrow.parquet as pq

    return pq.read_schema(path).metadata


def write_lists(
    path: Path, recommender: "Recommender", users: list[str], target: str, version: int, as_of: date
) -> int:
    """Rank for every user and write one Parquet file; returns its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ml.bridge.serve.shown import unavailable_items

    rows, schema = 0, _schema(as_of, version, unavailable_items(recommender.attributes))
    with replaced_file(path) as beside, pq.ParquetWriter(beside, schema, compression="zstd") as writer:
        for start in range(0, len(users), USERS_AT_ONCE):
            lists = recommender.recommend(users[start : start + USERS_AT_ONCE], k=CONFIG.evaluation.k)
            size = len(lists)
            table = lists.append_column("target", pa.repeat(target, size))
            table = table.append_column("model_version", pa.repeat(pa.scalar(version, pa.int32()), size))
            table = table.append_column("as_of", pa.repeat(pa.scalar(as_of, pa.date32()), size))
            writer.write_table(table.select(schema.names).cast(schema))
            rows += size
    return rows


def _schema(as_of: date, version: int, unavailable: int) -> "pa.Schema":
    import pyarrow as pa

    kinds = {"score": pa.float32(), "rank": pa.int32(), "model_version": pa.int32(), "as_of": pa.date32()}
    columns = [(name, kinds.get(name, pa.string())) for name in _COLUMNS.split(", ")]
    about = {"as_of": as_of.isoformat(), "model_version": version, "unavailable_items": unavailable}
    return pa.schema(columns, metadata={key: str(value) for key, value in about.items()})


def load_lists(warehouse: Warehouse, path: Path, target: str) -> int:
    """Replace one target's rows of `serving.recommendations` by the file's; returns the rows loaded."""
    with warehouse.write() as connection:
        connection.execute("create schema if not exists serving")
        connection.execute(
            f"create table if not exists {_TABLE} (target varchar, user_id varchar, item_id varchar,"
            " score float, rank integer, reason varchar, model_version integer, as_of date)"
        )
        connection.execute("begin")
        connection.execute(f"delete from {_TABLE} where target = ?", [target])
        connection.execute(f"insert into {_TABLE} select {_COLUMNS} from read_parquet(?)", [str(path)])
        connection.execute("commit")
        found = connection.execute(f"select count(*) from {_TABLE} where target = ?", [target]).fetchone()
        return int(found[0]) if found else 0


def samples(path: Path, catalogue: "Catalogue", users: int = 3, items: int = 5) -> str:
    """A markdown table of what the first users of a file would see, with titles."""
    import pyarrow.parquet as pq

    table = next(pq.ParquetFile(path).iter_batches(batch_size=users * CONFIG.evaluation.k), None)
    titles = dict(zip(catalogue.item_ids.tolist(), catalogue.titles, strict=True))
    lines = ["| user | rank | item | reason |", "| :-- | --: | :-- | :-- |"]
    for row in table.to_pylist() if table else []:
        if row["rank"] <= items:
            title = titles.get(row["item_id"]) or row["item_id"]
            lines.append(f"| {row['user_id']} | {row['rank']} | {title} | {row['reason']} |")
    return "\n".join(lines)
