"""Pages: sections of lines, tables and pictures, written as markdown and as self-contained HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from orchestration.page_style import PAGE, STYLE

SENTENCE = 36  # characters; cells longer than this are sentences
_WHOLE = re.compile(r"(\d+ %|\w[^\s-]*-\S+)")  # shares, dates and names, which a browser would break


@dataclass(frozen=True)
class Table:
    """Cells as text, the first column being the row's name."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """One heading with its lines and, below them, an optional table, an SVG (HTML only) and further sections.

    folded: closed behind its title on a page, for what few readers need at once.
    """

    title: str
    lines: Sequence[str] = field(default_factory=tuple)
    table: Table | None = None
    picture: str = ""
    parts: Sequence[Section] = ()
    folded: bool = False


def markdown_page(verdict: str, sections: Iterable[Section]) -> str:
    """GitHub-flavoured markdown; pictures are for HTML alone."""
    return "\n\n".join([f"**{verdict}**", *map(markdown_section, sections)]) + "\n"


def markdown_section(section: Section) -> str:
    """One section and those within it."""
    parts = [f"### **{section.title}**"]  # MLflow prints headings no bolder than text
    if section.lines:
        parts.append("\n".join(f"- {line}" for line in section.lines))
    if section.table:
        # Below a table MLflow leaves no room: the next heading would stick to it.
        parts += [markdown_table(section.table), "&nbsp;"]
    return "\n\n".join([*parts, *map(markdown_section, section.parts)])


def markdown_table(table: Table) -> str:
    """A markdown table, names to the left and figures to the right."""
    rule = [":--"] + ["--:"] * (len(table.header) - 1)
    # The em space keeps columns apart in MLflow, whose tables have no padding. It stands behind the cells:
    # before them it would indent the first line of those that break.
    spaced = [[*(f"{cell}&emsp;" for cell in row[:-1]), *row[-1:]] for row in (table.header, *table.rows)]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in spaced]  # an id may hold a bar
    return "\n".join("| " + " | ".join(row) + " |" for row in (escaped[0], rule, *escaped[1:]))


def html_page(title: str, verdict: str, look: str, sections: Iterable[Section]) -> str:
    """One HTML file: no script, nothing fetched, light and dark. look: the class of the verdict."""
    head = f'<h1>{escape(title)}</h1><p class="verdict {escape(look)}">{escape(verdict)}</p>'
    body = head + "".join(_html_section(section) for section in sections)
    return PAGE.format(title=escape(title), style=STYLE, body=body)


def _html_section(section: Section, level: int = 2) -> str:
    heading, parts = f"<h{level}>{escape(section.title)}</h{level}>", []
    if section.picture:
        parts.append(f'<div class="scroll">{section.picture}</div>')
    if section.lines:
        parts.append(f"<ul>{''.join(map(_html_line, section.lines))}</ul>")
    if section.table:
        parts.append(_html_table(section.table))
    body = "".join([*parts, *(_html_section(part, level + 1) for part in section.parts)])
    if section.folded:
        return f"<details><summary>{heading}</summary>{body}</details>"
    return f"<section>{heading}{body}</section>"


def _html_line(line: str) -> str:
    # A line that begins with a sign needs no bullet.
    sign = {"✓": ' class="held"', "✗": ' class="failed"'}.get(line[:1], "")
    return f"<li{sign}>{escape(line)}</li>"


def _html_table(table: Table) -> str:
    kinds = [_kind([row[i] for row in table.rows]) for i in range(len(table.header))]
    head = "".join(
        f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(kinds, table.header, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row"{kinds[0]}>{escape(row[0])}</th>'
        + "".join(_html_cell(cell, kind) for cell, kind in zip(row[1:], kinds[1:], strict=True))
        + "</tr>"
        for row in table.rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _html_cell(cell: str, kind: str) -> str:
    pieces = enumerate(_WHOLE.split(cell))
    shown = "".join(f'<span class="whole">{escape(p)}</span>' if i % 2 else escape(p) for i, p in pieces)
    return f"<td{kind}>{f'<b>{shown}</b>' if cell.startswith('✓') else shown}</td>"


def _kind(cells: Sequence[str]) -> str:
    """Words read from the left, figures compare from the right, and sentences have room to break in."""
    if any(len(cell) > SENTENCE and " " in cell for cell in cells):
        return ' class="words text"'
    return ' class="words"' if any(_is_words(cell) for cell in cells) else ""


def _is_words(cell: str) -> bool:
    """Whether a cell holds more letters than digits."""
    return sum(map(str.isalpha, cell)) > sum(map(str.isdigit, cell))
