"""Which domains share their users, as a picture: the ground on which knowledge can cross."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_LATEST = """
select * from marts.domain_overlap
where window_start = (select max(window_start) from marts.domain_overlap)
order by domain_a, domain_b
"""
_READABLE = 20  # domains; the cells of more are too small for numbers


@dataclass(frozen=True)
class Overlap:
    """marts.domain_overlap at its latest window: users of each domain, and of each pair in either order."""

    window: date
    users: dict[str, int]
    shared: dict[tuple[str, str], int]

    @property
    def domains(self) -> list[str]:
        """The domains, sorted."""
        return sorted(self.users)

    def share(self, a: str, b: str) -> float:
        """The pair's shared users as a part of the smaller domain's users; NaN where that has none."""
        smaller = min(self.users[a], self.users[b])
        return self.shared[a, b] / smaller if smaller else float("nan")


def latest_overlap(connection: duckdb.DuckDBPyConnection) -> Overlap | None:
    """The overlap at the latest window; None where there is one domain only, or no interaction yet."""
    users: dict[str, int] = {}
    shared: dict[tuple[str, str], int] = {}
    rows = connection.execute(_LATEST).fetchall()
    for a, b, _, both, users_a, users_b, *_ in rows:
        users |= {a: users_a, b: users_b}
        shared |= {(a, b): both, (b, a): both}
    return Overlap(rows[0][2], users, shared) if rows else None


def _cell_text(overlap: Overlap, a: str, b: str) -> str:
    if a == b:
        return f"{overlap.users[a]:,}\nusers"
    share = overlap.share(a, b)
    return f"{share:.0%}\n{overlap.shared[a, b]:,}" if share == share else "–"


def overlap_plot(overlap: Overlap) -> bytes:
    """PNG of a square of domains: in each cell the share of the smaller domain and the users behind it.

    The numbers are left out where there are more than 20 domains; marts.domain_overlap has them.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    names, count = overlap.domains, len(overlap.domains)
    cell = min(0.95, 12 / count)  # inches: however many domains there are, the picture fits a page
    side = 1.6 + cell * count
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    colours = colormaps["cividis"].with_extremes(bad="#eeeeee")  # reads the same colour-blind, and in grey
    nothing = float("nan")
    cells = [[nothing if a == b else overlap.share(a, b) for b in names] for a in names]
    image = axes.imshow(cells, cmap=colours, vmin=0, vmax=1)
    if count <= _READABLE:
        for row, a in enumerate(names):
            for column, b in enumerate(names):
                colour = "white" if cells[row][column] < 0.45 else "black"  # NaN is black too
                text = _cell_text(overlap, a, b)
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10.5 * cell)
    axes.set_xticks(range(count), names, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), names)
    axes.set_title(f"users shared up to the window of {overlap.window}", fontsize="medium")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, shrink=0.8, format=lambda share, _: f"{share:.0%}")
    bar.set_label("of the smaller domain's users")
    bar.outline.set_visible(False)
    buffer = io.BytesIO()
    # No creation date or software version: the same figures give the same bytes.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
