"""The MLflow store below LANDBRIDGE_HOME: SQLite for runs and versions, a folder for artifacts, no server.

The database is created under a file lock: of two processes that find it empty and migrate it, one fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestration.config import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",  # a `uv` project of the working directory is not the model's
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
# Else the default experiment, which nobody uses, points below the working directory.
_ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"


def connect(home: Home) -> MlflowClient:
    """A client of the store of `home`, which is created where it is missing; safe in parallel processes."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from filelock import FileLock
    from mlflow import MlflowClient

    artifacts = home.mlflow / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    with FileLock(home.mlflow / "create.lock"), _environment(_ARTIFACT_ROOT, artifacts.as_uri()):
        client = MlflowClient(home.tracking_uri, home.tracking_uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
    return client


def ensure_experiment(client: MlflowClient, home: Home, name: str) -> str:
    """The id of the experiment called `name`, its artifacts below the home."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(
                name, artifact_location=(home.mlflow / "artifacts" / name).as_uri()
            )
        except MlflowException:  # a parallel step created it in between
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return found.experiment_id


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
