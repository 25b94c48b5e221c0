"""Python dict literals as JSON: the form of the metadata files of the Amazon reviews of 2014."""

from __future__ import annotations

import ast
import json
import warnings


def json_of_literal(line: str) -> str | None:
    """The dict that the line spells, as JSON (ASCII); None where it spells none. Nothing is evaluated.

    What JSON has no word for (sets, bytes, complex numbers) becomes the text Python prints for it.
    """
    try:
        with warnings.catch_warnings():  # '\d' in a text is Amazon's affair, not the reader's of the log
            warnings.simplefilter("ignore")
            record = ast.literal_eval(line.strip())
        return json.dumps(record, default=str) if isinstance(record, dict) else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
