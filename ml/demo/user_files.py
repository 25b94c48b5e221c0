"""User files: who is where, with attributes that say nothing of taste."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.demo.event_files import gzip_text
from ml.demo.render import user_ids
from ml.demo.tastes import AGE_BANDS, REGIONS, Users

_ID_COLUMNS = {"films": "user_id", "books": "reader", "music": "listener", "garden": "customer"}
Row = tuple[str, str, str]


def _rows(users: Users, domain: int) -> Iterator[Row]:
    mine = np.flatnonzero(users.members[:, domain])
    ids, ages, regions = users.first + mine, users.age_bands[mine].tolist(), users.regions[mine].tolist()
    for user, age, region in zip(user_ids(ids), ages, regions, strict=True):
        yield user, AGE_BANDS[age], REGIONS[region]


def write_users(folder: Path, domain: str, index: int, chunks: Iterable[Users]) -> None:
    """The users of `domain`, the `index`-th, in its own format; one chunk in memory at a time."""
    columns = (_ID_COLUMNS[domain], "age_band", "region")
    if domain == "music":
        schema = pa.schema([(column, pa.string()) for column in columns])
        with pq.ParquetWriter(folder / "users.parquet", schema, compression="zstd") as writer:
            for users in chunks:
                rows = [dict(zip(columns, row, strict=True)) for row in _rows(users, index)]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    elif domain == "books":
        with gzip_text(folder / "users.jsonl.gz") as file:
            for users in chunks:
                file.writelines(
                    json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in _rows(users, index)
                )
    else:
        with (folder / "users.csv").open("w", encoding="utf-8", newline="") as file:
            file.write(",".join(columns) + "\n")
            for users in chunks:
                file.writelines(",".join(row) + "\n" for row in _rows(users, index))
