"""Whether a logged model predicts where nothing of its training is: no repository, no settings, no memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml.metrics.gate import Trial

PROGRAM = Path(__file__).with_name("predict_alone.py")
STRANGER = "landbridge: a user that nobody knows"
KNOWN_USERS = 50
ROUNDS = 100  # of one user's list; the first WARM_UP are not counted
WARM_UP = 5
PATIENCE = 600  # seconds
# What would lead the process back to this one's code or store.
_LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "LANDBRIDGE_HOME")


def tried(model: Path, users: Sequence[str], k: int) -> Trial:
    """Load the MLflow model of a folder in a fresh interpreter and ask it for `users` and for a stranger.

    Passed if every one of them gets a list, by the code that the version carries.
    """
    import numpy as np

    from ml.metrics.gate import Trial

    asked = {"model": str(model), "users": list(users), "stranger": STRANGER, "k": k, "rounds": ROUNDS}
    try:
        done = _run(asked)
    except subprocess.TimeoutExpired:
        return Trial(False, f"In a process of its own the version had no list after {PATIENCE} s.")
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Trial(False, f"In a process of its own the version does not predict: {said[-1][:300]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    p95 = float(np.quantile(answer["milliseconds"][WARM_UP:], 0.95))
    if wrong := _wrong(answer, model, users, k):
        return Trial(False, f"In a process of its own the version loads, but {wrong}.", p95)
    known = f"{len(users)} users it knows" if users else "nobody it knows, as there is nobody"
    words = f"In a process of its own the version loads and lists for {known} and for one it does not know."
    return Trial(True, words, p95)


def some_users(model: Path) -> list[str]:
    """Up to KNOWN_USERS ids from the whole range of those that a recommender's folder knows."""
    import pyarrow.parquet as pq

    ids = pq.read_table(model / "users.parquet").column(0)
    return [str(user) for user in ids[:: max(1, -(-len(ids) // KNOWN_USERS))].to_pylist()]


def _run(asked: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    with tempfile.TemporaryDirectory() as elsewhere:
        return subprocess.run(
            [sys.executable, "-IB", str(PROGRAM)],  # without bytecode: the model's folder stays as it is
            input=json.dumps(asked),
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )


def _wrong(answer: dict[str, Any], model: Path, users: Sequence[str], k: int) -> str:
    """What an answer lacks, as a clause; empty where it lacks nothing."""
    if not Path(answer["code"]).resolve().is_relative_to(model.resolve()):
        return f"runs the code of {answer['code']} and not its own"
    listed = answer["users"]
    missing = [user for user in (*users, STRANGER) if not 0 < listed.get(user, 0) <= k]
    if missing:
        return f"{len(missing)} of {len(users) + 1} users get no list of 1 to {k} items, as {missing[0]!r}"
    return "" if answer["finite"] else "gives scores that are no numbers"
