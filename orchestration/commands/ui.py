"""`landbridge ui`: Dagster and MLflow side by side on the loopback interface, started and ended together.

Both servers start children of their own and leave them behind when only they are told to stop, so each gets a
process group and the group is what ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import click

from orchestration.commands.doctor import port_is_free
from orchestration.config import Home
from orchestration.environment import REPOSITORY

HOST = "127.0.0.1"
START_LIMIT = 180.0  # seconds; a cold disk has been seen to need 60
STOP_STEPS = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


@dataclass
class Server:
    """One server process and the group it leads; `health` is the path that answers 200 when it is ready."""

    name: str
    port: int
    health: str
    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start the process in a group of its own, its output in `log`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process is None or self.process.poll() is not None

    def answers(self) -> bool:
        """Whether the health path answers."""
        try:
            with urllib.request.urlopen(self.url + self.health, timeout=5) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def group_lives(self) -> bool:
        """Whether any process of the group is left."""
        assert self.process is not None
        self.process.poll()  # reaps the leader, which would otherwise count as living
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def last_words(self, lines: int = 15) -> str:
        """The end of the log, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def servers(home: Home, dagster_port: int, mlflow_port: int) -> list[Server]:
    """The two servers, not started."""
    dagster = [sys.executable, "-m", "dagster", "dev", "--workspace", str(REPOSITORY / "workspace.yaml")]
    mlflow = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", home.tracking_uri]
    mlflow += ["--default-artifact-root", str(home.mlflow / "artifacts"), "--workers", "1"]
    logs = home.root / "logs"
    return [
        Server(
            "Dagster",
            dagster_port,
            "/server_info",
            [*dagster, "--host", HOST, "--port", str(dagster_port)],
            logs / "dagster-ui.log",
            {"LANDBRIDGE_MLFLOW_PORT": str(mlflow_port)},  # asset pages link to versions
        ),
        Server(
            "MLflow",
            mlflow_port,
            "/health",
            [*mlflow, "--host", HOST, "--port", str(mlflow_port)],
            logs / "mlflow-ui.log",
            # Its job workers take 2 GB and 10 s of start-up for features nobody uses here.
            {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        ),
    ]


def wait_until_ready(running: list[Server], stop: threading.Event, limit: float = START_LIMIT) -> None:
    """Return when every server answers or `stop` is set; ClickException where one ends or takes too long."""
    deadline = time.monotonic() + limit
    waiting = list(running)
    while waiting and not stop.is_set():
        for server in running:
            if server.ended():
                raise click.ClickException(
                    f"{server.name} ended while it started; {server.log} says:\n{server.last_words()}"
                )
        waiting = [server for server in waiting if not server.answers()]
        if waiting and time.monotonic() > deadline:
            raise click.ClickException(
                f"{waiting[0].name} did not answer in {limit:.0f} s; see {waiting[0].log}"
            )
        stop.wait(0.3)


def end(running: list[Server]) -> None:
    """End every group: interrupt, then terminate, then kill; returns when no process is left."""
    living = [server for server in running if server.process is not None]
    for sign, patience in STOP_STEPS:
        living = [server for server in living if server.group_lives()]
        for server in living:
            assert server.process is not None
            os.killpg(server.process.pid, sign)
        deadline = time.monotonic() + patience
        while living and time.monotonic() < deadline:
            time.sleep(0.1)
            living = [server for server in living if server.group_lives()]


def serve(home: Home, dagster_port: int, mlflow_port: int) -> None:
    """Run both servers until SIGINT, SIGTERM or SIGHUP, or until one of them ends by itself."""
    if dagster_port == mlflow_port:
        raise click.ClickException("Dagster and MLflow need two different ports")
    running = servers(home, dagster_port, mlflow_port)
    for server in running:
        if not port_is_free(server.port):
            option = f"--{server.name.lower()}-port"
            raise click.ClickException(
                f"port {server.port} is in use: stop what listens there or pass {option} N"
            )
    stop = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda *_: stop.set())
    (home.mlflow / "artifacts").mkdir(parents=True, exist_ok=True)
    try:
        for server in running:
            server.start()
        click.echo("starting Dagster and MLflow …")
        wait_until_ready(running, stop)
        if not stop.is_set():
            for server in running:
                click.echo(f"{server.name:8} {server.url}")
            click.echo("Ctrl-C ends both")
        while not stop.wait(0.5):
            for server in running:
                if server.ended():
                    raise click.ClickException(
                        f"{server.name} ended; {server.log} says:\n{server.last_words()}"
                    )
    finally:
        click.echo("stopping …")
        end(running)
