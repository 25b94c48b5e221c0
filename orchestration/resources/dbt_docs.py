"""The documentation of the dbt project as one page that needs no server: lineage, grains, columns, tests."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from orchestration.config import Home
from orchestration.files import replaced_file
from orchestration.resources.dbt import PROJECT, dbt_environment


def write_docs() -> Path:
    """Write `dbt/docs/index.html` below the home and return its path.

    RuntimeError where there is no warehouse yet to read the columns from, or with dbt's own words.
    """
    home = Home()
    if not home.warehouse.exists():
        raise RuntimeError(f"{home.warehouse} does not exist yet; run `make run` first")
    page = home.root / "dbt" / "docs" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=page.parent) as folder:
        command = [str(Path(sys.executable).parent / "dbt"), "--quiet", "docs", "generate", "--static"]
        command += ["--project-dir", str(PROJECT), "--target-path", folder, "--log-path", folder]
        done = subprocess.run(command, env=dbt_environment(), cwd=PROJECT, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"dbt docs generate of {PROJECT} failed:\n{done.stdout}{done.stderr}")
        with replaced_file(page) as beside:
            (Path(folder) / "static_index.html").replace(beside)
    return page


if __name__ == "__main__":
    try:
        print(write_docs())
    except RuntimeError as error:
        sys.exit(str(error))
