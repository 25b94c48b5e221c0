"""Transfer: train the bridge of one target, its twin and popularity, on what was known before one moment."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg

from orchestration.config import Calendar, Home, as_of_time
from orchestration.files import replaced_folder
from orchestration.modalities import domains_with_modalities
from orchestration.partitions import CONFIG, TARGET_AS_OF
from orchestration.review_card import Table, markdown_table

SNAPSHOT = dg.AssetDep(
    "training_snapshot", partition_mapping=dg.MultiToSingleDimensionPartitionMapping("as_of")
)
# Every domain's text: a target may be reached from any of them.
EMBEDDINGS = dg.AssetDep("item_embeddings", partition_mapping=dg.AllPartitionMapping())
# Where the encoder is fine-tuned, the gate's decision of the same as-of comes first.
ADAPTED = (
    [dg.AssetDep("adapted_encoder", partition_mapping=dg.MultiToSingleDimensionPartitionMapping("as_of"))]
    if CONFIG.encoder.adaptation
    else []
)
# Where a domain has modalities, their vectors; as with text, every domain's.
MODALITIES = (
    [dg.AssetDep("item_modalities", partition_mapping=dg.AllPartitionMapping())]
    if domains_with_modalities(CONFIG)
    else []
)


def target_and_as_of(context: dg.AssetExecutionContext) -> tuple[str, date]:
    """The two halves of a partition key such as `2026-03-01|books`."""
    keys = context.partition_key.keys_by_dimension
    return keys["target"], date.fromisoformat(keys["as_of"])


def horizon(calendar: Calendar, windows: int, as_of: date) -> int:
    """Microseconds that the last `windows` windows before `as_of` span: the time a validation split hides."""
    if calendar.grain == "month":
        months = as_of.year * 12 + as_of.month - 1 - windows
        start = date(months // 12, months % 12 + 1, 1)
        return as_of_time(as_of) - as_of_time(start)
    return windows * {"day": 1, "week": 7}[calendar.grain] * 86_400 * 1_000_000


@dg.asset(
    partitions_def=TARGET_AS_OF,
    deps=[SNAPSHOT, EMBEDDINGS, *ADAPTED, *MODALITIES],
    group_name="transfer",
    kinds={"python", "pytorch"},
)
def bridge(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The recommender of one target that reads every source domain, with its no-transfer twin beside it."""
    import ml.bridge
    from orchestration.features import embedded_snapshot

    target, as_of = target_and_as_of(context)
    home, evaluation = Home(), CONFIG.evaluation
    settings = ml.bridge.TrainSettings(
        k=evaluation.k,
        cold_user_fraction=evaluation.cold_user_fraction,
        horizon=horizon(CONFIG.calendar, evaluation.horizon, as_of),
        seed=evaluation.seed,
    )
    snapshot = embedded_snapshot(as_of.isoformat(), CONFIG, home)
    training = ml.bridge.train(
        snapshot, target, CONFIG.sources(target), settings, on_progress=context.log.info
    )
    with replaced_folder(home.models / as_of.isoformat() / target) as folder:
        training.save(folder)
    return dg.MaterializeResult(metadata=_metadata(training.selection))


def _metadata(selection: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sources": ", ".join(selection["sources"]) or "none",
        "chosen": dg.MetadataValue.md(markdown_table(choices(selection))),
        "selection": dg.MetadataValue.json(dict(selection)),
    }


def choices(selection: Mapping[str, Any]) -> Table:
    """What validation chose for each cohort: the blends' scorers with their weights, and their worth."""
    rows = [
        [
            cohort,
            _blend(found["bridge"]),
            _blend(found["twin"]),
            f"{found['validation_users']:,}",
            f"{found['bridge_value']:.4f}",
            f"{found['twin_value']:.4f}",
            f"{found['gain']:+.4f} ± {found['gain_standard_error']:.4f}",
        ]
        for cohort, found in selection["cohorts"].items()
    ]
    return Table(["cohort", "bridge", "twin", "users", "bridge value", "twin value", "gain"], rows)


def _blend(weights: Mapping[str, float]) -> str:
    heaviest_first = sorted(weights.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{weight:.0%} {name}" for name, weight in heaviest_first)
