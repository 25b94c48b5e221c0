"""A folder for what is larger than memory: gone when its user ends, after a kill when the next one starts.

A user holds a lock that the system releases with the process, however it ends: whoever comes next removes the
folders that nobody holds any more.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.config import Home

_LOCK = "lock"


@contextmanager
def scratch_folder(home: Home, purpose: str) -> Iterator[Path]:
    """An empty folder below `home`, removed when the block ends or fails."""
    parent = home.root / "scratch"
    parent.mkdir(parents=True, exist_ok=True)
    # One at a time here: else a folder that was made and is not yet locked would pass for a dead one.
    with (parent / _LOCK).open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=parent))
        held = (folder / _LOCK).open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.close()


def _sweep(parent: Path) -> None:
    """Remove the folders whose user is no more."""
    for folder in (path for path in parent.iterdir() if path.is_dir()):
        try:
            with (folder / _LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except FileNotFoundError:  # killed before it was locked, or being removed by its user
            pass
        shutil.rmtree(folder, ignore_errors=True)
