"""`landbridge ui`: both servers answer, and one interrupt leaves no process behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# The review in a browser (test_run_demo) ends its servers with an interrupt: a start takes half a minute.
SIGNS = [signal.SIGTERM] if CHROMIUM else [signal.SIGINT, signal.SIGTERM]
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


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for children in /proc")
@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: sign.name)
def test_both_servers_answer_and_end_together(tmp_path, sign):
    home, dagster, mlflow = tmp_path / "home", free_port(), free_port()
    environment = {**os.environ, "LANDBRIDGE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "orchestration.cli", "ui"]
    command += ["--dagster-port", str(dagster), "--mlflow-port", str(mlflow)]
    with (tmp_path / "output").open("w+") as output:
        ui = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + PATIENCE
            while "Ctrl-C" not in (said := (tmp_path / "output").read_text()):
                assert ui.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.5)
            assert f"http://127.0.0.1:{dagster}" in said
            assert f"http://127.0.0.1:{mlflow}" in said
            assert "<html" in get(f"http://127.0.0.1:{dagster}/")
            assert "<html" in get(f"http://127.0.0.1:{mlflow}/")
            assert len(processes_of(home)) >= 4
            ui.send_signal(sign)
            assert ui.wait(timeout=60) == 0
        finally:
            ui.send_signal(signal.SIGINT) if ui.poll() is None else None
            ui.wait(timeout=60)
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
