"""The four logs, each in another format, as where surfaces were built by different teams."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ml.demo.render import Fields

Days = Iterator[tuple[date, Fields]]
_BAD_TIMES = ("n/a", "0000-00-00", "yesterday", "")
_MUSIC = pa.schema(
    [
        ("listener", pa.string()),
        ("album_id", pa.string()),
        ("played_at", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),
        ("stars", pa.float64()),
    ]
)


@contextmanager
def gzip_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """A gzip text file whose bytes depend on its content alone (no name, no time in the header)."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        yield text


def _csv_lines(fields: Fields, time: Callable[[int], str]) -> Iterator[str]:
    rows = zip(
        fields.users, fields.items, fields.times, fields.types, fields.values, fields.broken, strict=True
    )
    for number, (user, item, seconds, kind, value, broken) in enumerate(rows):
        moment = _BAD_TIMES[number % len(_BAD_TIMES)] if seconds is None else time(seconds)
        line = f"{user or ''},{item or ''},{moment},{kind},{'' if value is None else value}"
        if broken:
            # Cut off in mid-write, or two lines run together: too few fields or too many.
            line = line[: line.index(",") + 4] if number % 2 else f"{line},{line}"
        yield line + "\n"


def _json_lines(fields: Fields) -> Iterator[str]:
    rows = zip(
        fields.users, fields.items, fields.times, fields.types, fields.values, fields.broken, strict=True
    )
    for number, (user, item, seconds, kind, value, broken) in enumerate(rows):
        # The milliseconds follow from the second, so that a copied line stays an exact copy.
        moment = (
            _BAD_TIMES[number % len(_BAD_TIMES)]
            if seconds is None
            else seconds * 1000 + seconds * 7919 % 1000
        )
        event = {"reader": user, "book": item, "ts": moment, "event": kind, "rating": value}
        line = json.dumps(event)
        yield (line[: len(line) // 2] if broken else line) + "\n"


def iso_time(seconds: int) -> str:
    """`2026-01-01T13:05:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_films(folder: Path, days: Days) -> None:
    """One gzip CSV a day, times in seconds since epoch."""
    (folder / "events").mkdir(parents=True)
    for day, fields in days:
        with gzip_text(folder / "events" / f"{day.isoformat()}.csv.gz") as file:
            file.write("user_id,film_id,timestamp,action,stars\n")
            file.writelines(_csv_lines(fields, str))


def write_books(folder: Path, days: Days) -> None:
    """One gzip JSONL file, times in milliseconds since epoch."""
    with gzip_text(folder / "events.jsonl.gz") as file:
        for _, fields in days:
            file.writelines(_json_lines(fields))


def write_music(folder: Path, days: Days) -> None:
    """One Parquet file a month with typed timestamps, one row group a day."""
    writer: pq.ParquetWriter | None = None
    month = ""
    for day, fields in days:
        if f"{day:%Y-%m}" != month:
            if writer:
                writer.close()
            month = f"{day:%Y-%m}"
            writer = pq.ParquetWriter(folder / f"events-{month}.parquet", _MUSIC, compression="zstd")
        assert writer is not None
        micros = [None if seconds is None else seconds * 1_000_000 for seconds in fields.times]
        values = [None if value is None else float(value) for value in fields.values]
        columns = (fields.users, fields.items, micros, fields.types, values)
        writer.write_table(
            pa.Table.from_arrays(
                [pa.array(column, field.type) for column, field in zip(columns, _MUSIC, strict=True)],
                schema=_MUSIC,
            )
        )
    if writer:
        writer.close()


def write_garden(folder: Path, days: Days) -> None:
    """One plain CSV file, times as ISO text."""
    with (folder / "events.csv").open("w", encoding="utf-8", newline="") as file:
        file.write("customer,sku,time,event,rating\n")
        for _, fields in days:
            file.writelines(_csv_lines(fields, iso_time))


EVENT_WRITERS: dict[str, Callable[[Path, Days], None]] = {
    "films": write_films,
    "books": write_books,
    "music": write_music,
    "garden": write_garden,
}
