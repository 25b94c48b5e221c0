"""What a model version rests on, written to MLflow: one parent run an as-of, one nested run a candidate,
the classical peers among them.

Logging the same evidence twice finds the first runs again; other evidence for the same as-of replaces them.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml
from orchestration.review.card import Card, html, markdown
from orchestration.review.changes import FACTS_FILE, VersionFacts
from orchestration.review.cohort_tables import CANDIDATES, COHORTS
from orchestration.review.gating import GateCase

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

    from ml.metrics.report import CohortRow, LiftRow, Report

_ML_FOLDER = Path(ml.__file__).parent
_KIND, _TARGET, _AS_OF, _DIGEST, _CONTENT = (
    f"landbridge.{name}" for name in ("kind", "target", "as_of", "evidence", "content")
)


@dataclass(frozen=True)
class Evidence:
    """One measured training.

    training: folder of `ml.bridge.Training.save`. snapshot: folder of the Parquet snapshot it was trained on.
    settings: what it was configured with. lineage: tags of origin (encoder, git_sha, dagster_run_id).
    configuration: every key of landbridge.yaml that a model can follow from, flat (`review/changes.py`).
    gate: what the version is held to.
    """

    card: Card
    report: Report
    training: Path
    snapshot: Path
    settings: Mapping[str, Any]
    lineage: Mapping[str, str]
    configuration: Mapping[str, str] = field(default_factory=dict)
    gate: GateCase = field(default_factory=GateCase)

    @property
    def selection(self) -> dict[str, Any]:
        """What validation chose, as `Training.save` wrote it."""
        return json.loads((self.training / "selection.json").read_text())

    @property
    def candidates(self) -> tuple[str, ...]:
        """Popularity, twin and bridge, then the peers that were measured beside them.

        Not the champion: another one makes no other version of the same content.
        """
        measured = (row.candidate for row in self.report.rows if row.candidate != "champion")
        return tuple(dict.fromkeys([*CANDIDATES, *measured]))

    @property
    def digest(self) -> str:
        """SHA-256 of the data, the gate's choice and every figure: what a reviewer decides on."""
        measured = [figures(self.report, self.card.k, name) for name in (None, *self.candidates)]
        content = [self.card.data_digest, self.card.serve, measured]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def model(self) -> Path:
        """Folder of the candidate that the gate named."""
        return self.training / self.card.serve

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the snapshot, the weights, the code that runs them and the figures that judge them,
        and of all that a version carries (`content`).
        """
        found = {"model": folder_digest(self.model), "code": folder_digest(_ML_FOLDER, pattern="*.py")}
        content = hashlib.sha256("".join([*found.values(), self.digest]).encode()).hexdigest()
        return {"data": self.card.data_digest, **found, "figures": self.digest, "content": content}

    @property
    def facts(self) -> VersionFacts:
        """What a later version is compared with."""
        card = self.card
        served = [r for r in self.report.rows if (r.candidate, r.metric) == (card.serve, "recall")]
        popularity = {"popularity": 1.0}
        return VersionFacts(
            target=card.target,
            as_of=card.as_of,
            served=card.serve,
            k=card.k,
            encoder=card.encoder,
            git_sha=self.lineage.get("git_sha", "unknown"),
            sources=tuple(card.sources),
            digests=self.digests,
            domains=dict(card.domains),
            configuration=dict(self.configuration) or flatten(self.settings),
            recipe={
                cohort: chosen.get(card.serve, popularity)
                for cohort, chosen in self.selection.get("cohorts", {}).items()
            },
            recall={
                r.cohort: (r.mean, r.low, r.high, r.users) for r in served if r.cohort in COHORTS and r.users
            },
        )


def folder_digest(folder: Path, pattern: str = "*") -> str:
    """SHA-256 over the names and the contents of the files below `folder` that match."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob(pattern) if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def figures(report: Report, k: int, candidate: str | None = None) -> dict[str, float]:
    """Metrics by MLflow name (no `@`): `recall_at_10_cold`, `…_ci_low`, `…_ci_high`, `users_cold`.

    With a candidate, its own figures; without, the bridge's lifts over its twin (`lift_recall_at_10_cold`).
    """
    rows: list[CohortRow] | list[LiftRow] = report.lifts
    if candidate is not None:
        rows = [row for row in report.rows if row.candidate == candidate]
    found: dict[str, float] = {}
    for row in rows:
        name = f"{'lift_' if candidate is None else ''}{row.metric}_at_{k}_{row.cohort}"
        found |= {name: row.mean, f"{name}_ci_low": row.low, f"{name}_ci_high": row.high}
        found[f"users_{row.cohort}"] = float(row.users)
    if candidate is not None:
        found |= _beyond(report, k, candidate)
    # An empty cohort has no mean, and a NaN in MLflow's table reads like a fault.
    return {name: value for name, value in found.items() if value == value}


def _beyond(report: Report, k: int, candidate: str) -> dict[str, float]:
    """`coverage_at_10_cold` …, and the changes by re-ranking as `rerank_recall_at_10_cold`, `…_ci_low` …"""
    mine = (row for row in report.beyond if row.candidate == candidate)
    found = {f"{row.metric}_at_{k}_{row.cohort}": row.value for row in mine}
    for row in (row for row in report.price if row.candidate == candidate):
        name = f"rerank_{row.metric}_at_{k}_{row.cohort}"
        found |= {name: row.mean, f"{name}_ci_low": row.low, f"{name}_ci_high": row.high}
    return found


_NOT_IN_A_NAME = re.compile(r"[^\w\-. :/]")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as MLflow params: `{"a": {"b@c": 1}}` becomes `{"a.b_c": "1"}`."""

    def leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield from leaves(inner, f"{name}.{key}" if name else str(key))
        else:
            yield (
                _NOT_IN_A_NAME.sub("_", name),
                (value if isinstance(value, str) else json.dumps(value))[:6000],
            )

    return dict(leaves(tree, prefix))


def log_evidence(client: MlflowClient, experiment: str, evidence: Evidence, keep: set[str]) -> dict[str, str]:
    """Log the runs of one as-of and return their ids by name: "parent" and each candidate.

    keep: ids of runs that a registered version came from; they stay when newer evidence replaces the rest.
    """
    card = evidence.card
    # The same figures of other weights are another version's, and its runs are its own.
    same = {_DIGEST: evidence.digest, _CONTENT: evidence.digests["content"]}
    where = f"tags.`{_TARGET}` = '{card.target}' and tags.`{_AS_OF}` = '{card.as_of}'"
    earlier = client.search_runs([experiment], where)
    found = {run.data.tags[_KIND]: run.info.run_id for run in earlier if _is_whole(run, same)}
    if len(found) == 1 + len(evidence.candidates):
        return found
    for run in earlier:
        if run.info.run_id not in keep:
            client.delete_run(run.info.run_id)
    tags = {_TARGET: card.target, _AS_OF: card.as_of, **same, **evidence.lineage}
    parent = client.create_run(
        experiment, tags={**tags, _KIND: "parent"}, run_name=f"{card.target} {card.as_of}"
    )
    runs = {"parent": parent.info.run_id}
    _log_parent(client, runs["parent"], evidence)
    for name in evidence.candidates:
        nested = {**tags, _KIND: name, "mlflow.parentRunId": runs["parent"]}
        runs[name] = client.create_run(experiment, tags=nested, run_name=f"{name} {card.as_of}").info.run_id
        _log_candidate(client, runs[name], evidence, name)
    # The parent ends last: evidence that a kill cut short has an unfinished parent and is logged again.
    for run_id in reversed(runs.values()):
        client.set_terminated(run_id)
    return runs


def _is_whole(run: Run, same: Mapping[str, str]) -> bool:
    return run.info.status == "FINISHED" and same.items() <= run.data.tags.items()


def _log_parent(client: MlflowClient, run_id: str, evidence: Evidence) -> None:
    card = evidence.card
    client.log_inputs(run_id, [dataset_input(evidence)])
    _log_params(client, run_id, flatten({**evidence.settings, "served": card.serve}))
    _log_metrics(client, run_id, figures(evidence.report, card.k))
    client.log_artifact(run_id, str(evidence.training / "selection.json"))
    client.log_artifact(run_id, str(evidence.training / "evaluation" / "per_user.parquet"))
    client.log_artifact(run_id, str(evidence.training / "evaluation" / "recall_by_cohort.png"))


def _log_candidate(client: MlflowClient, run_id: str, evidence: Evidence, name: str) -> None:
    card = evidence.card
    client.log_inputs(run_id, [dataset_input(evidence)])
    _log_params(client, run_id, flatten({**evidence.settings, "candidate": name, **_chosen(evidence, name)}))
    _log_metrics(client, run_id, figures(evidence.report, card.k, name))


def _chosen(evidence: Evidence, name: str) -> dict[str, Any]:
    """What validation chose: the whole selection for the bridge, its scorer by cohort for a peer."""
    if name == "bridge":
        return {"selection": evidence.selection}
    peers = evidence.selection.get("peers", {})
    return {"scorer": {cohort: names[name] for cohort, names in peers.items() if name in names}}


def log_card(client: MlflowClient, run_id: str, evidence: Evidence) -> None:
    """The review card and the facts, once the gate has spoken."""
    client.log_text(run_id, html(evidence.card), "review_card.html")
    client.log_text(run_id, markdown(evidence.card), "review_card.md")
    # In the version's own run too: newer evidence for the same as-of replaces the parent, never this one.
    client.log_text(run_id, evidence.facts.to_json(), FACTS_FILE)


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    entries = [Param(name[:250], value) for name, value in params.items()]
    for start in range(0, len(entries), 100):  # MLflow's limit for a batch
        client.log_batch(run_id, params=entries[start : start + 100])


def _log_metrics(client: MlflowClient, run_id: str, metrics: Mapping[str, float]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client.log_batch(run_id, metrics=[Metric(name, value, now, 0) for name, value in metrics.items()])


def dataset_input(evidence: Evidence) -> DatasetInput:
    """The Parquet snapshot as MLflow's training data: its place, its content digest and its size."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    manifest = json.loads((evidence.snapshot / "manifest.json").read_text())
    dataset = Dataset(
        name=f"snapshot {evidence.card.as_of}",
        digest=evidence.card.data_digest[:16],
        source_type="local",
        source=json.dumps({"uri": evidence.snapshot.as_uri()}),
        profile=json.dumps({key: manifest[key] for key in ("interactions", "items")}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
