"""The transferability matrix as a picture: sources by targets, one panel for each cohort.

SVG by hand: it goes into a self-contained page as it is, stays sharp, and the same figures give the same
bytes. Blue helps, orange harms: a pair that the colour-blind tell apart, and the numbers say it too.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from orchestration.review.peers import short

if TYPE_CHECKING:
    from ml.bridge.select.transfer_matrix import Cell, Transferability

COHORTS = ("cold", "sparse", "warm")
_HELPS, _NEUTRAL, _HARMS = (33, 102, 172), (247, 247, 247), (179, 88, 6)
_CELL, _HIGH, _GAP, _LINE = 78, 34, 26, 16
_TITLE = 60  # the width of a panel's title, a cohort
_TITLES = 200  # the width of a stage's
_READABLE = 12  # domains; the cells of more are too many for numbers
_LEAST = 0.005  # of the scale: the noise of a matrix without any lift must not look like one


def heat_map(columns: Sequence[Transferability]) -> str:
    """SVG of the lifts of recall: as estimated before training and, below, as measured after it.

    A * marks an interval that excludes 0; a cell without users is empty. Empty text where nothing was found.
    """
    columns = sorted(columns, key=lambda column: column.target)
    stages = {
        "estimated before training": {c.target: c.estimated for c in columns},
        "measured after training": {c.target: c.measured for c in columns},
    }
    stages = {title: cells for title, cells in stages.items() if any(cells.values())}
    found = [cell for cells in stages.values() for column in cells.values() for cell in column]
    if not found:
        return ""
    targets = [column.target for column in columns]
    sources = sorted({cell.source for cell in found})
    cohorts = [cohort for cohort in COHORTS if any(cell.cohort == cohort for cell in found)]
    scale = max([_LEAST, *(abs(cell.mean) for cell in found if cell.mean == cell.mean)])
    left = 12 + 7 * max(len(name) for name in sources)
    panel = max(_CELL * len(targets), _TITLE) + _GAP
    head = 4 * _LINE  # of a stage: its title, then the cohorts, then the targets
    tall = _HIGH * len(sources) + head + _GAP
    parts = []
    for row, (title, cells) in enumerate(stages.items()):
        top = row * tall + head
        parts.append(_text(8, top - 3 * _LINE + 2, title, "start", bold=True))
        for place, cohort in enumerate(cohorts):
            at = left + place * panel, top
            parts.append(_text(at[0], at[1] - 2 * _LINE + 4, f"{cohort} users", "start"))
            parts += [_text(at[0] + (i + 0.5) * _CELL, at[1] - 8, f"→ {t}") for i, t in enumerate(targets)]
            mine = {(c.source, t): c for t in targets for c in cells[t] if c.cohort == cohort}
            parts += _panel(at, sources, targets, mine, scale)
        parts += [_text(left - 8, top + (i + 0.6) * _HIGH, s, "end") for i, s in enumerate(sources)]
    wide = max(left + len(cohorts) * panel, _TITLES)
    return _page(wide, len(stages) * tall, parts)


def inline_svg(svg: str, caption: str) -> str:
    """Markdown of a picture that carries its own bytes."""
    return f"![{caption}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _panel(
    at: tuple[float, float],
    sources: Sequence[str],
    targets: Sequence[str],
    cells: dict[tuple[str, str], Cell],
    scale: float,
) -> list[str]:
    parts = []
    for row, source in enumerate(sources):
        for column, target in enumerate(targets):
            if source == target:
                continue
            cell = cells.get((source, target))
            known = cell is not None and cell.users > 0
            x, y = at[0] + column * _CELL, at[1] + row * _HIGH
            fill, ink = _colours(cell.mean / scale) if cell and known else ("#e8e8e8", "#222")
            said = _said(cell, target) if cell and known else f"{source} → {target}: too few users"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{_CELL - 2}" height="{_HIGH - 2}" rx="3" fill="{fill}">'
                f"<title>{escape(said)}</title></rect>"
            )
            if max(len(sources), len(targets)) <= _READABLE:
                shown = f"{short(cell.mean, '+')}{'*' if cell.certain else ''}" if cell and known else "–"
                place = x + _CELL / 2 - 1, y + _HIGH * 0.6
                parts.append(_text(*place, shown, ink=ink))
    return parts


def _said(cell: Cell, target: str) -> str:
    return (
        f"{cell.source} → {target}, {cell.cohort}: {short(cell.mean, '+')} [{short(cell.low, '+')}, "
        f"{short(cell.high, '+')}], {cell.users:,} users, {cell.reached:,} reached"
    )


def _colours(value: float) -> tuple[str, str]:
    """Fill and ink of a value in [-1, 1]."""
    end, strength = (_HELPS if value > 0 else _HARMS), min(abs(value), 1.0)
    mixed = (round(n + (e - n) * strength) for n, e in zip(_NEUTRAL, end, strict=True))
    return f"#{''.join(f'{part:02x}' for part in mixed)}", "#fff" if strength > 0.75 else "#222"


def _text(
    x: float, y: float, words: str, anchor: str = "middle", *, bold: bool = False, ink: str = "#222"
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{ink}"{weight}>{escape(words)}</text>'


def _page(wide: float, tall: float, parts: Sequence[str]) -> str:
    # White behind it: the page it stands on may be dark.
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="transferability: sources by targets" '
        f'viewBox="0 0 {wide:g} {tall:g}" width="{wide:g}" height="{tall:g}" '
        f'font-family="system-ui, sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" rx="6" fill="#fff"/>{"".join(parts)}</svg>'
    )
