"""A snapshot's folder: Parquet tables in canonical order and a manifest, named by the content's digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml import columns as c
from ml.data import Catalogue, Interactions, Snapshot
from ml.reviews import REVIEWS_FILE, aligned, canonical
from ml.user_attributes import USER_ATTRIBUTES_FILE, known_table, one_hot

if TYPE_CHECKING:
    from ml.retrieval.filters import ItemAttributes

INTERACTIONS_FILE = "interactions.parquet"
ITEMS_FILE = "items.parquet"
MANIFEST_FILE = "manifest.json"
# Rows of a Parquet row group: who streams a snapshot (`ml.snapshot_rows`) holds about this much of it.
GROUP_ROWS = 1 << 18

INTERACTIONS_SCHEMA = pa.schema(
    [
        (c.DOMAIN, pa.string()),
        (c.USER_ID, pa.string()),
        (c.ITEM_ID, pa.string()),
        (c.EVENT_TIME, pa.timestamp("us", tz="UTC")),
        (c.WEIGHT, pa.float32()),
    ]
)
ITEMS_SCHEMA = pa.schema(
    [(c.DOMAIN, pa.string()), (c.ITEM_ID, pa.string()), (c.TITLE, pa.string()), (c.TEXT_HASH, pa.string())]
)
# Further columns of items, each only where a domain knows something: see `ml.retrieval.filters`.
ATTRIBUTES_SCHEMA = pa.schema(
    [(c.AVAILABLE, pa.bool_()), (c.CATEGORY, pa.string()), (c.REGIONS, pa.list_(pa.string()))]
)


def content_digest(
    interactions: pa.Table,
    items: pa.Table,
    as_of: int,
    rules: Mapping[str, Any] | None = None,
    further: Iterable[pa.Table | None] = (),
) -> str:
    """SHA-256 over as-of, the rules (JSON-able) and the canonical rows; independent of Parquet's encoding."""
    digest = hashlib.sha256(str(as_of).encode())
    if rules:
        digest.update(json.dumps(rules, sort_keys=True).encode())
    for table in (interactions, items, *(table for table in further if table is not None)):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks(), max_chunksize=1 << 20)
        digest.update(sink.getvalue())
    return digest.hexdigest()


def write_snapshot(
    folder: Path,
    interactions: pa.Table,
    items: pa.Table,
    as_of: int,
    rules: Mapping[str, Any] | None = None,
    reviews: pa.Table | None = None,
    attributes: pa.Table | None = None,
) -> Path:
    """Write an immutable snapshot under `folder`/<digest> and return that path; an existing one is kept.

    interactions: INTERACTIONS_SCHEMA, one row per domain, user and item. items: ITEMS_SCHEMA, one row per
    domain and item; the columns of ATTRIBUTES_SCHEMA that hold anything are kept too. rules: by what rules
    the rows were chosen and weighed and what they left out (JSON-able); they stand in the manifest and count
    in the digest. reviews: REVIEWS_SCHEMA, one row at most per domain, user and item; those of a pair without
    interaction are left out. attributes: USER_ATTRIBUTES_SCHEMA; those of users without interaction are left
    out. Raises ValueError where a row is at or after `as_of`.
    """
    interactions = interactions.cast(INTERACTIONS_SCHEMA).sort_by(
        [(name, "ascending") for name in (c.DOMAIN, c.USER_ID, c.EVENT_TIME, c.ITEM_ID)]
    )
    items = _with_known(items).sort_by([(c.DOMAIN, "ascending"), (c.ITEM_ID, "ascending")])
    _refuse_later(interactions, as_of)
    further = {REVIEWS_FILE: canonical(reviews, interactions)}
    further |= {USER_ATTRIBUTES_FILE: known_table(attributes, interactions)}
    digest = content_digest(interactions, items, as_of, rules, further.values())
    path = folder / digest[:16]
    if (path / MANIFEST_FILE).exists():
        return path
    path.mkdir(parents=True, exist_ok=True)
    tables = {INTERACTIONS_FILE: interactions, ITEMS_FILE: items}
    tables |= {name: table for name, table in further.items() if table is not None}
    for name, table in tables.items():
        pq.write_table(table, path / f".{name}.tmp", compression="zstd", row_group_size=GROUP_ROWS)
        (path / f".{name}.tmp").replace(path / name)
    rows = {Path(name).stem: len(table) for name, table in tables.items()}
    manifest = {"as_of": as_of, "digest": digest, **rows, **({"rules": rules} if rules else {})}
    # The manifest comes last: a snapshot without one is unfinished and is written again.
    (path / ".manifest.tmp").write_text(json.dumps(manifest, indent=2))
    (path / ".manifest.tmp").replace(path / MANIFEST_FILE)
    return path


def _refuse_later(interactions: pa.Table, as_of: int) -> None:
    if not len(interactions):
        return
    latest = pc.max(interactions[c.EVENT_TIME]).cast(pa.int64()).as_py()
    if latest >= as_of:
        raise ValueError(
            f"snapshot as of {as_of} holds an interaction at {latest}: nothing at or after as-of"
        )


def _known_attributes(items: pa.Table) -> list[str]:
    """The columns of ATTRIBUTES_SCHEMA that say something of at least one item."""
    return [
        name
        for name in ATTRIBUTES_SCHEMA.names
        if name in items.column_names and items[name].null_count < len(items)
    ]


def _with_known(items: pa.Table) -> pa.Table:
    """`items` by ITEMS_SCHEMA and what is known of attributes; without any it is what it always was."""
    known = [ATTRIBUTES_SCHEMA.field(name) for name in _known_attributes(items)]
    schema = pa.schema([*ITEMS_SCHEMA, *known])
    return items.select(schema.names).cast(schema)


def _positions(values: pa.ChunkedArray, index: np.ndarray) -> np.ndarray:
    return pc.index_in(values, value_set=pa.array(index, pa.string())).to_numpy().astype(np.int32)


def attributes_of(items: pa.Table) -> ItemAttributes | None:
    """What one domain's items say that lists are filtered by; None where that is nothing."""
    from ml.retrieval.filters import ItemAttributes

    known = _known_attributes(items)
    return ItemAttributes.from_table(items.select(known)) if known else None


def _catalogue(mine: pa.Table) -> Catalogue:
    """One domain's rows of the items file."""
    return Catalogue(
        item_ids=np.array(mine[c.ITEM_ID].to_pylist(), dtype=str),
        titles=np.array(mine[c.TITLE].to_pylist(), dtype=object),
        text_hashes=np.array(mine[c.TEXT_HASH].to_pylist(), dtype=object),
        attributes=attributes_of(mine),
    )


def read_catalogue(path: Path, domain: str) -> Catalogue:
    """One domain's items in a snapshot, without its interactions; no item where it has none of the domain."""
    return _catalogue(pq.read_table(path / ITEMS_FILE, filters=pc.field(c.DOMAIN) == domain))


def read_manifest(path: Path) -> dict[str, Any]:
    """What a snapshot says of itself; FileNotFoundError where `path` holds no finished one."""
    manifest = path / MANIFEST_FILE
    if not manifest.exists():
        raise FileNotFoundError(f"{path} holds no finished snapshot: materialise training_snapshot again")
    return json.loads(manifest.read_text())


def read_snapshot(path: Path) -> Snapshot:
    """Read a snapshot written by `write_snapshot` (without embeddings: see `Snapshot.with_vectors`)."""
    manifest = read_manifest(path)
    table, items = pq.read_table(path / INTERACTIONS_FILE), pq.read_table(path / ITEMS_FILE)
    written, known = (
        pq.read_table(path / name) if (path / name).exists() else None
        for name in (REVIEWS_FILE, USER_ATTRIBUTES_FILE)
    )
    users = np.array(sorted(pc.unique(table[c.USER_ID]).to_pylist()), dtype=str)
    catalogues, interactions = {}, {}
    for domain in sorted(pc.unique(items[c.DOMAIN]).to_pylist()):
        mine = items.filter(pc.equal(items[c.DOMAIN], domain))
        log = table.filter(pc.equal(table[c.DOMAIN], domain))
        catalogues[domain] = _catalogue(mine)
        ids = catalogues[domain].item_ids
        interactions[domain] = Interactions(
            users=_positions(log[c.USER_ID], users),
            items=_positions(log[c.ITEM_ID], ids),
            weights=log[c.WEIGHT].to_numpy(),
            times=log[c.EVENT_TIME].cast(pa.int64()).to_numpy(),
            n_users=len(users),
            n_items=len(ids),
        )
        if written is not None:
            log, own = interactions[domain], written.filter(pc.equal(written[c.DOMAIN], domain))
            places = _positions(own[c.USER_ID], users), _positions(own[c.ITEM_ID], ids)
            interactions[domain] = replace(log, reviews=aligned(own, *places, log.users, log.items))
        if known is not None:
            own = known.filter(pc.equal(known[c.DOMAIN], domain))
            attributes = one_hot(own, _positions(own[c.USER_ID], users), len(users))
            interactions[domain] = replace(interactions[domain], attributes=attributes)
    return Snapshot(users, catalogues, interactions, manifest["as_of"], manifest["digest"])
