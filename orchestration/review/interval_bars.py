"""Means with their intervals as bars, a panel for each question: the card's first picture.

SVG by hand, drawn in the page's own colours (`page_style.py`), so that it follows light and dark, fits a
phone and gives the same bytes for the same figures. Every series has a shape of its own beside its colour,
and every bar its figure in words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from orchestration.review.peers import short

_WIDE, _FROM, _TO = 340, 104, 284  # of a panel; where its axis begins and ends
_TOP, _ROW, _FOOT = 24, 23, 22
_SHAPES = {
    "bridge": '<circle cx="{x}" cy="{y}" r="4.5" {fill}/>',
    "twin": '<path d="M{x},{y} m-5,4 h10 l-5,-9 z" {fill}/>',
    "popularity": '<path d="M{x},{y} m-4,-4 h8 v8 h-8 z" {fill}/>',
    "champion": '<path d="M{x},{y} m0,-6 l6,6 l-6,6 l-6,-6 z" {fill}/>',
    "peer": '<path d="M{x},{y} m-5,-4 h10 l-5,9 z" {fill}/>',
}


@dataclass(frozen=True)
class Bar:
    """One mean with its interval. look: which series' colour and shape. filled: whether the shape is."""

    label: str
    mean: float
    low: float
    high: float
    look: str
    filled: bool = True
    bold: bool = False
    sign: str = ""


@dataclass(frozen=True)
class Panel:
    """Bars below one title; `aside` says of how many."""

    title: str
    aside: str
    bars: Sequence[Bar]


def interval_bars(*groups: Sequence[Panel]) -> str:
    """HTML of the panels, a group on one scale that holds 0 and its intervals; empty without bars."""
    drawn = []
    for panels in groups:
        bars = [bar for panel in panels for bar in panel.bars]
        ticks = nice_ticks(min([0.0, *(bar.low for bar in bars)]), max([0.0, *(bar.high for bar in bars)]))
        drawn += [_panel(panel, ticks) for panel in panels if panel.bars]
    return f'<div class="panels">{"".join(drawn)}</div>' if drawn else ""


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, at most `most`; 0 is one if within."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span))
    for step in (power * factor for factor in (0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5, 10)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            break
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _panel(panel: Panel, ticks: Sequence[float]) -> str:
    tall = _TOP + _ROW * len(panel.bars) + _FOOT
    said = "; ".join(_said(bar) for bar in panel.bars)
    parts = [
        f'<text x="0" y="14"><tspan class="bold">{escape(panel.title)}</tspan>'
        f'<tspan class="quiet" dx="6">{escape(panel.aside)}</tspan></text>'
    ]
    bottom = _TOP + _ROW * len(panel.bars)
    for tick in ticks:
        x = _x(tick, ticks)
        strong = 0.55 if tick == 0 else 0.15
        parts.append(
            f'<path d="M{x:.1f},{_TOP - 2} V{bottom}" stroke="currentColor" opacity="{strong}"/>'
            f'<text class="quiet" x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{_tick(tick)}</text>'
        )
    for row, bar in enumerate(panel.bars):
        parts.append(_bar(bar, _TOP + _ROW * (row + 0.5), ticks))
    label = escape(f"{panel.title}: {said}", quote=True)
    return f'<svg viewBox="0 0 {_WIDE} {tall}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _bar(bar: Bar, y: float, ticks: Sequence[float]) -> str:
    x, left, right = (_x(value, ticks) for value in (bar.mean, bar.low, bar.high))
    colour = f"var(--{bar.look})"
    # A hollow shape is filled with the page's own ground, so that the bar does not show through it.
    fill = f'fill="{colour if bar.filled else "Canvas"}" stroke="{colour}" stroke-width="1.6"'
    shape = _SHAPES[bar.look].format(x=f"{x:.1f}", y=f"{y:g}", fill=fill)
    weight = ' class="bold"' if bar.bold else ""
    return (
        f"<g><title>{escape(_said(bar))}</title>"
        f'<text x="0" y="{y + 4:g}"{weight}>{escape(bar.label)}</text>'
        f'<path d="M{left:.1f},{y:g} H{right:.1f}" stroke="{colour}" stroke-width="2.5" '
        f'stroke-linecap="round"/>{shape}'
        f'<text x="{_WIDE}" y="{y + 4:g}" text-anchor="end"{weight}>{short(bar.mean, bar.sign)}</text></g>'
    )


def _said(bar: Bar) -> str:
    mean, low, high = (short(value, bar.sign) for value in (bar.mean, bar.low, bar.high))
    return f"{bar.label} {mean}, 95 % interval {low} to {high}"


def _x(value: float, ticks: Sequence[float]) -> float:
    return _FROM + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (_TO - _FROM)


def _tick(value: float) -> str:
    return f"{value:g}".replace("0.", ".", 1) if value else "0"
