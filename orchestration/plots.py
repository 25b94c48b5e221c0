"""Pictures for Dagster's metadata, as markdown with the PNG inside: no file to serve, none to lose."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def inline_png(png: bytes, caption: str) -> str:
    """Markdown of one image that carries its own bytes; `caption` is its alternative text."""
    return f"![{caption}](data:image/png;base64,{base64.b64encode(png).decode()})"


def spectrum_plot(values: np.ndarray, energy: float, title: str) -> bytes:
    """PNG of singular values (k,) by rank, and of the share of the matrix's squared entries that the first
    factors explain together; `energy` is that share for all k.
    """
    import numpy as np
    from matplotlib.figure import Figure

    squares = np.square(values)
    explained = energy * np.cumsum(squares) / max(float(squares.sum()), np.finfo(float).tiny)
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    figure.suptitle(f"{title}: {len(values)} factors explain {energy:.0%}")
    ranks = range(1, len(values) + 1)
    labels = ("singular value", "explained energy")
    for axes, heights, label in zip(figure.subplots(1, 2), (values, explained), labels, strict=True):
        axes.plot(ranks, heights, marker="o", markersize=3, color="#0072b2")
        axes.set_xlabel("factor, strongest first")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.1%}")  # of the last axes: the energy
    buffer = io.BytesIO()
    # No creation date or software version: the same figures give the same bytes.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
