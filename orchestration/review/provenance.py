"""Whether what a reviewer has read is about the very version that would be served.

A version's tags can be edited in MLflow, its run deleted and its files exchanged on disk. The tags are held
against what registry_reviews kept when the version was registered, the files against the digest in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestration.resources.evidence import folder_digest
from orchestration.resources.gatekeeper import Judged, local

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

    from orchestration.resources.registry import Registry


def edited_tags(version: ModelVersion, recorded: Mapping[str, str]) -> dict[str, str]:
    """Tags that no longer say what they said at registration, with what they said."""
    return {tag: value for tag, value in recorded.items() if version.tags.get(tag) != value}


def edits_in_words(version: ModelVersion, edited: Mapping[str, str]) -> str:
    """`served (says twin, was bridge)`, comma separated; digests shortened."""

    def short(value: str | None) -> str:
        return value[:12] if value else "nothing"

    said = ((tag, short(version.tags.get(tag)), short(was)) for tag, was in edited.items())
    return ", ".join(f"{tag} (says {says}, was {was})" for tag, says, was in said)


def foreign_evidence(registry: Registry, version: ModelVersion, with_verdict: bool = True) -> str | None:
    """Why a version's evidence is not that of its files, None where it is (the verdict included or not).

    The version's tags must have been checked before: `content_digest` is what files and figures are held
    against.
    """
    run = _run(registry, version)
    if run is None:
        return "its run, which holds its figures, was deleted in MLflow: restore the run"
    folder, figures = local(str(version.source)), run.data.tags.get("landbridge.evidence", "")
    parts = (
        folder_digest(folder / "artifacts" / version.tags["served"]),
        folder_digest(folder / "code" / "ml", "*.py"),
    )
    if hashlib.sha256("".join([*parts, figures]).encode()).hexdigest() != version.tags["content_digest"]:
        return f"its files or its figures are not those that were registered ({folder}): put them back"
    return _foreign_verdict(registry, version) if with_verdict else None


def _foreign_verdict(registry: Registry, version: ModelVersion) -> str | None:
    """Why the verdict in the run is not the one that the version was registered with."""
    if version.tags.get("gate") not in ("enabled", "dry_run"):
        return None  # it was registered without a verdict; one that was made later says nothing of its tag
    found = Judged.read(registry.client, str(version.run_id))
    if found is None:
        return "its run holds no verdict of the gate (gate.json): materialise its model_version again"
    if found.source != version.source:
        return "the gate's verdict in its run is about another model: materialise its model_version again"
    if found.verdict.passed != (version.tags.get("validation_status") == "passed"):
        return "the gate's verdict in its run (gate.json) is not what its tag validation_status says"
    return None


def _run(registry: Registry, version: ModelVersion) -> Run | None:
    from mlflow.exceptions import RESOURCE_DOES_NOT_EXIST, ErrorCode, MlflowException

    try:
        run = registry.client.get_run(str(version.run_id))
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None
