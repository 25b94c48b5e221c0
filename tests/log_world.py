"""A hand-written world of two domains for the tests of the path from log files to the training snapshot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from orchestration.config import Config, parse_config
from orchestration.landing.loading import Span, load_events, load_items
from orchestration.resources.warehouse import Warehouse

REPOSITORY = Path(__file__).resolve().parents[1]
# books: one line for every reason of the quarantine, in the order in which reasons are tried.
BOOKS_EVENTS = """user_id,item_id,time,event,rating
u1,b1,2026-01-01T10:00:00,view,
u1,b1,2026-01-01T11:00:00,purchase,5
u1,b1,2026-01-02T09:00:00,cancel,
u2,"b,2",2026-01-03 12:00:00,purchase,4
u2,b1
,b1,2026-01-01T10:00:00,view,
u1, ,2026-01-01T10:00:00,view,
u1,b1,yesterday,view,
u1,b1,2025-12-31T23:59:59,view,
u1,b1,2026-01-04T00:00:00,view,
u1,b1,2026-01-02T10:00:00,stare,
u1,b1,2026-01-02T10:00:00,purchase,-1
u1,b1,2026-01-01T10:00:00,view,
u1,b9,2026-01-03T10:00:00,view,
"""
BOOKS_ITEMS = """item_id,title,blurb
b1,  The  Lighthouse ,A keeper and the sea
"b,2",Tides,
b3,,
"""
FILMS_EVENTS = """{"user": "u1", "film": "f1", "ts": 1767261600000}
{"user": "u3", "film": "f1", "ts": 1767348000000}
not json
"""
FILMS_ITEMS = '{"film": "f1", "title": "Harbour"}\n'
KEPT = {"books": 4, "films": 2}
QUARANTINED = {
    "unparsable": 2,  # one line in each domain
    "missing_user": 1,
    "missing_item": 1,
    "bad_time": 1,
    "before_calendar": 1,
    "future_time": 1,
    "unknown_event": 1,
    "negative_value": 1,
    "duplicate": 1,
    "orphan_item": 1,
}


PARSED = ("partial_parse.msgpack", "manifest.json", "stamp")  # the stamp last: it says that all is there


@dataclass
class World:
    """Landing files, a configuration and a LANDBRIDGE_HOME below one folder.

    `parsed` keeps the parsed dbt project from test to test: parsing it anew costs a process 11 s.
    """

    folder: Path
    document: dict[str, Any]
    parsed: Path

    @property
    def config(self) -> Config:
        """The configuration as it stands in `document`; also written, for other processes."""
        path = self.folder / "landbridge.yaml"
        path.write_text(yaml.safe_dump(self.document))
        return parse_config(self.document, path)

    @property
    def home(self) -> Path:
        """LANDBRIDGE_HOME of the programs that work on this world."""
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program that works on this world, whose home has the parsed dbt project."""
        self.bring_parsed()
        path = str(self.folder / "landbridge.yaml")
        return {
            **os.environ,
            "LANDBRIDGE_HOME": str(self.home),
            "LANDBRIDGE_CONFIG": path,
            "DAGSTER_HOME": "",
        }

    def bring_parsed(self) -> None:
        """Put the parsed project where an earlier command on this home would have left it."""
        if not (self.home / "dbt").exists():
            _copy_parsed(self.parsed, self.home / "dbt")

    def keep_parsed(self) -> None:
        """Take what a program of this test has parsed for the tests that follow."""
        if not (self.parsed / "stamp").exists():
            _copy_parsed(self.home / "dbt", self.parsed)

    def write(self, name: str, text: str) -> Path:
        """Write a landing file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def span(self, start: str = "2026-01-01", end: str = "2026-01-04", domains: Sequence[str] = ()) -> Span:
        """All domains and windows, or fewer."""
        return Span(
            tuple(domains or sorted(self.document["domains"])),
            date.fromisoformat(start),
            date.fromisoformat(end),
        )

    def load(self, span: Span | None = None, items: bool = True) -> None:
        """Ingest, as the raw assets do."""
        with Warehouse().write() as connection:
            if items:
                load_items(connection, self.config, self.config.domain_names)
            load_events(connection, self.config, span or self.span())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query on the warehouse."""
        with Warehouse().read() as connection:
            return connection.execute(query).fetchall()

    def python(self, code: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program in a process of its own, where this configuration is the one imported."""
        _ = self.config
        command = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(command, cwd=REPOSITORY, env=self.environment, capture_output=True, text=True)
        if check:
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done


def _copy_parsed(source: Path, target: Path) -> None:
    if (source / "stamp").exists():
        target.mkdir(parents=True, exist_ok=True)
        for name in PARSED:
            shutil.copy(source / name, target)


def document() -> dict[str, Any]:
    columns = {"user": "user_id", "item": "item_id", "time": "time", "event": "event", "value": "rating"}
    return {
        "calendar": {"grain": "day", "start": "2026-01-01", "end": "2026-01-04"},
        "domains": {
            "books": {
                "events": {"path": "books.csv", "format": "csv", "columns": columns},
                "items": {
                    "path": "books_items.csv",
                    "format": "csv",
                    "columns": {"item": "item_id", "text": ["title", "blurb"]},
                },
                "event_weights": {"view": 1, "purchase": 4},
            },
            "films": {
                "events": {
                    "path": "films.jsonl",
                    "format": "jsonl",
                    "columns": {"user": "user", "item": "film", "time": "ts"},
                    "time_unit": "ms",
                },
                "items": {
                    "path": "films_items.jsonl",
                    "format": "jsonl",
                    "columns": {"item": "film", "text": ["title"]},
                },
            },
        },
    }
