"""Recall over time as a picture: a line a candidate, a bar for each interval.

SVG by hand: it goes into a self-contained page as it is and stays sharp. Candidates differ in marker and dash
and are named above, so that colour is only a help; light and dark follow the reader's setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

from orchestration.review.peers import short

WIDE, TALL = 440, 270  # a phone's width shows it whole, its letters still readable
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 40, 32
_INSET = 30  # the first and the last as-of stand this far inside, for their dates
_APART = 5.0  # between candidates at one as-of at most, so that their bars do not hide each other
_DATE = 84  # least distance of two dates below the axis
_DASHES = {"popularity": "2 4", "twin": "7 4", "bridge": "none", "champion": "9 3 2 3"}
_STYLE = """
.backtest { --ink: #222; --paper: #fff; --grid: #0002;
  --popularity: #6b6b6b; --twin: #b35c00; --bridge: #0072b2; --champion: #a0408a; }
@media (prefers-color-scheme: dark) { .backtest { --ink: #e6e6e6; --paper: #1c1c1e; --grid: #fff3;
  --popularity: #b5b5b5; --twin: #f0a93c; --bridge: #56b4e9; --champion: #e29ccb; } }
.backtest { width: 100%; max-width: 580px; height: auto; display: block; }
.backtest text { fill: var(--ink); }
"""


@dataclass(frozen=True)
class Mark:
    """A mean at an as-of with its interval."""

    as_of: date
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One candidate's marks, in order of time."""

    candidate: str
    marks: Sequence[Mark]


@dataclass(frozen=True)
class _Scale:
    """Places of as-ofs and values in the picture."""

    first: date
    days: int
    top: float

    def x(self, as_of: date) -> float:
        share = (as_of - self.first).days / self.days if self.days else 0.5
        return LEFT + _INSET + share * (WIDE - LEFT - RIGHT - 2 * _INSET)

    def y(self, value: float) -> float:
        return TALL - BOTTOM - value / self.top * (TALL - TOP - BOTTOM)


def chart(lines: Sequence[Line], caption: str) -> str:
    """SVG of some candidates over time; empty text where there is no mark. The axis starts at 0."""
    marks = [mark for line in lines for mark in line.marks]
    if not marks:
        return ""
    days = sorted({mark.as_of for mark in marks})
    step = _step(max(mark.high for mark in marks))
    ticks = [step * i for i in range(int(max(mark.high for mark in marks) / step) + 2)]
    scale = _Scale(days[0], (days[-1] - days[0]).days, ticks[-1])
    apart = min(_APART, (WIDE - LEFT - RIGHT - 2 * _INSET) / len(days) / (len(lines) + 1))
    shifts = [(place - (len(lines) - 1) / 2) * apart for place in range(len(lines))]
    drawn = [part for line, shift in zip(lines, shifts, strict=True) for part in _line(scale, line, shift)]
    return _page([*_axes(scale, days, ticks), *drawn, *_names(lines)], caption)


def _step(highest: float) -> float:
    """A round distance of ticks that gives about five of them."""
    from math import floor, log10

    rough = max(highest, 1e-4) / 4
    unit = 10 ** floor(log10(rough))
    return next(unit * nice for nice in (1, 2, 2.5, 5, 10) if unit * nice >= rough)


def _axes(scale: _Scale, days: Sequence[date], ticks: Sequence[float]) -> list[str]:
    parts = []
    for tick in ticks:
        y = scale.y(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDE - RIGHT}" stroke="var(--grid)"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{tick:.4g}", "end"))
    free = float(WIDE)
    for day in reversed(days):  # the newest is always written
        if scale.x(day) <= free:
            parts.append(_text(scale.x(day), TALL - BOTTOM + 20, day.isoformat(), "middle"))
            free = scale.x(day) - _DATE
    return parts


def _line(scale: _Scale, line: Line, shift: float) -> list[str]:
    spots = [(scale.x(mark.as_of) + shift, scale.y(mark.mean), mark) for mark in line.marks]
    colour, dash = f"var(--{line.candidate})", _DASHES[line.candidate]
    track = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in spots)
    parts = [
        f'<polyline points="{track}" fill="none" stroke="{colour}" stroke-width="2" '
        f'stroke-dasharray="{dash}"/>'
    ]
    for x, y, mark in spots:
        low, high = scale.y(mark.low), scale.y(mark.high)
        bar = f"M{x:.1f} {low:.1f}V{high:.1f}M{x - 3:.1f} {low:.1f}h6M{x - 3:.1f} {high:.1f}h6"
        said = f"{line.candidate}, {mark.as_of}: {short(mark.mean)} [{short(mark.low)}, {short(mark.high)}]"
        parts.append(f'<path d="{bar}" stroke="{colour}" fill="none"/>')
        parts.append(f"<g>{_marker(line.candidate, x, y)}<title>{escape(said)}</title></g>")
    return parts


def _marker(candidate: str, x: float, y: float) -> str:
    shapes = {
        "popularity": "m-4.5 -4.5h9v9h-9z",  # square
        "twin": "m0 -6l5.5 10h-11z",  # triangle
        "bridge": "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",  # disc
        "champion": "m0 -6.5l5.5 6.5l-5.5 6.5l-5.5 -6.5z",  # diamond
    }
    shape = f'd="M{x:.1f} {y:.1f}{shapes[candidate]}"'
    return f'<path {shape} fill="var(--{candidate})" stroke="var(--paper)" stroke-width="1"/>'


def _names(lines: Sequence[Line]) -> list[str]:
    """Above the lines each candidate's marker and name, the best at the end first."""
    best_first = sorted(lines, key=lambda line: -line.marks[-1].mean)
    parts = []
    for place, line in enumerate(best_first):
        x = 14 + place * (WIDE - 14) / 4
        parts.append(_marker(line.candidate, x, 16))
        parts.append(_text(x + 10, 20, line.candidate, "start"))
    return parts


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _page(parts: Sequence[str], caption: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="backtest" role="img" aria-label="{escape(caption)}" '
        f'viewBox="0 0 {WIDE} {TALL}" width="{WIDE}" height="{TALL}" '
        f'font-family="system-ui, sans-serif" font-size="12"><style>{_STYLE}</style>'
        # A ground of its own: where it stands as an image, the page around it may have the other scheme.
        f'<rect width="100%" height="100%" rx="6" fill="var(--paper)"/>{"".join(parts)}</svg>'
    )
