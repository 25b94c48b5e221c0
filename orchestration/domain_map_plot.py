"""The domains' texts as two clouds of points, before and after alignment, for Dagster's metadata."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml.text.alignment.domain_map import DomainMap, Plane

# Okabe and Ito's colours, told apart by the colour-blind; the shapes tell them apart in grey.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000", "#b8a800")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*", "<")


def domain_map_plot(found: DomainMap) -> bytes:
    """PNG of the two planes side by side: one colour and shape for each domain, a cross at its mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.9), layout="constrained")
    panels = figure.subplots(1, 2)
    _panel(panels[0], found.before, "as embedded")
    _panel(panels[1], found.after, "aligned (CORAL)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        [f"{label} ({found.items[label]:,})" for label in labels],
        loc="outside lower center",
        ncols=min(len(labels), 5),
        frameon=False,
        markerscale=2,
    )
    buffer = io.BytesIO()
    # No creation date or software version: the same figures give the same bytes.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def _panel(axes: Any, plane: Plane, title: str) -> None:
    most = max(len(points) for points in plane.points.values())
    size = 16 if most <= 200 else 7
    for place, (name, points) in enumerate(sorted(plane.points.items())):
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        x, y = points[:, 0], points[:, -1]
        axes.scatter(x, y, s=size, c=colour, marker=marker, alpha=0.55, linewidths=0, label=name)
    for place, (_, points) in enumerate(sorted(plane.points.items())):
        centre = points.mean(axis=0)
        axes.plot(centre[0], centre[-1], "+", markersize=16, markeredgewidth=5, color="white")
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(centre[0], centre[-1], "+", markersize=15, markeredgewidth=2.2, color=colour)
    axes.set_title(title)
    axes.set_xlabel(f"first axis, {plane.share[0]:.0%} of the variance")
    axes.set_ylabel(f"second axis, {plane.share[-1]:.0%}")
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
