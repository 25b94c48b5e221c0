"""A recommender as MLflow's model: its files, the code that runs them, and what goes in and comes out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING

import ml
from orchestration.config import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

_REQUIREMENTS = ("mlflow", "torch", "numpy", "scipy", "pyarrow", "pandas", "safetensors")
_ML_FOLDER = Path(ml.__file__).parent
_PYFUNC_CODE = Path(__file__).with_name("pyfunc_model.py")
_COLUMNS = {"user_id": "string", "item_id": "string", "score": "float", "rank": "integer", "reason": "string"}


def log_model(home: Home, run_id: str, folder: Path, k: int, tags: Mapping[str, str]) -> str:
    """Log the recommender saved in `folder` with a run, lists being of length k; its model id."""
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    import ml.bridge  # loaded from here before MLflow puts its own copy of `ml` on the path

    recommender = ml.bridge.load(folder)
    example = pd.DataFrame({"user_id": [*map(str, recommender.user_ids[:2]), "an unknown user"]})
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "user_id")]),
        outputs=Schema([ColSpec(DataType[kind], name) for name, kind in _COLUMNS.items()]),
        params=ParamSchema([ParamSpec("k", DataType.long, k)]),
    )
    with fluent(home, run_id):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(_PYFUNC_CODE),
            artifacts={"model": str(folder)},
            code_paths=[str(_ML_FOLDER)],
            signature=signature,
            input_example=(example, {"k": k}),
            pip_requirements=[f"{name}=={public_release(installed_version(name))}" for name in _REQUIREMENTS],
            tags=dict(tags),
        )
    return logged.model_id


def drop_unregistered(client: MlflowClient, experiment: str, sources: set[str]) -> None:
    """Delete models that a killed step logged and never registered; sources: where registered ones lie."""
    for model in client.search_logged_models([experiment]):
        if model.artifact_location not in sources:
            client.delete_logged_model(model.model_id)


def public_release(release: str) -> str:
    """A version without its local part: `2.13.0+cpu` names a build that other indexes do not have."""
    return release.partition("+")[0]


@contextmanager
def fluent(home: Home, run_id: str) -> Iterator[None]:
    """MLflow's fluent interface set to our store and one run, and put back, `sys.path` included.

    Without bytecode: MLflow imports what it logs, and the model's folder is to hold what it held then.
    """
    import mlflow

    uri, path, no_bytecode = mlflow.get_tracking_uri(), list(sys.path), sys.dont_write_bytecode
    mlflow.set_tracking_uri(home.tracking_uri)
    sys.dont_write_bytecode = True
    try:
        with mlflow.start_run(run_id=run_id):
            yield
    finally:
        mlflow.set_tracking_uri(uri)
        sys.path[:] = path
        sys.dont_write_bytecode = no_bytecode
