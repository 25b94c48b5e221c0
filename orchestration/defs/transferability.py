"""Transferability: which source helps which target, for whom, by how much; before training and after it."""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Home
from orchestration.defs.transfer import (
    ADAPTED,
    EMBEDDINGS,
    MODALITIES,
    SNAPSHOT,
    target_and_as_of,
    train_settings,
)
from orchestration.pages import markdown_table
from orchestration.partitions import CONFIG, TARGET_AS_OF

if TYPE_CHECKING:
    from ml.bridge.protocol import Protocol
    from ml.bridge.select.transfer_matrix import Transferability
    from ml.data import Snapshot


@dg.asset(
    partitions_def=TARGET_AS_OF,
    deps=[SNAPSHOT, EMBEDDINGS, *ADAPTED, *MODALITIES],
    group_name="transfer",
    kinds={"python", "pytorch"},
    backfill_policy=dg.BackfillPolicy.single_run(),  # a matrix: the snapshot is read once for all targets
)
def transferability(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Every source of a target tried alone in a small bridge on validation users; training reads it to choose
    which sets of sources to try."""
    from ml.bridge.select.transferability import estimated
    from orchestration.features import embedded_snapshot
    from orchestration.transferability import write_transferability

    home, keys = Home(), [key.keys_by_dimension for key in context.partition_keys]
    for as_of in sorted({key["as_of"] for key in keys}):
        made: list[Transferability] = []
        snapshot = embedded_snapshot(as_of, CONFIG, home)
        for target in sorted(key["target"] for key in keys if key["as_of"] == as_of):
            found = estimated(asked_of(snapshot, target, as_of), CONFIG.evaluation.k, context.log.info)
            write_transferability(home, as_of, found)
            made.append(found)
    # Of several as-ofs the newest one's figures are shown: Dagster repeats them on every partition.
    return dg.MaterializeResult(metadata=_metadata(home, as_of, snapshot.digest, made))


@dg.asset(
    partitions_def=TARGET_AS_OF,
    deps=["transferability", "bridge"],
    group_name="transfer",
    kinds={"python", "pytorch"},
)
def transferability_check(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The same small bridges on test users, beside what was estimated: can the estimates be trusted?"""
    from ml.bridge.select.transferability import measure
    from orchestration.features import embedded_snapshot
    from orchestration.transferability import (
        agreement,
        asks_by,
        read_transferability,
        write_transferability,
    )

    home, (target, day) = Home(), target_and_as_of(context)
    as_of = day.isoformat()
    snapshot = embedded_snapshot(as_of, CONFIG, home)
    before = read_transferability(home, as_of, target, snapshot.digest)
    protocol = asked_of(snapshot, target, as_of)
    if before is None or not asks_by(before, protocol):
        raise dg.Failure(
            f"nothing was estimated for {target} on the snapshot as of {as_of} under `evaluation` as it is: "
            "materialise transferability first"
        )
    found = before.checked(measure(protocol, before.estimated, before.k, context.log.info))
    write_transferability(home, as_of, found)
    return dg.MaterializeResult(
        metadata={"agreement": agreement(found), **_metadata(home, as_of, snapshot.digest, [found])}
    )


def asked_of(snapshot: "Snapshot", target: str, as_of: str) -> "Protocol":
    """The splits that training asks, on what training may read."""
    from ml.bridge.train import protocol_of

    settings = train_settings(CONFIG, date.fromisoformat(as_of))
    return protocol_of(snapshot, target, CONFIG.sources(target), settings)[0]


def _metadata(home: Home, as_of: str, digest: str, made: "list[Transferability]") -> dict:
    from orchestration.review.transfer_heat_map import heat_map, inline_svg
    from orchestration.transferability import ground_table, in_short, matrix, transfer_table

    picture = heat_map(matrix(home, as_of, CONFIG.domain_names, digest))
    found: dict = {
        "pairs": sum(len(column.ground) for column in made),
        "helpful_pairs": sum(len({c.source for c in column.estimated if c.low > 0}) for column in made),
    }
    if picture:
        found["matrix"] = dg.MetadataValue.md(inline_svg(picture, "transferability"))
    for column in made:
        tables = [markdown_table(table(column)) for table in (transfer_table, ground_table)]
        lines = [f"**→ {column.target}**: {in_short(column)}", *(tables if column.ground else ["no source"])]
        found[f"to_{column.target}"] = dg.MetadataValue.md("\n\n".join(lines))
    return found
