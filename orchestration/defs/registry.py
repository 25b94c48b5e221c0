"""Register: the candidate that the gate named becomes a version in MLflow, with a card for its reviewer."""

import json
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Config, Home
from orchestration.defs.evaluate import read_report
from orchestration.defs.transfer import target_and_as_of
from orchestration.pages import Section
from orchestration.partitions import CONFIG, TARGET_AS_OF
from orchestration.protocols import protocol_lines
from orchestration.review.card import Card
from orchestration.review.changes import DomainFacts, configuration_of
from orchestration.review.gating import GateCase, check_results, check_specs, in_words

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from ml.data import Snapshot
    from orchestration.resources.evidence import Evidence


@dg.asset(
    partitions_def=TARGET_AS_OF,
    deps=[
        "evaluation",
        "transferability_check",
        # The card shows what sampled users like, in words.
        dg.AssetDep("user_profiles", partition_mapping=dg.MultiToSingleDimensionPartitionMapping("as_of")),
    ],
    group_name="registry",
    kinds={"mlflow"},
    pool="warehouse",  # every decision about a version is a row of registry.registry_reviews
    check_specs=check_specs(CONFIG.promotion.gate.mode, "model_version"),
)
def model_version(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """A version of `landbridge-<target>` with its runs, its evidence, the gate's verdict and its card."""
    from orchestration.defs.snapshot import snapshot_of
    from orchestration.resources.registry import Registry
    from orchestration.review.beside_champion import beside_champion

    (target, as_of), mode = target_and_as_of(context), CONFIG.promotion.gate.mode
    registry = Registry()
    evidence = gather_evidence(target, as_of, CONFIG, registry.home, context.run_id)
    evidence = replace(evidence, gate=gate_case(evidence.training, registry.champion(target)))
    evidence = beside_champion(evidence, registry, snapshot_of(as_of.isoformat()), CONFIG.evaluation.seed)
    version = registry.register(evidence)
    decision, verdict = registry.promote(version, target, CONFIG.promotion.mode), registry.verdict(version)
    return dg.MaterializeResult(
        check_results=check_results(mode, verdict),
        metadata={
            "version": int(version.version),
            "served": version.tags["served"],
            "decision": decision,
            "gate": dg.MetadataValue.text(in_words(mode, verdict)),
            "mlflow": dg.MetadataValue.url(version_url(version.name, version.version)),
            "review_card": dg.MetadataValue.md(version.description or ""),
        },
    )


def gate_case(training: Path, champion: "ModelVersion | None") -> GateCase:
    """What the configuration holds a training to, beside the champion of this moment."""
    from orchestration.review.champion import against

    return GateCase.of(CONFIG.promotion.gate, against(training / "evaluation", champion))


def version_url(name: str, version: str | int) -> str:
    """The page of a model version where `landbridge ui` serves MLflow."""
    import os

    port = os.environ.get("LANDBRIDGE_MLFLOW_PORT", "5000")
    return f"http://127.0.0.1:{port}/#/models/{name}/versions/{version}"


def gather_evidence(target: str, as_of: date, config: Config, home: Home, run_id: str) -> "Evidence":
    """Read what `bridge` and `evaluation` left of one partition."""
    from ml.bridge import load
    from ml.metrics.gate import decide
    from ml.metrics.peers import peer_lifts
    from orchestration.defs.snapshot import snapshot_of, snapshot_path
    from orchestration.features import encoder_in_use
    from orchestration.profiles import sample_for_card
    from orchestration.resources.evidence import Evidence
    from orchestration.review.explanations import explained_sections

    training = home.models / as_of.isoformat() / target
    report, snapshot = read_report(training), snapshot_of(as_of.isoformat())
    decision = decide(report, config.promotion.gate.margin_twin)
    settings = {
        "as_of": as_of.isoformat(),
        "sources": config.sources(target),
        "evaluation": config.evaluation.model_dump(),
        "encoder": config.encoder.model_dump(),
        "recommendations": config.recommendations.model_dump(),
    }
    card = Card(
        target=target,
        as_of=as_of.isoformat(),
        k=config.evaluation.k,
        serve=decision.serve,
        passed=decision.passed,
        reasons=decision.reasons,
        rows=report.rows,
        lifts=report.lifts,
        comparisons=report.comparisons,
        peers=peer_lifts(report, config.evaluation.seed),
        beyond=report.beyond,
        price=report.price,
        re_ranking=_rules(training),
        explained=explained_sections(load(training / "bridge"), config.evaluation.k, config.evaluation.seed),
        transfer=_transfer(target, as_of.isoformat(), config, home, training, snapshot.digest),
        domains={name: domain_facts(snapshot, name) for name in (target, *config.sources(target))},
        sources=config.sources(target),
        protocols=protocol_lines(json.loads((training / "selection.json").read_text())),
        encoder=encoder_in_use(config, home, as_of.isoformat()).key,
        data_digest=snapshot.digest,
        profiles=sample_for_card(
            snapshot, target, config.sources(target), home, as_of.isoformat(), config.evaluation.seed
        ),
    )
    lineage = {"encoder": card.encoder, "git_sha": git_sha(), "dagster_run_id": run_id}
    path, configuration = snapshot_path(as_of.isoformat()), configuration_of(config)
    return Evidence(card, report, training, path, settings, lineage, configuration)


def _transfer(
    target: str, as_of: str, config: Config, home: Home, training: Path, digest: str
) -> list[Section]:
    from orchestration.transferability import card_sections, matrix

    selection = json.loads((training / "selection.json").read_text())
    return card_sections(matrix(home, as_of, config.domain_names, digest), target, selection)


def _rules(training: Path) -> str:
    """What changes a training's lists where they are shown, in words; empty where they are as scored."""
    from ml.retrieval.rerank import RerankRules

    settings = json.loads((training / "selection.json").read_text())["train_settings"]
    rules = RerankRules(**settings["rerank"]) if settings.get("rerank") else None
    slots = settings.get("cold_item_slots", 0)
    room = f"at most {slots} of the last places to new items" if slots else ""
    return ", ".join(filter(None, [str(rules) if rules and rules.change else "", room]))


def domain_facts(snapshot: "Snapshot", domain: str) -> DomainFacts:
    """Counts and the data window of one domain."""
    log, catalogue = snapshot.interactions[domain], snapshot.catalogues[domain]
    ends: list[str | None] = (
        [datetime.fromtimestamp(t / 1e6, UTC).date().isoformat() for t in (log.times.min(), log.times.max())]
        if len(log)
        else [None, None]
    )
    return DomainFacts(
        interactions=len(log),
        users=int((log.counts() > 0).sum()),
        items=len(catalogue),
        items_without_text=sum(text is None for text in catalogue.text_hashes),
        first=ends[0],
        last=ends[1],
    )


def git_sha() -> str:
    """The commit of this checkout, "unknown" where the code is not in one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
