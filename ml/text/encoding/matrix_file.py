"""A domain's vectors as one .npy file that readers map into memory: found when whole, else written anew.

`<name>.<digest of what it holds>.<digest of its bytes>.npy`: the first digest says whether it is the one that
is wanted, the second whether a crash or a disk damaged it. No index has to be kept in step with the files.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np


def find_matrix(folder: Path, name: str, holds: str) -> np.memmap | None:
    """The mapped file of `name` that holds `holds`; None where there is none, a damaged one is removed."""
    for path in folder.glob(f"{_checked(name)}.{holds}.*.npy"):
        # FileNotFoundError: another process has just written a newer one in its place.
        with contextlib.suppress(FileNotFoundError):
            if _digest(path) == path.stem.rsplit(".", 1)[-1]:
                return _mapped(path)
            path.unlink(missing_ok=True)
    return None


def write_matrix(
    folder: Path, name: str, holds: str, shape: tuple[int, int], fill: Callable[[np.ndarray], None]
) -> np.memmap:
    """Write a float32 matrix, which `fill` changes from zeros in place; older files of `name` go.

    A reader that still maps an older file keeps it: only the name goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{os.getpid()}-{uuid.uuid4().hex}.tmp"
    try:
        out = np.lib.format.open_memmap(beside, mode="w+", dtype=np.float32, shape=shape)
        if hasattr(os, "posix_fallocate"):  # a full disk is then an error here, not a bus error below
            with beside.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, beside.stat().st_size)
        fill(out)
        out.flush()
        del out
        matrix = _mapped(beside)  # by its first name: under the other one a second writer may remove it
        path = folder / f"{_checked(name)}.{holds}.{_digest(beside)}.npy"
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    for other in folder.glob(f"{name}.*.npy"):
        if other != path:
            other.unlink(missing_ok=True)
    return matrix


def _mapped(path: Path) -> np.memmap:
    return np.load(path, mmap_mode="c")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _checked(name: str) -> str:
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"matrix name {name!r}: expected letters, digits, _ or -")
    return name
