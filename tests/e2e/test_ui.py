"""`landbridge ui`: both servers answer, and one interrupt leaves no process behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 300  # seconds that two servers may take to start on a busy machine


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def processes_of(home: Path) -> set[int]:
    """Living processes whose environment names this home: the command, its servers and their children."""
    mark, found = f"LANDBRIDGE_HOME={home}".encode(), set()
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
        except OSError:  # ended in between, or another user's
            continue
    return found


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as response:
        assert response.status == 200
        return response.read().decode()


needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for children in /proc")


@contextmanager
def starting(folder: Path, home: Path) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    """`landbridge ui` on free ports, and what it has said so far; it is ended with the block."""
    environment = {**os.environ, "LANDBRIDGE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "orchestration.cli", "ui"]
    command += ["--dagster-port", str(free_port()), "--mlflow-port", str(free_port())]
    with (folder / "output").open("w+") as output:
        ui = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output, text=True)
        try:
            yield ui, (folder / "output").read_text
        finally:
            ui.send_signal(signal.SIGINT) if ui.poll() is None else None
            ui.wait(timeout=60)


@needs_proc
def test_a_start_that_is_ended_leaves_nothing(tmp_path):
    home = tmp_path / "home"
    with starting(tmp_path, home) as (ui, said):
        deadline = time.monotonic() + PATIENCE
        while len(processes_of(home)) < 5:  # both servers, and children of theirs
            assert ui.poll() is None, said()
            assert time.monotonic() < deadline, said()
            time.sleep(0.1)
        ui.send_signal(signal.SIGTERM)
        assert ui.wait(timeout=60) == 0
    assert processes_of(home) == set()


@needs_proc
@pytest.mark.skipif(
    CHROMIUM is not None, reason="the review in a browser (test_run_demo) starts and ends them"
)
def test_both_servers_answer_and_end_together(tmp_path):
    home = tmp_path / "home"
    with starting(tmp_path, home) as (ui, said):
        deadline = time.monotonic() + PATIENCE
        while "Ctrl-C" not in said():
            assert ui.poll() is None, said()
            assert time.monotonic() < deadline, said()
            time.sleep(0.5)
        urls = re.findall(r"http://127.0.0.1:\d+", said())
        assert len(urls) == 2
        assert all("<html" in get(f"{url}/") for url in urls)
        assert len(processes_of(home)) >= 4
        ui.send_signal(signal.SIGINT)
        assert ui.wait(timeout=60) == 0
    assert processes_of(home) == set()


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        environment = {**os.environ, "LANDBRIDGE_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "orchestration.cli", "ui", "--mlflow-port", str(port)]
        command += ["--dagster-port", str(free_port())]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"port {port} is in use" in done.stderr
    assert "--mlflow-port" in done.stderr
