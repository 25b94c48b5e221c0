"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path` when the block ends, and is removed when the block fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """An empty folder to write to; it becomes `path` when the block ends, in place of what stood there.

    A folder cannot be exchanged in one step: between the two renames `path` does not exist, and a reader that
    looks then is told to materialise again. It never finds a mixture.
    """
    beside, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")
    for leftover in (beside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        if path.exists():
            path.rename(old)
        beside.rename(path)
    finally:
        for leftover in (beside, old):
            shutil.rmtree(leftover, ignore_errors=True)
