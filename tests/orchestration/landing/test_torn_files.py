"""Files that are cut off or written to while they are read: a clear error, and not one row of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.landing import lines
from orchestration.landing.loading import load_events, load_items
from orchestration.landing.sources import SourceError
from orchestration.resources.warehouse import Warehouse

ROWS = "select * from raw.events order by all"
HEADER = "user_id,item_id,time,event,rating\n"
LINES = "".join(f"u{n},b1,2026-01-0{n % 3 + 1}T10:00:00,view,{n * 7919 % 10007}\n" for n in range(40_000))


def log_of_books(world, name: str, form: str = "csv") -> Path:
    world.document["domains"]["books"]["events"].update(path=name, format=form)
    return world.folder / name


@pytest.mark.parametrize("compression", ["gzip", "zstd", "bz2"])
@pytest.mark.parametrize("size", [10, 400_000])
def test_a_compressed_log_that_is_cut_off_changes_nothing(world, compression: str, size: int) -> None:
    """Found by the check where the first block is torn, by the load where it is a later one."""
    world.load()
    before = world.rows(ROWS)
    path = log_of_books(world, "log.csv.z")
    with pa.output_stream(str(path), compression=compression) as stream:
        stream.write((HEADER + LINES)[: 40 * size].encode())
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(SourceError, match=r"books\.events\.path: .*log\.csv\.z is cut off: "):
        world.load(items=False)
    assert world.rows(ROWS) == before


def test_a_parquet_file_that_is_cut_off_changes_nothing(world) -> None:
    world.load()
    before = world.rows(ROWS)
    path = log_of_books(world, "log.parquet", "parquet")
    columns = HEADER.strip().split(",")
    pq.write_table(pa.table({name: ["x"] * 1000 for name in columns}), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"log\.parquet is cut off: "):
        world.load(items=False)
    assert world.rows(ROWS) == before


def test_damage_inside_a_parquet_file_changes_nothing(world) -> None:
    """Its schema can be read, so it is the load that meets the damage, in its transaction."""
    world.load()
    before = world.rows(ROWS)
    path = log_of_books(world, "log.parquet", "parquet")
    columns = HEADER.strip().split(",")
    pq.write_table(pa.table({name: [f"{n}" for n in range(20_000)] for name in columns}), path)
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"log\.parquet cannot be read as parquet"):
        world.load(items=False)
    assert world.rows(ROWS) == before


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_log_that_grows_while_it_is_read_is_not_loaded(
    world, monkeypatch: pytest.MonkeyPatch, compression: str | None
) -> None:
    world.load()
    before = world.rows(ROWS)
    path = log_of_books(world, "log.csv.z")
    with pa.output_stream(str(path), compression=compression) as stream:
        stream.write((HEADER + LINES).encode())
    begun, written = threading.Event(), threading.Event()

    def write_more() -> None:
        begun.wait(60)
        with path.open("ab") as file:
            file.write(path.read_bytes()[:20] if compression else LINES[:1000].encode())
        written.set()

    def slow_blocks(*arguments: object) -> Iterator[bytes]:
        """The real blocks; between two of them the writer gets its turn."""
        for block in blocks(*arguments):
            yield block
            if len(arguments) > 3 and arguments[3] is None:  # the load, not the look at the header
                begun.set()
                written.wait(60)

    blocks = lines.line_blocks
    monkeypatch.setattr(lines, "BLOCK", 1 << 18)
    monkeypatch.setattr(lines, "line_blocks", slow_blocks)
    writer = threading.Thread(target=write_more)
    writer.start()
    with pytest.raises(SourceError, match=r"log\.csv\.z changed while it was read; nothing was loaded"):
        world.load(items=False)
    begun.set()
    writer.join()
    assert world.rows(ROWS) == before


def test_a_failure_of_any_kind_leaves_the_connection_and_the_rows_usable(world) -> None:
    """The second domain's file is the torn one: what the first has written goes too."""
    world.load()
    before = world.rows(ROWS), world.rows("select * from raw.items order by all")
    world.write("books.csv", HEADER + "u7,b1,2026-01-01T10:00:00,view,\n")
    world.write("books_items.csv", "item_id,title,blurb\nb7,New,\n")
    for name in ("films.jsonl", "films_items.jsonl"):
        path = world.folder / name
        with pa.output_stream(str(path), compression="gzip") as stream:
            stream.write(b'{"user": "u1", "film": "f1", "ts": 1767261600000, "title": "x"}\n' * 300_000)
        path.write_bytes(path.read_bytes()[:-5])
    with Warehouse().write() as connection:
        with pytest.raises(SourceError, match=r"films\.jsonl is cut off"):
            load_events(connection, world.config, world.span())
        with pytest.raises(SourceError, match=r"films_items\.jsonl is cut off"):
            load_items(connection, world.config, world.config.domain_names)
        (world.folder / "films.jsonl").unlink()
        world.write("films.jsonl", '{"user": "u9", "film": "f1", "ts": 1767348000001}\n')
        assert (connection.execute(ROWS).fetchall(), before[0])[0] == before[0]
        loaded = load_events(connection, world.config, world.span())
    assert {domain: found.rows for domain, found in loaded.items()} == {"books": 1, "films": 1}
    assert world.rows("select * from raw.items order by all") == before[1]


def test_trouble_of_the_warehouse_is_not_blamed_on_the_file(world) -> None:
    world.load()
    with Warehouse().write() as connection:
        connection.execute("alter table raw.events rename column raw_line to line")
        with pytest.raises(duckdb.Error, match="raw_line"):
            load_events(connection, world.config, world.span())
