"""`landbridge run` on a log that is cut off or still being written: a line that says so, and no traceback."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from log_world import REPOSITORY, World

from orchestration.cli import main

HEADER = "user_id,item_id,time,event,rating\n"
LINES = "".join(f"u{n},b1,2026-01-0{n % 3 + 1}T10:00:00,view,{n * 7919 % 10007}\n" for n in range(60_000))


@pytest.fixture
def log(world: World) -> Path:
    """A compressed log of books that is long enough for its end to be looked at only by the load."""
    world.document["domains"]["books"]["events"]["path"] = "log.csv.gz"
    path = world.folder / "log.csv.gz"
    path.write_bytes(gzip.compress((HEADER + LINES).encode()))
    return path


def landbridge_run(world: World) -> str:
    """What a run that must fail prints, in one line."""
    _ = world.config
    command = [sys.executable, "-W", "ignore", "-m", "orchestration.cli", "run"]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=world.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout
    return " ".join(done.stdout.split())


@contextmanager
def growing(path: Path) -> Iterator[None]:
    """While the block runs somebody appends to the file, all the time."""
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.002):
            with path.open("ab") as file:
                file.write(gzip.compress(b"u1,b1,2026-01-01T10:00:00,view,\n"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def cut_off(path: Path, kept: Callable[[int], int]) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: kept(len(data))])


@pytest.mark.parametrize("command", ["run", "config check"])
def test_a_log_that_is_cut_off_at_its_start_stops_before_anything_runs(
    world, log, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)  # the command sets some of them
    cut_off(log, lambda size: 100)
    path = world.config.path
    result = CliRunner().invoke(main, [*command.split(), "--config", str(path)])
    assert result.exit_code == 1
    (line,) = result.output.strip().splitlines()
    assert line.startswith(f"{path}: domains.books.events.path: {log} is cut off: ")
    assert not (world.folder / "home" / "warehouse.duckdb").exists()


@pytest.mark.slow
def test_a_log_that_is_cut_off_at_its_end_or_still_written_fails_by_name(world, log) -> None:
    whole = log.read_bytes()
    cut_off(log, lambda size: size - 7)
    printed = landbridge_run(world)
    assert f"domains.books.events.path: {log} is cut off: " in printed
    assert "What next: put that right and give the same command again" in printed
    assert world.rows("select count(*) from raw.events") == [(0,)]
    log.write_bytes(whole)
    with growing(log):
        printed = landbridge_run(world)
    assert f"{log} changed while it was read; nothing was loaded; run again when it is complete" in printed
    assert world.rows("select count(*) from raw.events") == [(0,)]
