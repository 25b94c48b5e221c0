"""The MLflow store below LANDBRIDGE_HOME: SQLite for runs and versions, a folder for artifacts, no server.

The database is created under a file lock: of two processes that find it empty and migrate it, one fails.
"Down" is what keeps the database from being read or written; whoever needs it says so in one line.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
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


_PATIENCE = 5.0  # seconds that another writer may take


class StoreDownError(Exception):
    """MLflow's store cannot be used now; the message says why and that nothing was lost."""


@contextmanager
def reachable(home: Home) -> Iterator[None]:
    """Turn what MLflow raises in the block, where its database cannot be used, into StoreDownError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise StoreDownError(_down(home, error)) from error


def _down(home: Home, error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    return (
        f"MLflow's store {home.mlflow / 'mlflow.db'} gives no answer ({reason}); what was decided before "
        "stays: try again, and see `landbridge doctor` if it goes on"
    )


def _check(home: Home) -> None:
    """Raise StoreDownError for a database that cannot be read; MLflow itself would try for minutes."""
    path = home.mlflow / "mlflow.db"
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_PATIENCE)) as connection:
            connection.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise StoreDownError(_down(home, error)) from error


def connect(home: Home) -> MlflowClient:
    """A client of the store of `home`, which is created where it is missing; safe in parallel processes.

    Raises StoreDownError where the database is there and cannot be read.
    """
    _check(home)
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
