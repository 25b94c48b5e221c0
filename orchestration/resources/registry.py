"""The model registry: one registered model for each target, its versions, and who decided what about them.

`champion` is what users get, `challenger` waits for a review. A version is created once for one content; the
decision about it is applied to the alias first and recorded last, so that a rerun completes a killed one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.config import Home
from orchestration.resources.evidence import Evidence, log_card, log_evidence
from orchestration.resources.gatekeeper import Judged, judged, with_verdict
from orchestration.resources.logged_model import drop_unregistered, log_model
from orchestration.resources.mlflow_store import connect, ensure_experiment
from orchestration.resources.review_log import BY_PERSON, GATE, GUARDED_TAGS, Decision, ReviewLog
from orchestration.resources.warehouse import Warehouse
from orchestration.review.card import description
from orchestration.review.champion_line import said, successor
from orchestration.review.gating import as_tags, is_refused

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from ml.bridge import Recommender
    from ml.metrics.gate import Verdict

CHAMPION, CHALLENGER = "champion", "challenger"
ENCODER_MODEL = "landbridge-encoder"  # of no target: see encoder_registry


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
        digest = evidence.digests["content"]
        for version in known:
            if version.tags.get("content_digest") == digest and version.tags.get("as_of") == card.as_of:
                return self._judged_again(version, evidence, runs)
        drop_unregistered(self.client, experiment, {v.source for v in known if v.source})
        tags = {
            **evidence.lineage,
            "as_of": card.as_of,
            "served": card.serve,
            "content_digest": digest,
            "data_digest": card.data_digest,
        }
        model_id = log_model(self.home, runs[card.serve], evidence.model, card.k, tags)
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name, description=_DESCRIPTION.format(target=card.target))
        source, run_id = self.client.get_logged_model(model_id).artifact_location, runs[card.serve]
        found = judged(evidence, source)
        self._log_verdict(evidence, found, runs)
        tags |= as_tags(evidence.gate, card.passed, found.verdict if found else None)
        text = description(with_verdict(evidence, found).card)
        version = self.client.create_model_version(
            name, source, run_id, tags=tags, description=text, model_id=model_id
        )
        # What `mlflow.register_model` sets too: the model's page in the UI names its version by this tag.
        registered = json.dumps([{"name": name, "version": int(version.version)}])
        self.client.set_logged_model_tags(model_id, {"mlflow.modelVersions": registered})
        return version

    def _judged_again(
        self, version: ModelVersion, evidence: Evidence, runs: Mapping[str, str]
    ) -> ModelVersion:
        """A known version, held to what the gate asks today; what somebody decided on keeps its verdict."""
        latest = self.log.latest(version.name, int(version.version))
        decided = latest is not None and latest.decision in BY_PERSON
        is_champion = self.aliases(evidence.card.target).get(CHAMPION) == int(version.version)
        before = Judged.read(self.client, str(version.run_id))
        if before and (decided or is_champion):
            return version
        found = judged(evidence, str(version.source), before)
        tags = as_tags(evidence.gate, evidence.card.passed, found.verdict if found else None)
        if found == before and tags.items() <= version.tags.items():
            return version
        if decided or is_champion:
            if found:
                found.write(self.client, str(version.run_id))
            return version
        self._log_verdict(evidence, found, runs)
        self.tag(version, **tags)
        text = description(with_verdict(evidence, found).card)
        self.client.update_model_version(version.name, version.version, text)
        return self.client.get_model_version(version.name, version.version)

    def _log_verdict(self, evidence: Evidence, found: Judged | None, runs: Mapping[str, str]) -> None:
        """The card with the verdict on it; the verdict last, as what says that the trial was made."""
        for name in ("parent", evidence.card.serve):
            log_card(self.client, runs[name], with_verdict(evidence, found))
        if found:
            found.write(self.client, runs[evidence.card.serve])

    def verdict(self, version: ModelVersion) -> Verdict | None:
        """What the gate said of a version; None where it was not asked."""
        found = Judged.read(self.client, str(version.run_id))
        return found.verdict if found else None

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
        if not found:
            raise RegistryError(self.unknown(target))
        known = ", ".join(str(v.version) for v in reversed(found))
        raise RegistryError(f"{model_name(target)} has no version {number}; it has: {known}")

    def unknown(self, target: str) -> str:
        """What to say of a target without a version."""
        known = ", ".join(self.targets()) or "none yet; `landbridge run` registers one for each target"
        return f"there is no version of a target {target!r}; targets with versions: {known}"

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

        A version that the gate refuses is `refused` in every mode. One whose as-of lies before the champion's
        is `superseded`: a backfill of the past moves no alias. What a person decided, about this version or
        by choosing the champion since its last decision, stays.
        """
        number, champion = int(version.version), self.champion(target)
        latest = self.log.latest(version.name, number)
        same = latest is not None and guarded_tags(version) == json.loads(latest.tags)
        chosen = latest is not None and self._chosen_since(latest, champion)
        if latest and (latest.decision in BY_PERSON or (chosen and same)):
            return latest.decision
        older = champion is not None and champion.tags["as_of"] > version.tags["as_of"]
        decision = {"auto": "promoted", "manual": "queued", "off": "registered"}[mode]
        if (older and mode != "off") or (chosen and decision == "promoted"):
            decision = "superseded"
        if is_refused(version):
            decision = "refused"
        is_champion = champion is not None and int(champion.version) == number
        settled = latest is not None and latest.decision == decision != "promoted"
        if latest and (is_champion or (settled and same)):
            return latest.decision
        if decision == "promoted":
            self.crown(target, version)
        elif decision == "queued":
            self.client.set_registered_model_alias(version.name, CHALLENGER, version.version)
        elif self.aliases(target).get(CHALLENGER) == number:  # it waited for a review that it will not get
            self.client.delete_registered_model_alias(version.name, CHALLENGER)
        self.tag(version, review=said(decision))
        note = f"failed: {version.tags['gate_failed']}" if decision == "refused" else f"promotion mode {mode}"
        self.record(version, GATE, decision, note)
        return decision

    def crown(self, target: str, version: ModelVersion) -> None:
        """Point `champion` to a version. The one it replaces is tagged so: a tag that still said `approved`
        could not be set to it in MLflow once more.
        """
        before = self.champion(target)
        self.client.set_registered_model_alias(version.name, CHAMPION, version.version)
        if before and before.version != version.version:
            self.tag(before, review="replaced", review_recorded="replaced")

    def _chosen_since(self, before: Decision, champion: ModelVersion | None) -> bool:
        latest = self.log.latest(champion.name, int(champion.version)) if champion else None
        return latest is not None and latest.decision in BY_PERSON and latest.decided_at >= before.decided_at

    def review_list(self, target: str | None = None) -> list[dict[str, Any]]:
        """Every version with its state, the newest first of each target, as plain rows."""
        names = [target] if target else self.targets()
        return [row for name in names for row in self._rows(name)]

    def review_show(self, target: str, number: int) -> dict[str, Any]:
        """One version: its row, its review card (markdown), the decisions about it, oldest first, and the one
        that made another champion in its place.
        """
        version = self.version(target, number)
        row = next(row for row in self._rows(target) if row["version"] == number)
        rows = self.log.rows(version.name)
        history = [decision for decision in rows if decision.version == number]
        return {**row, "card": version.description, "history": history, "successor": successor(rows, number)}

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

    def tag(self, version: ModelVersion, **tags: str) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(version.name, version.version, key, value)

    def record(self, version: ModelVersion, by: str, decision: str, note: str) -> None:
        """Append a row to registry_reviews: who decided what about which content."""
        digests = version.tags["content_digest"], version.tags["data_digest"]
        said = json.dumps(guarded_tags(version))
        number = int(version.version)
        self.log.append(Decision(datetime.now(UTC), by, version.name, number, decision, note, *digests, said))


_SHOWN_TAGS = ("as_of", "served", "validation_status", "gate", "review", "reviewed_by", "review_problem")
_DESCRIPTION = (
    "Recommends {target} items to users of any domain. Each version is the candidate its gate named (tag "
    "`served`); `champion` is what users get. To review: read the version's description, then set its tag "
    "`reviewed_by` to your name and `review` to `approved` or `rejected`, or run `landbridge review`. Leave "
    "the aliases alone: they follow decisions."
)


def guarded_tags(version: ModelVersion) -> dict[str, str]:
    """What a version says of itself and nobody may edit."""
    return {tag: version.tags[tag] for tag in GUARDED_TAGS if tag in version.tags}
