"""Transfer: train the bridge of one target, its twin and popularity, on what was known before one moment."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.config import Calendar, Config, Home, as_of_time
from orchestration.event_verbs import event_verbs
from orchestration.files import replaced_folder
from orchestration.modalities import domains_with_modalities
from orchestration.pages import Table, markdown_table
from orchestration.partitions import CONFIG, TARGET_AS_OF
from orchestration.protocols import NOTHING_LEAKS_SPEC, leak_check, protocol_lines, refuse
from orchestration.transferability import ladder_lines

if TYPE_CHECKING:
    from ml.bridge import TrainSettings
    from ml.data import Snapshot
    from orchestration.search import Trial

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
    deps=[SNAPSHOT, EMBEDDINGS, *ADAPTED, *MODALITIES, "transferability"],
    group_name="transfer",
    kinds={"python", "pytorch"},
    check_specs=[NOTHING_LEAKS_SPEC],
)
def bridge(
    context: dg.AssetExecutionContext,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """The recommender of one target that reads every source domain, with its no-transfer twin beside it."""
    import ml.bridge
    from ml.bridge.leakage import leaks
    from ml.bridge.train import whole_protocol
    from orchestration.features import embedded_snapshot
    from orchestration.search import candidates
    from orchestration.transferability import fewer_sources

    target, as_of = target_and_as_of(context)
    home = Home()
    snapshot = embedded_snapshot(as_of.isoformat(), CONFIG, home)
    settings = train_settings(CONFIG, as_of)
    protocol = whole_protocol(snapshot, target, CONFIG.sources(target), settings)
    found = leaks(protocol)
    yield leak_check(found)
    refuse(found, target)
    fewer = fewer_sources(home, as_of.isoformat(), target, protocol, context.log.info)
    settings = replace(settings, subsets=fewer)
    searched = _searched(context, snapshot, settings) if CONFIG.search.trials else {}
    settings = replace(settings, found=candidates(searched, CONFIG.search.keep))
    training = ml.bridge.train(
        snapshot, target, CONFIG.sources(target), settings, on_progress=context.log.info
    )
    with replaced_folder(home.models / as_of.isoformat() / target) as folder:
        training.save(folder)
    yield dg.MaterializeResult(metadata=_metadata(training.selection) | _of_searches(searched))


def train_settings(config: Config, as_of: date) -> "TrainSettings":
    """What the configuration says of every training as of this day, and of whatever asks the same users."""
    import ml.bridge
    from ml.retrieval.rerank import RerankRules

    evaluation, shown = config.evaluation, config.recommendations
    return ml.bridge.TrainSettings(
        k=evaluation.k,
        cold_user_fraction=evaluation.cold_user_fraction,
        horizon=horizon(config.calendar, evaluation.horizon, as_of),
        seed=evaluation.seed,
        verbs=event_verbs(config),
        rerank=RerankRules(**shown.rerank),
        blocks=ml.bridge.Blocks(**config.blocks.switches),
        cold_item_slots=shown.cold_item_slots,
        protocol=evaluation.protocol,
    )


def _searched(
    context: dg.AssetExecutionContext, snapshot: "Snapshot", settings: "TrainSettings"
) -> "dict[str, list[Trial]]":
    """The trials of each scenario, logged in MLflow as they end."""
    from ml.bridge.train import protocol_of
    from orchestration.resources.registry import model_name
    from orchestration.resources.search_runs import runs_of
    from orchestration.search import search

    target, as_of = target_and_as_of(context)
    protocol, _ = protocol_of(snapshot, target, CONFIG.sources(target), settings)
    facts = {**CONFIG.search.model_dump(), "seed": settings.seed}
    logged = runs_of(Home(), model_name(target), as_of.isoformat(), facts, settings.k)
    return search(protocol, CONFIG.search, settings.k, logged, context.log.info)


def _of_searches(searched: "Mapping[str, list[Trial]]") -> dict[str, Any]:
    from orchestration.search import in_short, trials_table

    return {
        f"search_{scenario}": dg.MetadataValue.md(
            f"{in_short(trials, CONFIG.search.keep)}\n\n{markdown_table(trials_table(trials))}"
        )
        for scenario, trials in searched.items()
    }


def _metadata(selection: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sources": ", ".join(selection["sources"]) or "none",
        "protocols": dg.MetadataValue.md("\n".join(f"- {line}" for line in protocol_lines(selection))),
        "chosen": dg.MetadataValue.md(markdown_table(choices(selection))),
        "ladder": dg.MetadataValue.md("\n".join(f"- {line}" for line in ladder_lines(selection))),
        **(
            {"attributes": dg.MetadataValue.md(markdown_table(attributes(selection)))}
            if "attributes" in selection
            else {}
        ),
        "selection": dg.MetadataValue.json(dict(selection)),
    }


def attributes(selection: Mapping[str, Any]) -> Table:
    """Which attributes of users and items were tried: those that tell what users take."""
    from ml.bridge.blocks.association import LEVEL

    rows = [
        [domain, name, f"{p:.3f}", "yes" if p <= LEVEL else "no"]
        for domain, found in sorted(selection["attributes"].items())
        for name, p in sorted(found.items())
    ]
    return Table(["domain", "attribute", "p of no relation", "tried"], rows)


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
