"""A reviewer's hands: a real browser on the Dagster and MLflow that `landbridge ui` serves.

With LANDBRIDGE_SCREENSHOTS set to a folder, what the reviewer saw is kept there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from test_ui import CHROMIUM, free_port

PATIENCE = 300  # seconds that servers, a sensor's next tick and its run may take on a busy machine


def until(happens: Callable[[], object], what: str) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(1)


@contextmanager
def served(environment: dict[str, str], folder: Path) -> Iterator[tuple[int, int]]:
    """The ports of Dagster and MLflow, which `landbridge ui` serves until an interrupt ends the block."""
    dagster, mlflow = free_port(), free_port()
    command = [sys.executable, "-m", "orchestration.cli", "ui"]
    command += ["--dagster-port", str(dagster), "--mlflow-port", str(mlflow)]
    said = folder / "ui.log"
    with said.open("w") as output:
        ui = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        try:
            until(lambda: ui.poll() is not None or "Ctrl-C" in said.read_text(), "both servers to start")
            assert ui.poll() is None, said.read_text()
            yield dagster, mlflow
        finally:
            ui.send_signal(signal.SIGINT)
            ended = ui.wait(timeout=60)
    assert ended == 0


@dataclass(frozen=True)
class Reviewer:
    """page: a tab of the browser. dagster, mlflow: their ports."""

    page: Any
    dagster: int
    mlflow: int

    def keep(self, name: str) -> None:
        """A picture of what is on the screen, where somebody wants it."""
        if folder := os.environ.get("LANDBRIDGE_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png")

    def switch_on(self, sensor: str) -> None:
        """In Dagster's list of automations, where all stand stopped after an installation."""
        self.page.goto(f"http://127.0.0.1:{self.dagster}/automation")
        row = self.page.locator("[data-index]").filter(has_text=sensor).first
        switch = row.locator("label[class*=formatSwitch]")
        switch.click()
        until(switch.locator("input").is_checked, f"{sensor} to be switched on")

    def open(self, target: str, version: int) -> None:
        """A version's page in MLflow, its review card in sight."""
        self.page.goto("about:blank")  # addresses differ after the # only, and nothing would be loaded anew
        self.page.goto(f"http://127.0.0.1:{self.mlflow}/#/models/landbridge-{target}/versions/{version}")
        self.page.get_by_text("Known limits").first.wait_for()

    def set_tag(self, name: str, value: str) -> None:
        """Change a tag of the open version."""
        tag = self.page.locator(f"tr[data-row-key={name}]")
        tag.get_by_test_id("editable-table-button-edit").click()
        tag.get_by_test_id("editable-table-edited-input").fill(value)
        tag.get_by_test_id("editable-table-button-save").click()
        tag.get_by_text(value, exact=True).wait_for()


@contextmanager
def reviewer(dagster: int, mlflow: int) -> Iterator[Reviewer]:
    """Chromium, for as long as the block takes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(PATIENCE * 1000)
        yield Reviewer(page, dagster, mlflow)
        browser.close()
