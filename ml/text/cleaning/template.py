"""A template such as "{title} | {brand}" that says where an item's columns stand in its document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter

_CLOSING = re.compile("[)\\]}>\u00bb\u201d\"']*")  # belongs to the column before it, all else to the next one


class Template:
    """Columns by name between braces; an empty column takes the separator before it along.

    columns: the names, in order. literals: all that stands between them.

    >>> Template("{title} ({brand}) | {group}").render({"title": "Pan", "brand": "", "group": "Kitchen"})
    'Pan | Kitchen'
    """

    def __init__(self, template: str) -> None:
        self._pieces: list[tuple[str, str, str]] = []  # before, column, after
        self._end = ""  # literals since the last column: an escaped brace divides one in two
        for literal, name, _, _ in Formatter().parse(template):
            self._end += literal
            if name is not None:
                before = self._close() if self._pieces else self._end
                self._pieces.append((before, name, ""))
                self._end = ""
        if self._pieces:
            self._end = self._close()
        self.columns = list(dict.fromkeys(column for _, column, _ in self._pieces))
        self.literals = "".join(before + after for before, _, after in self._pieces) + self._end

    def _close(self) -> str:
        """Give the last column its closing brackets; returns what else stands after it."""
        closing = _CLOSING.match(self._end)
        before, column, _ = self._pieces[-1]
        self._pieces[-1] = before, column, closing[0] if closing else ""
        return self._end.removeprefix(self._pieces[-1][2])

    def render(self, texts: Mapping[str, str]) -> str:
        """The document of an item; "" where every column of the template is empty."""
        written: list[str] = []
        for before, column, after in self._pieces:
            if texts[column]:
                written += [before if written else _opening(before), texts[column], after]
        return "".join([*written, self._end]).strip() if written else ""


def _opening(literal: str) -> str:
    """A literal at the start of a document, without the separators that stood before it."""
    return literal.lstrip(" |,;:/\u00b7\u2022\u2013\u2014\t\n-")
