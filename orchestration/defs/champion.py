"""Champion: what today's champion's recipe gives the very users that a new training is measured on."""

import dagster as dg

from orchestration.defs.transfer import SNAPSHOT, target_and_as_of
from orchestration.files import replaced_folder
from orchestration.partitions import TARGET_AS_OF
from orchestration.review.champion import FOLDER, LISTS_FILE, compare, settings_of


@dg.asset(
    partitions_def=TARGET_AS_OF,
    deps=["bridge", SNAPSHOT],
    group_name="transfer",
    kinds={"python", "pytorch"},
)
def champion_lists(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The champion's recipe fitted on the new bridge's splits, for `evaluation`; or why there is none."""
    import pyarrow.parquet as pq

    from orchestration.resources.registry import Registry

    target, as_of = target_and_as_of(context)
    registry = Registry()
    training = registry.home.models / as_of.isoformat() / target
    champion = registry.champion(target)
    lists, found = compare(
        champion, training, as_of.isoformat(), lambda: settings_of(registry, champion) if champion else {}
    )
    with replaced_folder(training / FOLDER) as folder:
        if lists is not None:
            pq.write_table(lists, folder / LISTS_FILE, compression="zstd")
        found.write(folder)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": 0 if lists is None else len(lists),
            "state": found.state,
            "champion": found.version,
            "how": dg.MetadataValue.text(found.words),
        }
    )
