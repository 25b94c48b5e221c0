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
    """PNG of singular values (k,) by rank, and the share of the matrix's squared entries that they
    explain.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3, color="#0072b2")
    axes.set_title(f"{title}: {len(values)} factors explain {energy:.0%}")
    axes.set_xlabel("factor, strongest first")
    axes.set_ylabel("singular value")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    # No creation date or software version: the same figures give the same bytes.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
