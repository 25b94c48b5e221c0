"""Adapt: the encoder fine-tuned on what users took up together, and used only where that is measured to help.

Only with `encoder.adaptation`. One encoder serves all domains, so there is one fine-tuning for an as-of.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.adapters import ADAPTER, DECISION, Adapters, visibility
from orchestration.config import Config, Home, as_of_time
from orchestration.documents import documents_of
from orchestration.files import replaced_folder
from orchestration.pages import Table, markdown_table
from orchestration.partitions import AS_OF, CONFIG

if TYPE_CHECKING:
    from ml.data import Snapshot
    from ml.text.encoding.encoder import TextEncoder

if CONFIG.encoder.adaptation is not None:

    @dg.asset(
        partitions_def=AS_OF,
        deps=[
            "training_snapshot",
            dg.AssetDep("item_embeddings", partition_mapping=dg.AllPartitionMapping()),
        ],
        group_name="features",
        kinds={"pytorch", "mlflow"},
        check_specs=[
            dg.AssetCheckSpec(
                "adaptation_helps",
                asset="adapted_encoder",
                description="The fine-tuned encoder beats its base on users of whom it has seen nothing.",
            )
        ],
    )
    def adapted_encoder(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """A LoRA adapter of the configured encoder, its lift over the base, and the gate's decision."""
        from ml.text.adapt.pairs import TooFewPairsError
        from orchestration.resources.encoder_registry import register_encoder

        home, as_of = Home(), date.fromisoformat(context.partition_key)
        try:
            decision = fine_tune(CONFIG, home, as_of, context.log.info)
        except TooFewPairsError as error:  # a young world: the base encoder serves it
            return dg.MaterializeResult(
                metadata={"passed": False, "reason": str(error)}, check_results=[_check(False, str(error))]
            )
        version = register_encoder(home, CONFIG, as_of.isoformat(), context.run_id)
        return dg.MaterializeResult(
            metadata={
                "passed": decision["passed"],
                "reason": decision["reason"],
                "lift": dg.MetadataValue.md(markdown_table(lift_table(decision["lift"]))),
                "training": dg.MetadataValue.json(decision["training"]),
                "encoder": decision["encoder"],
                "version": int(version.version),
            },
            check_results=[_check(decision["passed"], decision["reason"])],
        )


def _check(passed: bool, reason: str) -> dg.AssetCheckResult:
    """A warning at most: where fine-tuning does not help the base encoder stays, and nothing is worse."""
    return dg.AssetCheckResult(
        passed=passed,
        check_name="adaptation_helps",
        severity=dg.AssetCheckSeverity.WARN,
        description=reason,
    )


def fine_tune(config: Config, home: Home, as_of: date, log: Callable[[str], object]) -> dict[str, Any]:
    """Train on what the protocol hides from nobody, embed, measure, decide; writes encoders/<as_of>/."""
    from ml.text.adapt.lift import encoder_lift
    from ml.text.adapt.pairs import PairRules, find_pairs
    from ml.text.adapt.train import AdaptSettings, adapt
    from orchestration.defs.snapshot import snapshot_of
    from orchestration.features import text_encoder, with_vectors_of
    from orchestration.reviews import review_texts, reviewed_domains

    rules, hidden = config.encoder.adaptation, visibility(config, as_of)
    assert rules is not None, "fine_tune needs encoder.adaptation"
    base = text_encoder(config)
    snapshot, texts = readable(with_vectors_of(snapshot_of(as_of.isoformat()), base, home), home)
    pairs = find_pairs(snapshot, hidden, PairRules(rules.pairs, seed=config.evaluation.seed))
    log(f"{len(pairs):,} pairs of {len(pairs.texts):,} texts, {pairs.crosses.mean():.0%} across domains")
    settings = AdaptSettings(
        objective=rules.objective,
        rank=rules.rank,
        epochs=rules.epochs,
        batch=rules.batch,
        learning_rate=rules.learning_rate,
        seed=config.evaluation.seed,
    )
    with replaced_folder(Adapters(config, home).folder(as_of.isoformat())) as folder:
        training = adapt(base.source, base.pooling, texts, pairs, settings, folder / ADAPTER, log)
        adapted = text_encoder(config, folder / ADAPTER)
        embed(adapted, texts, home, log)
        lift = encoder_lift(
            snapshot,
            with_vectors_of(snapshot, adapted, home),
            {target: config.sources(target) for target in config.domain_names},
            hidden,
            config.evaluation.k,
        )
        decision = {
            "passed": lift.passed,
            "reason": lift.reason,
            "as_of": as_of.isoformat(),
            "data_digest": snapshot.digest,
            "base": base.key,
            "encoder": adapted.key,
            "cut": as_of_time(as_of) - 2 * hidden.horizon,
            "hidden": {
                "seed": hidden.seed,
                "cold_user_fraction": hidden.cold_user_fraction,
                "protocol": hidden.protocol,
            },
            "lift": lift.to_dict(),
            "training": training,
        }
        if lift.passed:
            embed(adapted, dict(review_texts(home, reviewed_domains(config))), home, log)
        # Last, beside the finished adapter: what has no decision is not used.
        (folder / DECISION).write_text(json.dumps(decision, indent=2, sort_keys=True), encoding="utf-8")
    log(lift.reason)
    return decision


def readable(snapshot: "Snapshot", home: Home) -> "tuple[Snapshot, dict[str, str]]":
    """The snapshot with no text where its vectors, if it carries any, are zero or the text is gone; hash ->
    text of the rest, in the order of the hashes.

    Text that the encoder cannot read must not be learned from, and both encoders are measured on the same.
    """
    import numpy as np

    texts: dict[str, str] = {}
    catalogues = {}
    for domain, catalogue in snapshot.catalogues.items():
        documents = documents_of(home, domain)
        hashes, found = documents["text_hash"].to_pylist(), documents["document"].to_pylist()
        known = {h: text for h, text in zip(hashes, found, strict=True) if h is not None}
        kept = np.array([h in known for h in catalogue.text_hashes], bool)
        vectors = catalogue.vectors
        if vectors is not None:
            kept &= catalogue.has_vector
            vectors = vectors * kept[:, None]
        catalogues[domain] = replace(
            catalogue,
            text_hashes=np.where(kept, catalogue.text_hashes, np.array(None, object)),
            vectors=vectors,
        )
        texts |= {h: known[h] for h in catalogue.text_hashes[kept]}
    return replace(snapshot, catalogues=catalogues), dict(sorted(texts.items()))


def embed(encoder: "TextEncoder", texts: Mapping[str, str], home: Home, log: Callable[[str], object]) -> None:
    """Embed what the store of this encoder lacks of `texts`, hash -> text."""
    from ml.text.encoding.embed import embed_missing
    from ml.text.encoding.store import EmbeddingStore
    from orchestration.live import LiveProgress

    store = EmbeddingStore(home.embeddings, encoder.key, encoder.dimension)
    embed_missing(encoder, store, list(texts), list(texts.values()), LiveProgress("adapted encoder", log))


def lift_table(lift: Mapping[str, Any]) -> Table:
    """The paired difference of recall, target by target and pooled."""
    rows = [("all", lift["difference"]), *lift["by_target"].items()]
    return Table(
        ["target", "difference", "95 % interval", "users"],
        [
            [
                target,
                f"{found['mean']:+.4f}",
                f"[{found['low']:+.4f}, {found['high']:+.4f}]",
                f"{found['n']:,}",
            ]
            for target, found in rows
        ],
    )
