"""An independent reading of a demo world: plain csv, json and pyarrow, sharing no code with the generator."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

DOMAINS = ("films", "books", "music", "garden")
WEIGHTS = {"view": 1, "cart": 2, "purchase": 4, "rating": 3, "cancel": -4}
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
END = datetime(2026, 4, 1, tzinfo=UTC).timestamp()
Row = tuple  # (user, item, time, event, value) as read, or () for a line that cannot be parsed


def csv_rows(text: str, width: int) -> Iterator[Row]:
    lines = csv.reader(io.StringIO(text))
    next(lines)
    yield from (tuple(line) if len(line) == width else () for line in lines)


def json_rows(path: Path) -> Iterator[Row]:
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        try:
            yield tuple(json.loads(line).values())
        except json.JSONDecodeError:
            yield ()


def parquet_rows(*paths: Path) -> Iterator[Row]:
    for path in paths:
        yield from (tuple(row.values()) for row in pq.read_table(path).to_pylist())


def event_rows(world: Path, domain: str) -> Iterator[Row]:
    if domain == "films":
        for path in sorted((world / "films/events").iterdir()):
            yield from csv_rows(gzip.decompress(path.read_bytes()).decode(), 5)
    elif domain == "books":
        yield from json_rows(world / "books/events.jsonl.gz")
    elif domain == "music":
        yield from parquet_rows(*sorted((world / "music").glob("events-*.parquet")))
    else:
        yield from csv_rows((world / "garden/events.csv").read_text(), 5)


def item_rows(world: Path, domain: str) -> Iterator[Row]:
    if domain == "books":
        yield from json_rows(world / "books/items.jsonl.gz")
    elif domain == "music":
        yield from parquet_rows(world / "music/items.parquet")
    else:
        text = (world / domain / "items.csv").read_text(encoding="utf-8")
        rows = csv_rows(text, 5 if domain == "garden" else 3)
        yield from (row[:3] for row in rows)  # what the garden has besides is no text


def user_rows(world: Path, domain: str) -> list[Row]:
    if domain == "books":
        return list(json_rows(world / "books/users.jsonl.gz"))
    if domain == "music":
        return list(parquet_rows(world / "music/users.parquet"))
    return list(csv_rows((world / domain / "users.csv").read_text(), 3))


def seconds(domain: str, time: object) -> float | None:
    """The time of a line in seconds since epoch; None where it is none."""
    try:
        if domain == "films":
            return float(str(time))
        if domain == "books":
            return time / 1000 if isinstance(time, int) else None
        if domain == "music":
            return time.timestamp()  # type: ignore[attr-defined]
        return datetime.fromisoformat(str(time)).timestamp()
    except (ValueError, AttributeError):
        return None


def _field_fault(row: Row, domain: str, catalogue: dict[str, str]) -> str:
    user, item, time, event, value = row
    moment = seconds(domain, time)
    if not (user or "").strip():
        return "missing_user"
    if not (item or "").strip():
        return "missing_item"
    if moment is None:
        return "bad_time"
    if moment >= END:
        return "future_time"
    if moment < START:
        return "before_calendar"
    if event not in WEIGHTS:
        return "unknown_event"
    if value not in ("", None) and float(value) < 0:
        return "negative_value"
    if item.strip() not in catalogue:
        return "orphan_item"
    return "padded_id" if (user, item) != (user.strip(), item.strip()) else "clean"


def classified_events(world: Path, domain: str) -> Iterator[tuple[str, Row]]:
    """Each line of a log with what is wrong with it."""
    known, seen = catalogue(world, domain), set()
    for row in event_rows(world, domain):
        if not row:
            yield "unparsable", row
        elif row in seen:
            yield "duplicate", row
        else:
            seen.add(row)
            yield _field_fault(row, domain, known), row


def item_faults(world: Path, domain: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for row in item_rows(world, domain):
        item, title, description = row if row else (None, None, None)
        if not row:
            fault = "unparsable"
        elif not (item or "").strip():
            fault = "missing_item"
        elif item.strip() in seen:
            fault = "duplicate"
        elif not (title or "").strip():
            fault = "blank_title" if description else "no_text"
        else:
            fault = "clean" if item == item.strip() else "padded_id"
        seen.add((item or "").strip())
        counts[fault] += 1
    return counts


def catalogue(world: Path, domain: str) -> dict[str, str]:
    """Item id -> title and description, from the first line of each item."""
    texts: dict[str, str] = {}
    for row in item_rows(world, domain):
        if row and (row[0] or "").strip():
            text = " ".join((part or "").strip() for part in row[1:]).strip()
            texts.setdefault(row[0].strip(), text)
    return texts


def good_events(world: Path, domain: str) -> list[tuple[str, str, float, str]]:
    """(user, item, time, event) of the lines that a correct pipeline keeps."""
    return [
        (row[0].strip(), row[1].strip(), seconds(domain, row[2]) or 0.0, row[3])
        for fault, row in classified_events(world, domain)
        if fault in ("clean", "padded_id")
    ]
