"""Fine-tuned encoders in MLflow: the model `landbridge-encoder`, one version for each adapter.

`champion` is the newest version that its gate let pass. The alias is for people and other programs: what
Landbridge itself embeds with is decided by encoders/<as_of>/decision.json (`orchestration.adapters`).
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml
from orchestration.adapters import ADAPTER, DECISION, Adapters
from orchestration.config import Config, Home
from orchestration.resources.evidence import folder_digest
from orchestration.resources.logged_model import fluent, public_release
from orchestration.resources.mlflow_store import connect, ensure_experiment
from orchestration.resources.registry import CHAMPION, ENCODER_MODEL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_REQUIREMENTS = ("mlflow", "torch", "transformers", "peft", "numpy", "pandas", "safetensors")
_PYFUNC_CODE = Path(__file__).with_name("pyfunc_encoder.py")
_DESCRIPTION = (
    "The text encoder fine-tuned on what the same users took up together (LoRA). A version passed its gate "
    "(tag `gate`) where the recall of the text-only bridge is higher than with the base encoder."
)


def register_encoder(home: Home, config: Config, as_of: str, run_id: str) -> ModelVersion:
    """A version for the fine-tuning of an as-of; the same adapter and figures are one version."""
    client, folder = connect(home), Adapters(config, home).folder(as_of)
    decision = json.loads((folder / DECISION).read_text(encoding="utf-8"))
    digest = _content_digest(folder / ADAPTER, decision)
    for version in _versions(client):
        if version.tags.get("content_digest") == digest:
            _point(client, version, decision)
            return version
    experiment = ensure_experiment(client, home, ENCODER_MODEL)
    tags = {
        "as_of": as_of,
        "data_digest": decision["data_digest"],
        "content_digest": digest,
        "encoder": decision["encoder"],
        "gate": "passed" if decision["passed"] else "failed",
        "lift": f"{decision['lift']['difference']['mean']:+.5f}",
        "dagster_run_id": run_id,
    }
    run = client.create_run(experiment, run_name=as_of, tags=tags).info.run_id
    for name, value in figures(decision).items():
        client.log_metric(run, name, value)
    client.log_dict(run, decision, DECISION)
    model_id = _log_model(home, config, run, folder / ADAPTER, decision, tags)
    client.set_terminated(run)
    if not client.search_registered_models(f"name = '{ENCODER_MODEL}'"):
        client.create_registered_model(ENCODER_MODEL, description=_DESCRIPTION)
    source = client.get_logged_model(model_id).artifact_location
    version = client.create_model_version(
        ENCODER_MODEL, source, run, tags=tags, description=decision["reason"], model_id=model_id
    )
    _point(client, version, decision)
    return version


def figures(decision: dict[str, Any]) -> dict[str, float]:
    """The gate's figures and the training's by MLflow name; those that could not be measured are left out."""
    found = {
        f"{name}{part}": decision["lift"][name][key]
        for name in ("base", "adapted", "difference")
        for part, key in (("", "mean"), ("_ci_low", "low"), ("_ci_high", "high"))
    }
    for objective in ("mlm", "contrastive"):
        course = decision["training"].get(objective, {})
        for figure in ("held_out_loss", "held_out_accuracy"):
            for side, value in course.get(figure, {}).items():
                found[f"{objective}_{figure}_{side}"] = value
    return {name: float(value) for name, value in found.items() if value == value}


def _versions(client: MlflowClient) -> list[ModelVersion]:
    found = client.search_model_versions(f"name = '{ENCODER_MODEL}'", max_results=10_000)
    return sorted(found, key=lambda version: -int(version.version))


def _point(client: MlflowClient, version: ModelVersion, decision: dict[str, Any]) -> None:
    """Make a version that passed champion, unless the champion is of a later as-of: that stays."""
    models = client.search_registered_models(f"name = '{ENCODER_MODEL}'")
    number = models[0].aliases.get(CHAMPION) if models else None
    champion = next((v for v in _versions(client) if str(v.version) == str(number)), None)
    if decision["passed"] and (champion is None or champion.tags["as_of"] <= version.tags["as_of"]):
        client.set_registered_model_alias(ENCODER_MODEL, CHAMPION, version.version)


def _content_digest(adapter: Path, decision: dict[str, Any]) -> str:
    judged = [decision[key] for key in ("as_of", "data_digest", "encoder", "passed", "lift")]
    parts = folder_digest(adapter), folder_digest(Path(ml.__file__).parent, "*.py"), json.dumps(judged)
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _log_model(
    home: Home, config: Config, run: str, adapter: Path, decision: dict[str, Any], tags: dict[str, str]
) -> str:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    from orchestration.features import text_encoder

    encoder = text_encoder(config, adapter)
    known = encoder.config
    settings = {
        "base_digest": encoder.source.digest,
        "config": {
            "model": known.model,
            "revision": known.revision,
            "max_tokens": known.max_tokens,
            "precision": known.precision,
            "pooling": encoder.pooling,
            "document_prefix": known.document_prefix,
            "query_prefix": known.query_prefix,
        },
    }
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "text")]),
        outputs=Schema([ColSpec(Array(DataType.double), "vector")]),
    )
    with tempfile.TemporaryDirectory() as scratch, fluent(home, run):
        folder = Path(scratch) / "encoder"
        folder.mkdir()
        (folder / "encoder.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
        (folder / "adapter").mkdir()
        for path in adapter.iterdir():
            (folder / "adapter" / path.name).write_bytes(path.read_bytes())
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(_PYFUNC_CODE),
            artifacts={"encoder": str(folder)},
            code_paths=[str(Path(ml.__file__).parent)],
            signature=signature,
            pip_requirements=[f"{name}=={public_release(installed_version(name))}" for name in _REQUIREMENTS],
            tags=dict(tags),
        )
    return str(logged.model_id)
