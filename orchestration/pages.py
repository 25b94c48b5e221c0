"""Pages: sections of lines, tables and pictures, written as markdown and as self-contained HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape


@dataclass(frozen=True)
class Table:
    """Cells as text, the first column being the row's name."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """One heading of the card with its lines and, below them, an optional table and an SVG (HTML only)."""

    title: str
    lines: Sequence[str] = field(default_factory=tuple)
    table: Table | None = None
    picture: str = ""


def markdown_page(verdict: str, sections: Iterable[Section]) -> str:
    """GitHub-flavoured markdown; pictures are for HTML alone."""
    parts = [f"**{verdict}**"]
    for section in sections:
        parts.append(f"**{section.title}**")  # MLflow prints headings like text
        if section.lines:
            parts.append("\n".join(f"- {line}" for line in section.lines))
        if section.table:
            parts.append(markdown_table(section.table))
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """A markdown table, names to the left and figures to the right."""
    rule = [":--"] + ["--:"] * (len(table.header) - 1)
    # The em space keeps columns apart in MLflow, whose tables have no padding.
    spaced = [[row[0], *(f"&emsp;{cell}" for cell in row[1:])] for row in (table.header, *table.rows)]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in spaced]  # an id may hold a bar
    return "\n".join("| " + " | ".join(row) + " |" for row in (escaped[0], rule, *escaped[1:]))


def html_page(title: str, verdict: str, look: str, sections: Iterable[Section]) -> str:
    """One HTML file: no script, nothing fetched, light and dark. look: the class of the verdict."""
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="verdict {escape(look)}">{escape(verdict)}</p>']
    for section in sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        if section.lines:
            parts.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in section.lines) + "</ul>")
        if section.table:
            parts.append(_html_table(section.table))
        if section.picture:
            parts.append(f'<div class="scroll">{section.picture}</div>')
    return _PAGE.format(title=escape(title), style=_STYLE, body="".join(parts))


def _html_table(table: Table) -> str:
    # Words read from the left, figures compare from the right.
    words = [any(row[i][:1].isalpha() for row in table.rows) for i in range(len(table.header))]
    look = [' class="words"' if column else "" for column in words]
    head = "".join(
        f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(look, table.header, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td{kind}>{escape(c)}</td>" for kind, c in zip(look[1:], row[1:], strict=True))
        + "</tr>"
        for row in table.rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style>
</head>
<body>{body}</body>
</html>
"""
_STYLE = """
:root { color-scheme: light dark; --line: #8886; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin-top: 1.6rem; }
.verdict { font-size: 1.1rem; padding: .6rem .9rem; border-left: 5px solid #0072b2; background: #0072b21a; }
.verdict.twin { border-color: #e69f00; background: #e69f001a; }
.verdict.popularity { border-color: #d55e00; background: #d55e001a; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, .words { text-align: left; }
"""
