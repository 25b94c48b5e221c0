"""A full disk, told in one line: DuckDB, SQLite, dbt and Python each say it in words of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from orchestration.config import Home

# The last one is DuckDB's, when what it spills to disk finds no room.
_SIGNS = ("No space left on device", "disk is full", "Disk quota exceeded", "max_temp_directory_size")
_LITTLE = 1 << 20  # bytes


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it; often only the first of them names the disk."""
    seen: list[BaseException] = []
    todo = [error]
    while todo:
        found = todo.pop()
        if found in seen:
            continue
        seen.append(found)
        yield found
        todo += [led for led in (found.__cause__, found.__context__) if led is not None]


def is_full_disk(error: BaseException, home: Home) -> bool:
    """Whether an error, or one that led to it, says that a disk is full."""
    told = [str(found) for found in _chain(error)]
    if any(sign in text for text in told for sign in _SIGNS):
        return True
    # What SQLite says where it cannot make its shared memory: that may be a broken disk as well.
    return any("disk I/O error" in text for text in told) and _total_and_free(home)[1] < _LITTLE


def _total_and_free(home: Home) -> tuple[int, int]:
    place = next(path for path in (home.root, *home.root.parents) if path.exists())
    disk = shutil.disk_usage(place)
    return disk.total, disk.free


def full_disk_line(home: Home) -> str:
    """What is full and what to do, for people who gave a command."""
    total, free = _total_and_free(home)
    return (
        f"the disk of {home.root} is full ({free / 1e6:,.0f} of {total / 1e6:,.0f} MB left): make "
        "room there, or give a home on a larger disk (LANDBRIDGE_HOME or --home), and run the same again; "
        "what was being written is undone, everything before it is whole"
    )
