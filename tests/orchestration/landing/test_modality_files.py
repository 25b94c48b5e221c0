"""Files of vectors and images as landing reads them: each row is kept, or counted with reason and line."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_world import document

from orchestration.config import Config, ConfigError, parse_config
from orchestration.landing.modalities import Fault, ModalityRows
from orchestration.landing.sources import SourceError, check_sources, modality_sources

ITEMS = pa.array([f"b{i}" for i in range(1, 9)])
DIRTY = """id,numbers
b1,"[1, 2]"
b2,"[1, nan]"
b3,"[1, 2, 3]"
stranger,"[1, 2]"
b4,red
b5,"[0, 0.0]"
 b1 ,"[3, 4]"
,"[1, 2]"
b6,"[1, 2"x
b7,"[7e0,-8]"
b8,
b2,"[1e60, 1]"
"""


def config_of(folder: Path, **modalities: dict) -> Config:
    made = document()
    made["domains"]["books"]["modalities"] = modalities
    return parse_config(made, folder / "landbridge.yaml")


def vectors_file(path: str, form: str, item: str = "id", vector: str = "numbers") -> dict:
    return {"path": path, "format": form, "columns": {"item": item, "vector": vector}}


def rows_of(config: Config, items: pa.Array = ITEMS) -> ModalityRows:
    return ModalityRows(modality_sources(config, "books")["look"], items)


def kept(rows: ModalityRows) -> dict[str, list[float]]:
    return {row["item_id"]: row["vector"] for batch in rows.vectors() for row in batch.to_pylist()}


def test_every_row_is_kept_or_counted_with_its_line(tmp_path):
    (tmp_path / "look.csv").write_text(DIRTY)
    rows = rows_of(config_of(tmp_path, look=vectors_file("look.csv", "csv")))
    assert kept(rows) == {"b1": [3, 4], "b7": [7, -8]}
    assert rows.faults == [
        Fault("NaN or infinite", 2, ["look.csv:3 (b2)", "look.csv:13 (b2)"]),
        Fault("no list of numbers", 2, ["look.csv:6 (b4)", "look.csv:12 (b8)"]),
        Fault("all zeros", 1, ["look.csv:7 (b5)"]),
        Fault("item comes again", 1, ["look.csv:2 (b1)"]),
        Fault("item not in the catalogue", 1, ["look.csv:5 (stranger)"]),
        Fault("no item", 1, ["look.csv:9"]),
        Fault("unparsable: malformed quotes", 1, ["look.csv:10"]),
        Fault("wrong number of numbers", 1, ["look.csv:4 (b3)"]),
    ]
    assert rows.rows == 12 == rows.kept + sum(fault.rows for fault in rows.faults)


def test_all_forms_of_a_list_say_the_same(tmp_path):
    ids, matrix = ["b1", "b2", "b3"], np.array([[1, 2], [0.1, -4], [5, 6e-8]], np.float32)
    lists = [[float(x) for x in row] for row in matrix]
    lines = "\n".join(json.dumps({"id": i, "numbers": row}) for i, row in zip(ids, lists, strict=True))
    (tmp_path / "look.jsonl").write_text(lines)
    quoted = "".join(f'{i},"{json.dumps(row)}"\n' for i, row in zip(ids, lists, strict=True))
    (tmp_path / "look.csv").write_text("id,numbers\n" + quoted)
    flat = pa.array(matrix.reshape(-1))
    for name, column in {
        "fixed": pa.FixedSizeListArray.from_arrays(flat, 2),
        "double": pa.array(lists, pa.list_(pa.float64())),
        "half": pa.array(matrix.astype(np.float16).tolist(), pa.list_(pa.float32())),
    }.items():
        pq.write_table(pa.table({"id": ids, "numbers": column}), tmp_path / f"{name}.parquet")
    for path in ("look.jsonl", "look.csv", "fixed.parquet", "double.parquet"):
        rows = rows_of(config_of(tmp_path, look=vectors_file(path, path.rsplit(".", 1)[1])))
        assert list(kept(rows)) == ids
        assert np.array_equal(np.array(list(kept(rows).values()), np.float32), matrix), path
        assert rows.faults == []
    half = rows_of(config_of(tmp_path, look=vectors_file("half.parquet", "parquet")))
    assert np.allclose(list(kept(half).values()), matrix, atol=1e-3)


def test_a_null_in_a_list_and_a_null_list_are_told_apart(tmp_path):
    table = pa.table({"id": ["b1", "b2", "b3", "b4"], "numbers": [[1.0, 2.0], [1.0, None], None, []]})
    pq.write_table(table, tmp_path / "look.parquet")
    rows = rows_of(config_of(tmp_path, look=vectors_file("look.parquet", "parquet")))
    assert kept(rows) == {"b1": [1, 2]}
    assert [(fault.reason, fault.rows) for fault in rows.faults] == [
        ("no list of numbers", 2),
        ("NaN or infinite", 1),
    ]


def test_several_files_an_expression_and_a_condition(tmp_path):
    (tmp_path / "look_1.csv").write_text("sku,x,y,shop\n1,1,2,books\n2,3,4,films\n")
    (tmp_path / "look_2.csv").write_text("sku,x,y,shop\n1,5,6,books\n3,7,8,books\n")
    look = vectors_file("look_*.csv", "csv", "'b' || sku", "'[' || x || ', ' || y || ']'")
    look["where"] = "shop = 'books'"
    rows = rows_of(config_of(tmp_path, look=look))
    assert kept(rows) == {"b1": [5, 6], "b3": [7, 8]}
    assert rows.faults == [Fault("item comes again", 1, ["look_1.csv:2 (b1)"])]


def test_a_file_of_nothing_keeps_nothing(tmp_path):
    (tmp_path / "look.csv").write_text("id,numbers\n")
    config = config_of(tmp_path, look=vectors_file("look.csv", "csv"))
    rows = rows_of(config)
    assert (rows.rows, rows.kept, rows.faults, kept(rows)) == (0, 0, [], {})
    assert rows_of(config, pa.array([], pa.string())).kept == 0


def test_a_torn_file_is_told_and_nothing_is_kept(tmp_path):
    table = pa.table({"id": ["b1"] * 9, "numbers": [[1.0, 2.0]] * 9})
    pq.write_table(table, tmp_path / "look.parquet")
    whole = (tmp_path / "look.parquet").read_bytes()
    (tmp_path / "look.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"modalities.look.path: .* is cut off"):
        rows_of(config_of(tmp_path, look=vectors_file("look.parquet", "parquet")))


@pytest.mark.parametrize("modality, told", [
    (vectors_file("gone.csv", "csv"), "domains.books.modalities.look.path: .*gone.csv: no such file"),
    (vectors_file("look.csv", "csv", vector="number"), "modalities.look.columns.vector: .* has no column "
     "'number'; its columns are id, numbers; did you mean 'numbers'"),
    (vectors_file("look.csv", "csv", item="sku"), "modalities.look.columns.item: .* has no column 'sku'"),
    (vectors_file("look.jsonl", "jsonl", vector="embedding"), "look.columns.vector: .*'embedding'"),
    ({"path": "look.csv", "format": "csv", "columns": {"item": "id", "image": "file"}, "model": "some/model"},
     "modalities.look.columns.image: .* has no column 'file'"),
])  # fmt: skip
def test_what_is_missing_is_told_before_anything_runs(world, modality, told):
    world.write("look.csv", DIRTY)
    world.write("look.jsonl", json.dumps({"id": "b1", "numbers": [1, 2]}))
    (fault,) = check_sources(config_of(world.folder, look=modality))
    assert re.search(told, fault), fault


@pytest.mark.parametrize("modality, told", [
    ({"columns": {"item": "id"}}, "expected either vector"),
    ({"columns": {"item": "id", "vector": "v", "image": "i"}}, "expected either vector"),
    ({"columns": {"item": "id", "image": "i"}}, "model belongs to columns.image"),
    ({"columns": {"item": "id", "vector": "v"}, "model": "m"}, "model belongs to columns.image"),
])  # fmt: skip
def test_half_a_modality_is_refused(tmp_path, modality, told):
    with pytest.raises(ConfigError, match=told):
        config_of(tmp_path, look={"path": "look.csv", "format": "csv", **modality})
