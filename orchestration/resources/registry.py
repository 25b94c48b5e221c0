"""The model registry: one registered model for each target, its versions, and who decided what about them.

`champion` is what users get, `challenger` waits for a review. A version is created once for one content; the
decision about it is applied to the alias first and recorded last, so that a rerun completes a killed one.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml
from orchestration.config import Home
from orchestration.resources.evidence import Evidence, folder_digest, log_evidence
from orchestration.resources.mlflow_store import connect, ensure_experiment
from orchestration.resources.review_log import BY_PERSON, GATE, Decision, ReviewLog
from orchestration.resources.warehouse import Warehouse
from orchestration.review.card import markdown

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from ml.bridge import Recommender

CHAMPION, CHALLENGER = "champion", "challenger"
ENCODER_MODEL = "landbridge-encoder"  # of no target: see encoder_registry
_REQUIREMENTS = ("mlflow", "torch", "numpy", "scipy", "pyarrow", "pandas", "safetensors")
_ML_FOLDER = Path(ml.__file__).parent
_PYFUNC_CODE = Path(__file__).with_name("pyfunc_model.py")


class RegistryError(Exception):
    """A registry action that cannot be done; the message says what to do instead."""


def model_name(target: str) -> str:
    """The registered model and the experiment of a target."""
    return f"landbridge-{target}"


class Registry:
    """MLflow below LANDBRIDGE_HOME, together with the decisions kept in the warehouse."""

    def __init__(self, home: Home | None = None) -> None:
        self.home = home or Home()
        self.log = ReviewLog(Warehouse(root=str(self.home.root)))

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client; the database is created on first use."""
        return connect(self.home)

    # Versions

    def register(self, evidence: Evidence) -> ModelVersion:
        """Log the evidence and register the candidate the gate named; same content, same version."""
        card, name = evidence.card, model_name(evidence.card.target)
        known = self.versions(card.target)
        experiment = ensure_experiment(self.client, self.home, name)
        runs = log_evidence(self.client, experiment, evidence, keep={v.run_id for v in known if v.run_id})
        digest = content_digest(evidence)
        for version in known:
            if version.tags.get("content_digest") == digest and version.tags.get("as_of") == card.as_of:
                return version
        self._drop_unregistered(experiment, {v.source for v in known if v.source})
        tags = {
            **evidence.lineage,
            "as_of": card.as_of,
            "served": card.serve,
            "content_digest": digest,
            "data_digest": card.data_digest,
            "validation_status": "passed" if card.passed else "failed",
        }
        model_id = self._log_model(runs[card.serve], evidence.model, card.k, tags)
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name, description=_DESCRIPTION.format(target=card.target))
        source = self.client.get_logged_model(model_id).artifact_location
        version = self.client.create_model_version(
            name, source, runs[card.serve], tags=tags, description=markdown(card), model_id=model_id
        )
        # What `mlflow.register_model` sets too: the model's page in the UI names its version by this tag.
        registered = json.dumps([{"name": name, "version": int(version.version)}])
        self.client.set_logged_model_tags(model_id, {"mlflow.modelVersions": registered})
        return version

    def _drop_unregistered(self, experiment: str, sources: set[str]) -> None:
        """Delete models that a killed step logged and never registered."""
        for model in self.client.search_logged_models([experiment]):
            if model.artifact_location not in sources:
                self.client.delete_logged_model(model.model_id)

    def _log_model(self, run_id: str, folder: Path, k: int, tags: Mapping[str, str]) -> str:
        import mlflow
        import pandas as pd
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

        import ml.bridge  # loaded from here before MLflow puts its own copy of `ml` on the path

        recommender = ml.bridge.load(folder)
        example = pd.DataFrame({"user_id": [*map(str, recommender.user_ids[:2]), "an unknown user"]})
        columns = {
            "user_id": "string",
            "item_id": "string",
            "score": "float",
            "rank": "integer",
            "reason": "string",
        }
        signature = ModelSignature(
            inputs=Schema([ColSpec(DataType.string, "user_id")]),
            outputs=Schema([ColSpec(DataType[kind], name) for name, kind in columns.items()]),
            params=ParamSchema([ParamSpec("k", DataType.long, k)]),
        )
        with fluent(self.home, run_id):
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(_PYFUNC_CODE),
                artifacts={"model": str(folder)},
                code_paths=[str(_ML_FOLDER)],
                signature=signature,
                input_example=(example, {"k": k}),
                pip_requirements=[
                    f"{name}=={public_release(installed_version(name))}" for name in _REQUIREMENTS
                ],
                tags=dict(tags),
            )
        return logged.model_id

    def versions(self, target: str) -> list[ModelVersion]:
        """Every version of the target, the newest first; tags and aliases included."""
        found = self.client.search_model_versions(f"name = '{model_name(target)}'", max_results=10_000)
        return sorted(found, key=lambda version: -int(version.version))

    def version(self, target: str, number: int) -> ModelVersion:
        """One version, or a RegistryError that lists those that exist."""
        found = self.versions(target)
        for version in found:
            if int(version.version) == number:
                return version
        known = ", ".join(str(v.version) for v in reversed(found)) or "none"
        raise RegistryError(f"{model_name(target)} has no version {number}; it has: {known}")

    def aliases(self, target: str) -> dict[str, int]:
        """The version each alias points to; empty where the target has no model."""
        models = self.client.search_registered_models(f"name = '{model_name(target)}'")
        return {alias: int(number) for alias, number in models[0].aliases.items()} if models else {}

    def champion(self, target: str) -> ModelVersion | None:
        """The version users get, None where none was approved yet."""
        number = self.aliases(target).get(CHAMPION)
        return None if number is None else self.version(target, number)

    def model_folder(self, version: ModelVersion) -> Path:
        """The folder of a version's recommender, for `ml.bridge.load`."""
        import mlflow

        local = mlflow.artifacts.download_artifacts(version.source, tracking_uri=self.home.tracking_uri)
        return Path(local) / "artifacts" / version.tags["served"]

    def load(self, version: ModelVersion) -> Recommender:
        """A version's recommender, in this process and without MLflow's wrapper."""
        import ml.bridge

        return ml.bridge.load(self.model_folder(version))

    # Decisions

    def promote(self, version: ModelVersion, target: str, mode: str) -> str:
        """Apply the promotion mode (auto | manual | off) to a version and return what was decided.

        A version whose as-of lies before the champion's is `superseded`: a backfill of the past moves no
        alias. What a person decided, about this version or by choosing the champion after it, stays.
        """
        number, champion = int(version.version), self.champion(target)
        latest = self.log.latest(version.name, number)
        if latest and (latest.decision in BY_PERSON or self._chosen_by_person(champion)):
            return latest.decision
        older = champion is not None and champion.tags["as_of"] > version.tags["as_of"]
        decision = {"auto": "promoted", "manual": "queued", "off": "registered"}[mode]
        if older and mode != "off":
            decision = "superseded"
        is_champion = champion is not None and int(champion.version) == number
        if latest and (is_champion or latest.decision == decision != "promoted"):
            return latest.decision
        if decision in _ALIAS:
            self.client.set_registered_model_alias(version.name, _ALIAS[decision], version.version)
        self._tag(version, review="pending" if decision == "queued" else "none")
        self._record(version, GATE, decision, f"promotion mode {mode}")
        return decision

    def _chosen_by_person(self, champion: ModelVersion | None) -> bool:
        latest = self.log.latest(champion.name, int(champion.version)) if champion else None
        return latest is not None and latest.decision in BY_PERSON

    def review_list(self, target: str | None = None) -> list[dict[str, Any]]:
        """Every version with its state, the newest first of each target, as plain rows."""
        names = [target] if target else self.targets()
        return [row for name in names for row in self._rows(name)]

    def review_show(self, target: str, number: int) -> dict[str, Any]:
        """One version: its row, its review card (markdown) and the decisions about it, oldest first."""
        version = self.version(target, number)
        row = next(row for row in self._rows(target) if row["version"] == number)
        return {**row, "card": version.description, "history": self.log.rows(version.name, number)}

    def approve(self, target: str, number: int, by: str, note: str = "") -> ModelVersion:
        """Make a version champion; approving an older version is the rollback."""
        version, before = self.version(target, number), self.champion(target)
        self.client.set_registered_model_alias(version.name, CHAMPION, version.version)
        if before and int(before.version) != number:
            self._tag(before, review="replaced", review_recorded="replaced")
        return self._decide(target, version, "approved", by, note)

    def reject(self, target: str, number: int, by: str, note: str = "") -> ModelVersion:
        """Turn a version down; the champion cannot be rejected, only replaced."""
        version = self.version(target, number)
        if self.aliases(target).get(CHAMPION) == number:
            raise RegistryError(f"{version.name} {number} is the champion: approve another version instead")
        return self._decide(target, version, "rejected", by, note)

    def undecided(self, target: str) -> list[ModelVersion]:
        """Versions whose tag `review` somebody set in MLflow's UI and that is not carried out yet."""
        return [
            version
            for version in self.versions(target)
            if version.tags.get("review") in BY_PERSON
            and version.tags["review"] != version.tags.get("review_recorded")
        ]

    def apply_tag(self, target: str, version: ModelVersion) -> str:
        """Carry out a decision set in MLflow's UI and say what was done; an impossible one is taken back."""
        decision, by = version.tags["review"], version.tags.get("reviewed_by") or "MLflow UI"
        act = self.approve if decision == "approved" else self.reject
        try:
            act(target, int(version.version), by, "set in MLflow")
        except RegistryError as error:
            self._tag(version, review=version.tags.get("review_recorded", "none"))
            return f"not done, the tag was set back: {error}"
        return f"{version.name} {version.version} {decision} by {by}"

    def _rows(self, target: str) -> list[dict[str, Any]]:
        aliases = self.aliases(target)
        return [
            {
                "target": target,
                "version": int(version.version),
                "aliases": sorted(
                    alias for alias, number in aliases.items() if number == int(version.version)
                ),
                **{tag: version.tags.get(tag, "") for tag in _SHOWN_TAGS},
            }
            for version in self.versions(target)
        ]

    def targets(self) -> list[str]:
        """Targets that have a registered model, sorted."""
        prefix = model_name("")
        models = self.client.search_registered_models(max_results=1000)
        names = [m.name for m in models if m.name.startswith(prefix) and m.name != ENCODER_MODEL]
        return sorted(name.removeprefix(prefix) for name in names)

    def _decide(self, target: str, version: ModelVersion, decision: str, by: str, note: str) -> ModelVersion:
        if self.aliases(target).get(CHALLENGER) == int(version.version):
            self.client.delete_registered_model_alias(version.name, CHALLENGER)
        self._tag(version, review=decision, reviewed_by=by)
        self._record(version, by, decision, note)
        # Last: until this tag is set, the sensor sees a decision that is not carried out.
        count = int(version.tags.get("decisions", 0)) + 1
        self._tag(version, decisions=str(count), review_recorded=decision)
        return self.client.get_model_version(version.name, version.version)

    def _tag(self, version: ModelVersion, **tags: str) -> None:
        for key, value in tags.items():
            self.client.set_model_version_tag(version.name, version.version, key, value)

    def _record(self, version: ModelVersion, by: str, decision: str, note: str) -> None:
        digests = version.tags["content_digest"], version.tags["data_digest"]
        number = int(version.version)
        self.log.append(Decision(datetime.now(UTC), by, version.name, number, decision, note, *digests))


_SHOWN_TAGS = (
    "as_of",
    "served",
    "validation_status",
    "review",
    "reviewed_by",
    "content_digest",
    "data_digest",
)
_ALIAS = {"promoted": CHAMPION, "queued": CHALLENGER}
_DESCRIPTION = (
    "Recommends {target} items to users of any domain. Each version is the candidate its gate named (tag "
    "`served`); `champion` is what users get. To review: read the version's description, then set its tag "
    "`review` to `approved` or `rejected`, or run `landbridge review`."
)


def content_digest(evidence: Evidence) -> str:
    """SHA-256 of all that a version carries: weights, the code that runs them, the figures that judge it."""
    parts = folder_digest(evidence.model), folder_digest(_ML_FOLDER, pattern="*.py"), evidence.digest
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def public_release(release: str) -> str:
    """A version without its local part: `2.13.0+cpu` names a build that other indexes do not have."""
    return release.partition("+")[0]


@contextmanager
def fluent(home: Home, run_id: str) -> Iterator[None]:
    """MLflow's fluent interface set to our store and one run, and put back, `sys.path` included."""
    import mlflow

    uri, path = mlflow.get_tracking_uri(), list(sys.path)
    mlflow.set_tracking_uri(home.tracking_uri)
    try:
        with mlflow.start_run(run_id=run_id):
            yield
    finally:
        mlflow.set_tracking_uri(uri)
        sys.path[:] = path
