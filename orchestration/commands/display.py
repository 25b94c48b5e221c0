"""What `landbridge run` shows: a line for each stage, with everything the tools print kept in a log file.

dbt, Dagster, torch and native libraries write to the process's own file descriptors, so these are what is
redirected; the display keeps a copy of the terminal for itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.status import Status

WIDTH = 100  # of a file or pipe; a terminal keeps its own


@contextmanager
def quiet(log: Path) -> Iterator[Console]:
    """A console on the real standard output, while descriptors 1 and 2 write to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("ab") as sink, os.fdopen(os.dup(1), "w", 1, encoding="utf-8") as terminal:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield Console(file=terminal, width=None if terminal.isatty() else WIDTH, highlight=False)
        finally:
            _flush_or_drop()
            for descriptor, copy in enumerate(saved, start=1):
                os.dup2(copy, descriptor)
                os.close(copy)


def _flush_or_drop() -> None:
    """Flush both streams into the log; what a full disk cannot hold must not come on the terminal later."""
    for descriptor, stream in enumerate((sys.stdout, sys.stderr), start=1):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), descriptor)
            stream.flush()


class Progress:
    """One line for each finished stage; on a terminal also a spinner with what is going on now."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started = time.monotonic()

    @contextmanager
    def working(self, title: str) -> Iterator[Status | None]:
        """Show that `title` is being worked on; the status takes messages, None where nobody watches."""
        if not self.console.is_terminal:
            yield None
            return
        with self.console.status(f"{title} …") as status:
            yield status

    def done(self, title: str, seconds: float, sentence: str) -> None:
        """Print a finished stage."""
        self._line("[green]✓[/]", title, seconds, sentence)

    def failed(self, title: str, seconds: float, sentence: str) -> None:
        """Print a failed stage."""
        self._line("[red]✗[/]", title, seconds, sentence)

    def _line(self, mark: str, title: str, seconds: float, sentence: str) -> None:
        from rich.table import Table

        line = Table.grid(padding=(0, 1))
        line.add_column(width=1)
        line.add_column(width=18, no_wrap=True)
        line.add_column(width=7, justify="right")
        line.add_column()
        line.add_row(mark, title, f"{seconds:.{1 if seconds < 1000 else 0}f} s", sentence)
        self.console.print(line)
