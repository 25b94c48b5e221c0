"""Catalogue files: four formats, and the blanks, repeats and broken lines that real catalogues have."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.demo.catalogue import Catalogue
from ml.demo.event_files import gzip_text
from ml.demo.garden_text import SHELVES

# Lines of `clean`, `padded_id`, `blank_title` and `no_text` are items; the others must be caught.
ITEM_FAULTS = ("clean", "padded_id", "blank_title", "no_text", "unparsable", "missing_item", "duplicate")
_SHARES = {
    "padded_id": 0.01,
    "blank_title": 0.01,
    "no_text": 0.015,
    "unparsable": 0.005,
    "missing_item": 0.005,
    "duplicate": 0.015,
}
_IN_PLACE = ("padded_id", "blank_title", "no_text")
_AT_LEAST = 2
_ITEM_COLUMNS = {
    "films": ("film_id", "title", "synopsis"),
    "books": ("book", "title", "blurb"),
    "music": ("album_id", "title", "description"),
    "garden": ("sku", "name", "details", "shelf", "in_stock"),
}
_SOLD_OUT_EVERY = 11  # items; not drawn, so that nothing else of the world depends on it


@dataclass(frozen=True)
class ItemLine:
    """One line of a catalogue; None where the field is empty. Only the garden's has shelf and in_stock."""

    item: str | None
    title: str | None
    description: str | None
    fault: str
    shelf: str
    in_stock: str


def item_lines(catalogue: Catalogue, can_break: bool, rng: np.random.Generator) -> list[ItemLine]:
    """The catalogue's lines with planted faults; every item keeps one good line, faulty lines come on top.

    A duplicate is an exact copy of an earlier line, or the same id with its title in capitals.
    """
    lines = [
        ItemLine(item, title, description, "clean", SHELVES[theme], "no" if _sold_out(number) else "yes")
        for number, (item, title, description, theme) in enumerate(
            zip(
                catalogue.ids.tolist(),
                catalogue.titles,
                catalogue.descriptions,
                catalogue.themes,
                strict=True,
            )
        )
    ]
    chosen = iter(rng.permutation(len(lines)).tolist())
    after: dict[int, ItemLine] = {}
    for fault, share in _SHARES.items():
        if fault == "unparsable" and not can_break:
            continue
        for number in range(max(_AT_LEAST, round(share * len(lines)))):
            place = next(chosen)
            line = _spoiled(lines[place], fault, number)
            if fault in _IN_PLACE:
                lines[place] = line
            else:
                after[place] = line
    return [line for place, good in enumerate(lines) for line in (good, after.get(place)) if line is not None]


def _sold_out(number: int) -> bool:
    return number % _SOLD_OUT_EVERY == _SOLD_OUT_EVERY - 1


def _spoiled(line: ItemLine, fault: str, number: int) -> ItemLine:
    item, title, description = line.item, line.title, line.description
    if fault == "padded_id":
        item = f" {item}  "
    elif fault == "blank_title":
        title = None if number % 2 else "  "
    elif fault == "no_text":
        title = description = None
    elif fault == "missing_item":
        item = None
    elif fault == "duplicate" and number % 2 and title:
        title = title.upper()
    return replace(line, item=item, title=title, description=description, fault=fault)


def count_faults(lines: Iterable[ItemLine]) -> dict[str, int]:
    """Lines by kind, every kind named."""
    counts = Counter(line.fault for line in lines)
    return {fault: counts[fault] for fault in ITEM_FAULTS}


def _csv_text(row: Iterable[str | None]) -> str:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerow(["" if cell is None else cell for cell in row])
    return sink.getvalue()


def _items_csv(lines: list[ItemLine], columns: tuple[str, ...]) -> Iterator[str]:
    yield ",".join(columns) + "\n"
    for line in lines:
        if line.fault == "unparsable":
            yield f"{line.item}\n"  # cut off after the id
        else:
            cells = (line.item, line.title, line.description, line.shelf, line.in_stock)
            yield _csv_text(cells[: len(columns)])


def _items_jsonl(lines: list[ItemLine], columns: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        cells = (line.item, line.title, line.description)
        text = json.dumps(dict(zip(columns, cells, strict=True)), ensure_ascii=False)
        yield (text[: len(text) // 2] if line.fault == "unparsable" else text) + "\n"


def _write_text(path: Path, lines: Iterator[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(lines)


def _write_gzip(path: Path, lines: Iterator[str]) -> None:
    with gzip_text(path) as file:
        file.writelines(lines)


def write_items(folder: Path, domain: str, lines: list[ItemLine]) -> None:
    """The catalogue of `domain` in its own format."""
    columns = _ITEM_COLUMNS[domain]
    if domain == "books":
        _write_gzip(folder / "items.jsonl.gz", _items_jsonl(lines, columns))
    elif domain == "music":
        cells = zip(*((line.item, line.title, line.description) for line in lines), strict=True)
        arrays = [pa.array(column, pa.string()) for column in cells]
        pq.write_table(
            pa.Table.from_arrays(arrays, names=list(columns)), folder / "items.parquet", compression="zstd"
        )
    else:
        _write_text(folder / "items.csv", _items_csv(lines, columns))
