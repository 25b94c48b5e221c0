"""A review as a person does it: read the card in MLflow, set the tag, see users get the version; go back.

Dagster and MLflow run as `landbridge ui` starts them, and a real browser does what a reviewer's hands do.
With LANDBRIDGE_SCREENSHOTS set to a folder, what the reviewer saw is kept there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from test_ui import free_port, processes_of

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds that servers, a sensor's next tick and its run may take on a busy machine
TARGET = "books"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser on the PATH"),
]


@dataclass(frozen=True)
class Installation:
    """A home with two versions of every target that wait for a review."""

    config: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        named = {"LANDBRIDGE_CONFIG": str(self.config), "LANDBRIDGE_HOME": str(self.home)}
        return {**os.environ, **named, "PYTHONPATH": str(ROOT)}

    def landbridge(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "orchestration.cli", *arguments]
        done = subprocess.run(
            command, cwd=self.home.parent, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def served(self) -> tuple[int | None, list[str]]:
        """The version that made the recommendations users get, and those of the first users."""
        path = self.home / "recommendations" / f"{TARGET}.parquet"
        if not path.exists():
            return None, []
        version = int(pq.read_schema(path).metadata[b"model_version"])
        return version, pq.read_table(path)["item_id"].to_pylist()[:200]


@pytest.fixture(scope="module")
def installation(tmp_path_factory) -> Installation:
    folder = tmp_path_factory.mktemp("review")
    document = yaml.safe_load((ROOT / "landbridge.yaml").read_text())
    document |= {"demo": {"size": "tiny"}, "promotion": {"mode": "manual"}}
    document["domains"] = {name: document["domains"][name] for name in ("books", "films")}
    made = Installation(folder / "landbridge.yaml", folder / "home")
    made.config.write_text(yaml.safe_dump(document, sort_keys=False))
    for as_of in ("2026-02-10", "2026-03-01"):
        made.landbridge("run", "--as-of", as_of)
    return made


@pytest.fixture(scope="module")
def ports(installation, tmp_path_factory) -> Iterator[tuple[int, int]]:
    """`landbridge ui`, ended by an interrupt that leaves no process behind."""
    dagster, mlflow = free_port(), free_port()
    command = [sys.executable, "-m", "orchestration.cli", "ui"]
    command += ["--dagster-port", str(dagster), "--mlflow-port", str(mlflow)]
    said = tmp_path_factory.mktemp("ui") / "output"
    with said.open("w") as output:
        ui = subprocess.Popen(
            command, cwd=said.parent, env=installation.environment, stdout=output, stderr=output
        )
        try:
            until(lambda: ui.poll() is not None or "Ctrl-C" in said.read_text(), "both servers to start")
            assert ui.poll() is None, said.read_text()
            yield dagster, mlflow
        finally:
            ui.send_signal(signal.SIGINT)
            ended = ui.wait(timeout=60)
    assert ended == 0
    assert processes_of(installation.home) == set()


@pytest.fixture(scope="module")
def page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(PATIENCE * 1000)
        yield page
        browser.close()


def until(happens: Callable[[], object], what: str) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(1)


def keep(page, name: str) -> None:
    """A picture of what the reviewer sees, where somebody wants it."""
    if folder := os.environ.get("LANDBRIDGE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def switch_on(page, dagster: int, sensor: str) -> None:
    """In Dagster's list of automations, as it stands stopped after an installation."""
    page.goto(f"http://127.0.0.1:{dagster}/automation")
    row = page.locator("[data-index]").filter(has_text=sensor).first
    switch = row.locator("label[class*=formatSwitch]")
    switch.click()
    until(switch.locator("input").is_checked, f"{sensor} to be switched on")


def set_review(page, mlflow: int, version: int, decision: str) -> None:
    """Open the version, see its card, change its tag `review`."""
    page.goto("about:blank")  # the address differs after the # only: without this nothing is loaded again
    page.goto(f"http://127.0.0.1:{mlflow}/#/models/landbridge-{TARGET}/versions/{version}")
    page.get_by_text("Known limits").first.wait_for()
    keep(page, f"version-{version}-{decision}")
    tag = page.locator("tr[data-row-key=review]")
    tag.get_by_test_id("editable-table-button-edit").click()
    tag.get_by_test_id("editable-table-edited-input").fill(decision)
    tag.get_by_test_id("editable-table-button-save").click()
    tag.get_by_text(decision, exact=True).wait_for()


def test_a_reviewer_approves_in_mlflow_and_rolls_back(installation, ports, page):
    dagster, mlflow = ports
    assert installation.served() == (None, [])
    for sensor in ("mlflow_reviews", "champion_moved"):
        switch_on(page, dagster, sensor)
    keep(page, "sensors")
    seen: dict[int, list[str]] = {}
    for version in (1, 2, 1):  # the last one is the way back
        set_review(page, mlflow, version, "approved")
        until(lambda version=version: installation.served()[0] == version, f"version {version} to be served")
        lists = installation.served()[1]
        assert seen.setdefault(version, lists) == lists
        page.reload()
        page.get_by_text("champion").first.wait_for()
        keep(page, f"version-{version}-champion")
    assert seen[1] != seen[2]
    told = installation.landbridge("review", "show", TARGET, "1")
    assert told.count("approved by") == 2
    page.goto(f"http://127.0.0.1:{dagster}/runs")
    page.get_by_text("review_decisions").first.wait_for()
    keep(page, "runs")
