"""Answers by the hash of what was asked, so that no answer is paid for twice.

SQLite, one small transaction an answer: a killed run keeps every answer it has, and two processes may share
the file. A row without a text says that the question was given up before; such questions come last.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from ml.text.generate.contract import Prompt

_SCHEMA = "create table if not exists answers (key text primary key, text text) without rowid"
# Seconds to wait for another process that writes.
_PATIENCE = 30.0
_AT_ONCE = 500
T = TypeVar("T")


def key_of(identity: str, prompt: Prompt) -> str:
    """SHA-256 over the model's identity and everything it is asked."""
    asked = [identity, prompt.system, prompt.data, json.dumps(prompt.schema, sort_keys=True)]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


class AnswerCache:
    """The file at `path`, made when it is first used. One that is damaged is set aside as .damaged."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def read(self, keys: Iterable[str]) -> dict[str, str | None]:
        """What is known of the keys: the text, or None where the question was given up; others are absent."""
        wanted = list(keys)

        def select(connection: sqlite3.Connection) -> dict[str, str | None]:
            found: dict[str, str | None] = {}
            for start in range(0, len(wanted), _AT_ONCE):
                part = wanted[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                query = f"select key, text from answers where key in ({marks})"
                found.update(connection.execute(query, part).fetchall())
            return found

        return self._run(select)

    def write(self, key: str, text: str | None) -> None:
        """Keep an answer, or that there is none. A text never gives way to none."""

        def upsert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "insert into answers values (?, ?)"
                " on conflict (key) do update set text = coalesce(excluded.text, answers.text)",
                (key, text),
            )

        self._run(upsert)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return self._transaction(work)
        except sqlite3.OperationalError:  # locked, read-only, disk full: the file itself is sound
            raise
        except sqlite3.DatabaseError:
            warnings.warn(
                f"{self.path} is damaged and was set aside as .damaged: its texts are asked for again",
                stacklevel=3,
            )
            self.path.replace(self.path.with_suffix(".damaged"))
            return self._transaction(work)

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as connection, connection:
            connection.execute(_SCHEMA)
            return work(connection)
