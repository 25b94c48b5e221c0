"""The dbt project as Dagster needs it: a manifest that is never stale, and all state below LANDBRIDGE_HOME.

dagster-dbt prepares the manifest only under its development CLI; headless runs and tests need it too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import metadata
from pathlib import Path

from dagster_dbt import DbtCliResource, DbtProject
from packaging.version import Version

from orchestration.config import Home
from orchestration.landing.loading import Span

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
SPAN = "LANDBRIDGE_SPAN"  # dbt_project/macros/span.sql reads it
_PARSED = ("*.yml", "models/**/*", "snapshots/**/*", "macros/**/*", "tests/**/*")
_RUNS_KEPT = 5


def project_hash(folder: Path = PROJECT) -> str:
    """SHA-256 over every file that dbt parses, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(p for pattern in _PARSED for p in folder.glob(pattern) if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def dbt_environment() -> dict[str, str]:
    """The environment of a dbt process: which warehouse, and which profile."""
    return {**os.environ, "LANDBRIDGE_WAREHOUSE": str(Home().warehouse), "DBT_PROFILES_DIR": str(PROJECT)}


def _parse(target: Path, stamp: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [
            str(Path(sys.executable).parent / "dbt"),
            "--quiet",
            "parse",
            "--project-dir",
            str(PROJECT),
        ]
        command += ["--target-path", folder, "--log-path", folder]
        done = subprocess.run(command, env=dbt_environment(), cwd=PROJECT, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"dbt parse of {PROJECT} failed:\n{done.stdout}{done.stderr}")
        target.mkdir(exist_ok=True)
        # The manifest last but one, the stamp last: a parse that was killed is done again.
        for name in ("partial_parse.msgpack", "manifest.json"):
            (Path(folder) / name).replace(target / name)
        (Path(folder) / "stamp").write_text(stamp)
        (Path(folder) / "stamp").replace(target / "stamp")


def dbt_project() -> DbtProject:
    """The project with its manifest, parsed again when any file of it has changed since.

    Raises RuntimeError with dbt's own words where the project does not parse.
    """
    target, stamp = Home().root / "dbt", project_hash()
    known = target / "stamp"
    if not known.exists() or known.read_text() != stamp:
        _parse(target, stamp)
    # dbt runs in the project's folder and reads these: both must be absolute, and nothing is written there.
    os.environ["LANDBRIDGE_WAREHOUSE"] = str(Home().warehouse)
    os.environ["DBT_TARGET_PATH"] = str(target)
    return DbtProject(project_dir=PROJECT, profiles_dir=PROJECT, target_path=target)


def forget_old_runs(op: str, kept: int = _RUNS_KEPT) -> None:
    """Remove the folders that earlier runs of an op left: dagster-dbt makes one of 2 MB for each.

    The newest are kept: they hold dbt's log and the SQL as it ran.
    """
    folders = sorted((Home().root / "dbt").glob(f"{op}-*"), key=lambda folder: folder.stat().st_mtime)
    for folder in folders[: max(len(folders) - kept, 0)]:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def covering(span: Span | None) -> Iterator[None]:
    """Limit the dbt commands that are started inside to the windows of a span; None is all of them."""
    before = os.environ.pop(SPAN, None)
    if span is not None:
        windows = {"domains": span.domains, "start": str(span.start), "end": str(span.end)}
        os.environ[SPAN] = json.dumps(windows)
    try:
        yield
    finally:
        os.environ.pop(SPAN, None)
        if before is not None:
            os.environ[SPAN] = before


class InstalledDbt(DbtCliResource):
    """dagster-dbt runs `dbt --version` before each invocation (2 s); the package says it at once."""

    @cached_property
    def _cli_version(self) -> Version:
        return Version(metadata.version("dbt-core"))


def dbt_resource(project: DbtProject) -> DbtCliResource:
    """The dbt command line on that project."""
    executable = Path(sys.executable).parent / "dbt"
    return InstalledDbt(
        project_dir=project,  # type: ignore[arg-type]  # a validator takes the project
        dbt_executable=str(executable),
        global_config_flags=["--no-use-colors"],
    )
