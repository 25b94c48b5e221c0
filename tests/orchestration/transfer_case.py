"""A small world for the model stages to run on: a snapshot and its embeddings below a home, no warehouse.

Users of two camps prefer one half of every catalogue, so that knowing one domain helps in the next.
"""

import json
from datetime import date

import numpy as np
import pyarrow as pa

from ml.snapshot_files import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, write_snapshot
from orchestration.config import Home, as_of_time
from orchestration.partitions import CONFIG

AS_OF = "2026-03-01"
TARGET = CONFIG.domain_names[0]
DAY = 86_400 * 1_000_000


def write_world(home: Home, as_of: str = AS_OF, users: int = 400, items: int = 60, seed: int = 3) -> None:
    """A snapshot as of a day with every configured domain; all items but the last of each have a vector."""
    random = np.random.default_rng(seed)
    moment = as_of_time(date.fromisoformat(as_of))
    log, catalogue = [], []
    for domain in CONFIG.domain_names:
        for item in range(items):
            text = None if item == items - 1 else f"{domain} {item}"
            catalogue.append((domain, f"{domain}-{item:03d}", text, text))
        for user in range(users):
            liked = random.permutation(items // 2)[:8] + (user % 2) * (items // 2)
            other = random.permutation(items)[:2]
            chosen = np.unique(np.concatenate([liked, other]))
            times = moment - 1 - random.integers(0, 20 * DAY, len(chosen))
            log += [
                (domain, f"u{user:04d}", f"{domain}-{item:03d}", int(time), 1.0)
                for item, time in zip(chosen, times, strict=True)
            ]
    path = write_snapshot(
        home.snapshots, _table(log, INTERACTIONS_SCHEMA), _table(catalogue, ITEMS_SCHEMA), moment
    )
    pointer = home.snapshots / "as_of" / f"{as_of}.json"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text(json.dumps({"snapshot": path.name}))
    _embed([row[3] for row in catalogue if row[3]], home, random)


def _table(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema
    )


def _embed(hashes: list[str], home: Home, random: np.random.Generator) -> None:
    from ml.text.encoding.store import EmbeddingStore
    from orchestration.features import text_encoder

    encoder = text_encoder(CONFIG)
    vectors = random.normal(size=(len(hashes), encoder.dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = EmbeddingStore(home.embeddings, encoder.key, encoder.dimension)
    missing = store.missing(hashes)
    store.add(missing, vectors[: len(missing)])
