"""A home on a real disk that fills up: what is full and what to do, nothing half-visible, then it goes on."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_world import REPOSITORY, World

from orchestration.full_disk import is_full_disk
from orchestration.resources.warehouse import Warehouse, WarehouseError

SIZE = 96 << 20
TABLES = ("raw.events", "raw.items", "raw.window_digests", "raw.domain_settings")
SAYS = "home is full"
BUILD = """
import dagster as dg
from orchestration.definitions import defs
from orchestration.partitions import CONFIG
from orchestration.stages import preparing, run_stage

with dg.DagsterInstance.ephemeral() as instance:
    stage = preparing(CONFIG, "2026-01-04", "2026-01-01", "2026-01-03")[1]
    (result,) = run_stage(stage, defs, instance)
    for event in result.all_events:
        if event.is_step_failure:
            print("FAILED", event.step_key, event.step_failure_data.user_failure_data.description)
"""


class Disk:
    """A tmpfs whose free space is set by a file that takes the rest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, megabytes: float) -> None:
        """Fill the disk up to so much."""
        free = shutil.disk_usage(self.folder).free
        with (self.folder / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - int(megabytes * (1 << 20)))

    def make_space(self) -> None:
        (self.folder / "ballast").unlink()


@pytest.fixture
def disk(world: World) -> Iterator[Disk]:
    """The home of the world on a disk of its own."""
    folder = world.folder / "home"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting needs root or a user namespace: `unshare -rm pytest` on this file runs it")
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "landbridge-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        world.keep_parsed()
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root runs the others by itself")
def test_without_root_all_of_these_run_in_a_user_namespace() -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"]).returncode != 0:
        pytest.skip("no user namespaces here")
    command = ["unshare", "-rm", sys.executable, "-m", "pytest", "-q", "-rs", __file__]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def write_large_log(world: World, lines: int = 150_000) -> None:
    """A log of the same windows that no compression makes small."""
    rng = random.Random(7)
    rows = (f"u{rng.getrandbits(96):x},b1,2026-01-0{n % 3 + 1}T10:00:00,view,\n" for n in range(lines))
    world.write("books.csv", "user_id,item_id,time,event,rating\n" + "".join(rows))


def raw_rows(world: World) -> dict[str, list[tuple]]:
    return {table: world.rows(f"from {table} order by all") for table in TABLES}


def test_a_load_without_room_changes_nothing_and_completes_when_there_is_room(world, disk) -> None:
    world.load()
    before = raw_rows(world)
    write_large_log(world)
    disk.leave(4)
    with pytest.raises(WarehouseError) as raised:
        world.load(items=False)
    line = str(raised.value)
    assert f"{world.folder / 'home'} is full (" in line
    assert "make room there, or give a home on a larger disk (LANDBRIDGE_HOME or --home)" in line
    assert "\n" not in line
    assert raw_rows(world) == before
    assert shutil.disk_usage(disk.folder).free > 2 << 20, "the file keeps what the load took in vain"
    disk.make_space()
    world.load(items=False)
    assert world.rows("select domain, count(*) from raw.events group by 1 order by 1") == [
        ("books", 150_000),
        ("films", 3),
    ]


def test_windows_that_were_loaded_while_there_was_room_stay_whole(world, disk) -> None:
    """One window after another until the disk is full: those before it are there, of the others nothing."""
    write_large_log(world)
    disk.leave(12)
    windows = [world.span(f"2026-01-0{day}", f"2026-01-0{day + 1}") for day in (1, 2, 3) * 3]
    loaded = iter(windows)
    with pytest.raises(WarehouseError, match=SAYS):
        deque((world.load(window, items=False) for window in loaded), maxlen=0)
    done = {window.start.day for window in windows[: len(windows) - len(list(loaded)) - 1]}
    assert done
    counts = world.rows(
        "select day(window_start), count(*) from raw.events where domain = 'books' group by 1"
    )
    assert dict(counts) == dict.fromkeys(done, 50_000)


def test_what_does_not_fit_into_memory_is_spilled_into_the_home(world, disk) -> None:
    sort = (
        "create or replace temp table sorted as select hash(n) as h from range(6_000_000) as t(n) order by h"
    )
    small = Warehouse(memory_limit="40MB", threads=1)
    disk.leave(8)
    with pytest.raises(WarehouseError, match=SAYS), small.write() as connection:
        connection.execute(sort)
    disk.make_space()
    with small.write() as connection:
        connection.execute(sort.replace("6_000_000", "3_000_000"))
        assert connection.execute("select count(*) from sorted").fetchall() == [(3_000_000,)]
        assert shutil.disk_usage(disk.folder).used > 4 << 20


def test_a_disk_error_on_a_disk_with_room_is_not_called_full(world, disk) -> None:
    from orchestration.config import Home

    error = OSError("disk I/O error")
    assert not is_full_disk(error, Home())
    disk.leave(0.5)
    assert is_full_disk(error, Home())


def parse(world: World) -> None:
    """Have the parsed dbt project on the disk, 3 MB, before what is left of it is measured out."""
    world.bring_parsed()
    if not (world.home / "dbt" / "stamp").exists():
        world.python("from orchestration.resources.dbt import dbt_project; dbt_project()")


@pytest.mark.slow
def test_dbt_without_room_fails_readably_and_completes_when_there_is_room(world, disk) -> None:
    write_large_log(world)
    world.load()
    before = raw_rows(world)
    parse(world)
    disk.leave(13)
    done = world.python(BUILD)
    assert f"FAILED clean the disk of {disk.folder} is full (" in done.stdout, done.stdout[-2000:]
    assert raw_rows(world).keys() == before.keys()
    disk.make_space()
    done = world.python(BUILD)
    assert "FAILED" not in done.stdout, done.stdout[-2000:]
    assert world.rows("select sum(rows) from marts.mart_data_quality") == [(150_003,)]
    assert world.rows("select count(*) from marts.fct_interactions") == [(150_002,)]


def landbridge_run(world: World, until: str = "no such line") -> tuple[int | None, str]:
    """`landbridge run` to its end, or till it prints a text: (exit status, what it printed)."""
    _ = world.config
    command = [sys.executable, "-W", "ignore", "-m", "orchestration.cli", "run"]
    running = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=world.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = ""
    with running:
        for line in running.stdout or ():
            printed += line
            if until in line:
                running.kill()
    return running.returncode, printed


@pytest.mark.slow
@pytest.mark.parametrize(
    "megabytes, parsed, until",
    [(2, False, "✓ load definitions"), (9, True, "✓ events")],
    ids=["not even for the parsed project", "for no load"],
)
def test_the_command_says_it_in_a_line_and_goes_on_when_there_is_room(
    world, disk, megabytes: int, parsed: bool, until: str
) -> None:
    write_large_log(world)
    if parsed:
        parse(world)
    else:
        (disk.folder / "dbt").mkdir()  # none is brought
    disk.leave(megabytes)
    status, printed = landbridge_run(world)
    assert status == 1, printed
    assert "Traceback" not in printed
    assert " ".join(printed.split()).count(f"the disk of {disk.folder} is full (") == 1, printed
    disk.make_space()
    _, printed = landbridge_run(world, until=until)
    assert until in printed
    assert not parsed or "150,003 log lines read" in printed
