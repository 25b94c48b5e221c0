"""Names, texts and paths as SQL takes them literally."""

from __future__ import annotations

import re
from pathlib import Path


def quote(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def glob_escape(path: Path) -> str:
    """A path as DuckDB's readers take it literally, whatever pattern characters it holds."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))
