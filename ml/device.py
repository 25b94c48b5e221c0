"""Where tensors live: one rule for every model, encoder and index of the library."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

T = TypeVar("T")


def cores() -> int:
    """CPU cores that a thread each may keep busy: those the process may use, if torch may use as many."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, torch.get_num_threads()))


def for_each(work: Callable[[T], object], items: Iterable[T], device: torch.device) -> None:
    """`work` on every item: on the CPU in single-threaded workers, one a core; on a GPU one after the other.

    For work of many small products: torch's own threads would wait for each other in every one of them.
    """
    count = cores() if device.type == "cpu" else 1
    if count == 1:
        for item in items:
            work(item)
        return
    for _ in _workers(os.getpid(), count).map(work, items):  # passes on what a worker raises
        pass


@contextmanager
def one_thread(when: bool = True) -> Iterator[None]:
    """Let torch compute in the calling thread alone, where its operations are too small to be shared out."""
    before = torch.get_num_threads()
    if when:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _workers(process: int, count: int) -> ThreadPoolExecutor:
    # By process: a fork inherits the pool but not its threads.
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "landbridge", initializer=_single_threaded)
    started = Barrier(count)
    list(pool.map(lambda _: started.wait(), range(count)))
    torch.set_num_threads(threads)  # a worker's setting is also that of threads yet to start
    return pool


def _single_threaded() -> None:
    torch.get_num_threads()  # asked for the first time, a thread takes over the process's number: it is now
    torch.set_num_threads(1)


def pick_device(name: str = "auto") -> torch.device:
    """The torch device of "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises ValueError for another name and RuntimeError where "cuda" is asked for and torch sees no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {name!r}: expected auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            f"device cuda: torch {torch.__version__} sees no GPU; use device auto or cpu, "
            "or install a CUDA build of torch and check nvidia-smi"
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
