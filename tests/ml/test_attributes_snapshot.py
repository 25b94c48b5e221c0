"""A snapshot with what lists are filtered by: only where it is known, and without it the same to the byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.retrieval.filters import Filter
from ml.snapshot_files import (
    INTERACTIONS_SCHEMA,
    ITEMS_FILE,
    ITEMS_SCHEMA,
    read_catalogue,
    read_snapshot,
    write_snapshot,
)

# Of ROWS and ITEMS by the code before there were attributes.
DIGEST_WITHOUT = "9057937ccefae6a1945106af121f8f9acfa4d40c574c9307f819a256acb7ccbb"
ROWS = pa.table(
    [["a"], ["u1"], ["i1"], pa.array([5], pa.timestamp("us", tz="UTC")), pa.array([1.0], pa.float32())],
    schema=INTERACTIONS_SCHEMA,
)
ITEMS = pa.table(
    [["b", "a", "a"], ["j1", "i2", "i1"], [None, "Quay", "Tides"], [None, "h2", "h1"]], schema=ITEMS_SCHEMA
)


def written(folder: Path, **columns: pa.Array) -> Path:
    items = ITEMS
    for name, column in columns.items():
        items = items.append_column(name, column)
    return write_snapshot(folder, ROWS, items, as_of=10)


def test_without_attributes_a_snapshot_is_what_it_was_before_there_were_any(tmp_path) -> None:
    path = written(tmp_path)
    assert read_snapshot(path).digest == DIGEST_WITHOUT
    nothing = {
        "available": pa.nulls(3, pa.bool_()),
        "category": pa.nulls(3, pa.string()),
        "regions": pa.nulls(3, pa.list_(pa.string())),
    }
    assert written(tmp_path, **nothing) == path
    assert all(catalogue.attributes is None for catalogue in read_snapshot(path).catalogues.values())


def test_columns_follow_their_items_into_the_domain_that_has_them(tmp_path) -> None:
    path = written(
        tmp_path,
        available=pa.array([None, False, None]),
        regions=pa.array([None, ["eu"], ["us", "eu"]], pa.list_(pa.string())),
    )
    names = ["domain", "item_id", "title", "text_hash", "available", "regions"]
    assert pq.read_schema(path / ITEMS_FILE).names == names
    snapshot = read_snapshot(path)
    assert snapshot.digest != DIGEST_WITHOUT
    assert snapshot.catalogues["b"].attributes is None
    for found in (snapshot.catalogues["a"], read_catalogue(path, "a")):
        assert found.item_ids.tolist() == ["i1", "i2"]
        assert found.attributes is not None
        assert found.attributes.category is None
        assert Filter().mask(found.attributes).tolist() == [True, False]
        assert Filter(False, None, frozenset({"us"})).mask(found.attributes).tolist() == [True, False]
    vectors = {"a": np.ones((2, 3), np.float32)}
    assert snapshot.with_vectors(vectors).catalogues["a"].attributes is snapshot.catalogues["a"].attributes


@pytest.mark.parametrize("available", [[True, None, None], [False, None, None], [None, True, None]])
def test_a_changed_stock_is_another_snapshot(tmp_path, available: list) -> None:
    paths = {written(tmp_path, available=pa.array(a)) for a in (available, [None, None, True])}
    assert len(paths) == 2


def test_a_domain_that_is_not_in_the_snapshot_has_no_items(tmp_path) -> None:
    found = read_catalogue(written(tmp_path), "nowhere")
    assert len(found) == 0
    assert found.attributes is None
