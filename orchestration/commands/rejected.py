"""What `landbridge quarantine show` prints: counts by reason, some lines of each, and advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.commands.display import WIDTH
from orchestration.quarantine import Count, Rejected, Selection, advice, counts, examples, printable

if TYPE_CHECKING:
    import duckdb

NOTHING = "no line is in quarantine"


def print_quarantine(connection: duckdb.DuckDBPyConnection, selection: Selection, limit: int) -> None:
    """Print the selected part of the quarantine, or that it is empty."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    found = counts(connection, selection)
    if not found:
        asked = " for what was asked; leave an option out to see more" if selection != Selection() else ""
        console.print(f"{NOTHING}{asked}")
        return
    console.print(counts_table(found))
    for line in examples(connection, selection, limit):
        _print_line(console, line)
    rejected = sum(count.rejected for count in found)
    if limit < rejected:
        console.print(
            f"\n{rejected - limit:,} more; all of them: landbridge quarantine export --out rejected.csv",
            soft_wrap=True,
        )
    console.print("\nWhat to do (D is the domain):")
    for reason, sentence in advice(count.reason for count in found).items():
        console.print(f"  [bold]{reason}[/]: {sentence}")
    if {count.kind for count in found} - {"events"}:
        console.print(
            "Replay is for logs; catalogues and user files are read again with raw/items and raw/users."
        )


def counts_table(found: list[Count]) -> Table:
    """Domain x kind x reason with lines, and their share of all lines that were read."""
    table = Table("domain", "kind", "reason")
    table.add_column("lines", justify="right")
    table.add_column("of all read", justify="right")
    for count in found:
        table.add_row(
            count.domain, count.kind, count.reason, f"{count.rejected:,}", _share(count.rejected, count.lines)
        )
    return table


def _share(part: int, whole: int) -> str:
    percent = 100 * part / whole
    return "< 0.1 %" if percent < 0.1 else f"{percent:.1f} %"


def _print_line(console: Console, line: Rejected) -> None:
    window = f", window {line.window}" if line.window else ""
    console.print(Text(f"\n{line.file}:{line.line} ({line.domain}{window}) {line.reason}"), soft_wrap=True)
    raw = Text(f"    {printable(line.text)}", no_wrap=True, overflow="ellipsis")
    console.print(raw)
