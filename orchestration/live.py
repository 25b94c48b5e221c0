"""What an asset is doing right now, for whoever watches the process it runs in.

`landbridge run` executes assets in its own process and shows these lines beside its spinner. Below a Dagster
server nobody listens, and the asset's log says the same in larger steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str], None]
_listeners: list[Listener] = []
BAR = 20


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` with every line said inside the block, from the thread that says it."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def say(line: str) -> None:
    """Tell the listeners, if there are any."""
    for listener in _listeners:
        listener(line)


class LiveProgress:
    """A progress callback: a live line five times a second, a log line for each tenth.

    units: what is counted. done_word: what is done to it.
    """

    def __init__(
        self, name: str, log: Callable[[str], object], units: str = "texts", done_word: str = "embedded"
    ) -> None:
        self._name, self._log, self._began = name, log, time.perf_counter()
        self._units, self._done_word = units, done_word
        self._logged, self._said = 0, 0.0

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` units are through."""
        now, units = time.perf_counter(), self._units
        rate = f"{done / max(1e-9, now - self._began):,.0f} {units}/s"
        if now - self._said >= 0.2 or done == total:
            self._said = now
            bar = "━" * (BAR * done // total) + "─" * (BAR - BAR * done // total)
            say(f"{self._name} {bar} {done:,} of {total:,} {units}, {rate}")
        if done * 10 // total > self._logged:
            self._logged = done * 10 // total
            self._log(f"{self._name}: {done:,} of {total:,} {units} {self._done_word}, {rate}")
