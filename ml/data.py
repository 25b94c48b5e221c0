"""The training data as arrays: a snapshot of every domain's interactions before one moment.

External ids become integer positions once, here; every model, metric and index speaks positions and the
snapshot carries the maps back. One user space serves all domains (shared ids), one item space per domain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import sparse

from ml import columns as c
from ml.reviews import REVIEWS_FILE, Reviews, aligned, canonical
from ml.user_attributes import USER_ATTRIBUTES_FILE, UserAttributes, known_table, one_hot

if TYPE_CHECKING:
    from ml.retrieval.filters import ItemAttributes

INTERACTIONS_FILE = "interactions.parquet"
ITEMS_FILE = "items.parquet"
MANIFEST_FILE = "manifest.json"
# Rows of a Parquet row group: who streams a snapshot (`ml.snapshot_rows`) holds about this much of it.
GROUP_ROWS = 1 << 18


@dataclass(frozen=True)
class Catalogue:
    """One domain's items.

    item_ids: (n,) unicode array, sorted. titles: (n,) object array, None where the item has no text.
    text_hashes: (n,) object array, None where the item has no text.
    vectors: (n, d) float32, L2-normalised text embeddings, zero rows where there is no text; None before
    embedding. modalities: name -> (n, d) float32, further vectors of any length (images, audio, behaviour),
    zero rows where an item has none. attributes: what lists are filtered by; None where nothing is known.
    """

    item_ids: np.ndarray
    titles: np.ndarray
    text_hashes: np.ndarray
    vectors: np.ndarray | None = None
    modalities: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: ItemAttributes | None = None

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def has_vector(self) -> np.ndarray:
        """(n,) bool: the items that have a text embedding."""
        if self.vectors is None:
            return np.zeros(len(self), dtype=bool)
        return np.abs(self.vectors).sum(axis=1) > 0


@dataclass(frozen=True)
class Interactions:
    """One domain's interactions, sorted by user, then time, then item; at most one per user and item.

    users, items: (m,) int32 positions. weights: (m,) float32 > 0. times: (m,) int64, microseconds since
    epoch UTC. reviews: what users wrote with them; None where the log has no text. attributes: what the
    domain knows of its users besides; None where that is nothing.
    """

    users: np.ndarray
    items: np.ndarray
    weights: np.ndarray
    times: np.ndarray
    n_users: int
    n_items: int
    reviews: Reviews | None = None
    attributes: UserAttributes | None = None

    def __len__(self) -> int:
        return len(self.users)

    def select(self, mask: np.ndarray) -> Interactions:
        """The interactions where `mask` (m,) is true."""
        return replace(
            self,
            users=self.users[mask],
            items=self.items[mask],
            weights=self.weights[mask],
            times=self.times[mask],
            reviews=None if self.reviews is None else self.reviews.select(mask),
        )

    def before(self, time: int) -> Interactions:
        """The interactions strictly before `time` (microseconds since epoch)."""
        return self.select(self.times < time)

    def since(self, time: int) -> Interactions:
        """The interactions at or after `time` (microseconds since epoch)."""
        return self.select(self.times >= time)

    def of_users(self, users: np.ndarray) -> Interactions:
        """The interactions of the users where `users` (n_users,) bool is true, and what is known of them."""
        kept = self.select(users[self.users])
        return kept if self.attributes is None else replace(kept, attributes=self.attributes.of_users(users))

    def first(self, most: int | np.ndarray) -> Interactions:
        """The first `most` interactions of every user; (n_users,) gives each user a number of its own."""
        return self.select(self._place() < np.broadcast_to(most, self.n_users)[self.users])

    def after_first(self, fewest: int | np.ndarray) -> Interactions:
        """What `first` leaves out."""
        return self.select(self._place() >= np.broadcast_to(fewest, self.n_users)[self.users])

    def _place(self) -> np.ndarray:
        """(m,) each interaction's place in its user's sequence, from 0."""
        starts = np.cumsum(self.counts()) - self.counts()
        return np.arange(len(self)) - starts[self.users]

    def matrix(self, values: np.ndarray | None = None) -> sparse.csr_matrix:
        """(n_users, n_items) CSR, float32; `values` (m,) in place of the weights."""
        data = self.weights if values is None else values
        shape = (self.n_users, self.n_items)
        return sparse.csr_matrix((data.astype(np.float32), (self.users, self.items)), shape=shape)

    def counts(self) -> np.ndarray:
        """(n_users,) number of interactions of each user."""
        return np.bincount(self.users, minlength=self.n_users)


@dataclass(frozen=True)
class Snapshot:
    """Everything a model may read: all domains before `as_of` (microseconds since epoch UTC).

    users: (n_users,) sorted unicode array, shared by all domains. digest: SHA-256 of the content.
    """

    users: np.ndarray
    catalogues: Mapping[str, Catalogue]
    interactions: Mapping[str, Interactions]
    as_of: int
    digest: str = ""

    @property
    def domains(self) -> list[str]:
        """Domain names, sorted."""
        return sorted(self.catalogues)

    def with_vectors(self, vectors: Mapping[str, np.ndarray]) -> Snapshot:
        """The same snapshot with text embeddings, one (n_items, d) float32 matrix per domain."""
        catalogues = {d: replace(cat, vectors=vectors.get(d)) for d, cat in self.catalogues.items()}
        return replace(self, catalogues=catalogues)

    def with_modalities(self, modalities: Mapping[str, Mapping[str, np.ndarray]]) -> Snapshot:
        """The same snapshot with further vectors: domain -> name -> (n_items, d) float32."""
        catalogues = {
            d: replace(cat, modalities=dict(modalities.get(d, {}))) for d, cat in self.catalogues.items()
        }
        return replace(self, catalogues=catalogues)

    def with_review_vectors(self, vectors: Mapping[str, np.ndarray], encoder: str) -> Snapshot:
        """The same snapshot with its reviews' embeddings by the key `encoder`: domain -> (r, d) float32."""
        logs = dict(self.interactions)
        for domain, found in vectors.items():
            reviews = logs[domain].reviews
            if reviews is not None:
                embedded = replace(reviews, vectors=found, encoder=encoder)
                logs[domain] = replace(logs[domain], reviews=embedded)
        return replace(self, interactions=logs)

    def with_interactions(self, **domains: Interactions) -> Snapshot:
        """The same snapshot with the interactions of the named domains replaced."""
        return replace(self, interactions={**self.interactions, **domains})


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
        [
            (c.DOMAIN, "ascending"),
            (c.USER_ID, "ascending"),
            (c.EVENT_TIME, "ascending"),
            (c.ITEM_ID, "ascending"),
        ]
    )
    items = _with_known(items).sort_by([(c.DOMAIN, "ascending"), (c.ITEM_ID, "ascending")])
    if len(interactions):
        latest = pc.max(interactions[c.EVENT_TIME]).cast(pa.int64()).as_py()
        if latest >= as_of:
            raise ValueError(
                f"snapshot as of {as_of} holds an interaction at {latest}: nothing at or after as-of"
            )
    reviews = canonical(reviews, interactions)
    attributes = known_table(attributes, interactions)
    digest = content_digest(interactions, items, as_of, rules, (reviews, attributes))
    path = folder / digest[:16]
    if (path / MANIFEST_FILE).exists():
        return path
    path.mkdir(parents=True, exist_ok=True)
    tables = {INTERACTIONS_FILE: interactions, ITEMS_FILE: items}
    further = {REVIEWS_FILE: reviews, USER_ATTRIBUTES_FILE: attributes}
    tables |= {name: table for name, table in further.items() if table is not None}
    for name, table in tables.items():
        pq.write_table(table, path / f".{name}.tmp", compression="zstd", row_group_size=GROUP_ROWS)
        (path / f".{name}.tmp").replace(path / name)
    manifest: dict[str, Any] = {
        "as_of": as_of,
        "digest": digest,
        "interactions": len(interactions),
        "items": len(items),
    }
    if rules:
        manifest["rules"] = rules
    if reviews is not None:
        manifest["reviews"] = len(reviews)
    if attributes is not None:
        manifest["user_attributes"] = len(attributes)
    # The manifest comes last: a snapshot without one is unfinished and is written again.
    (path / ".manifest.tmp").write_text(json.dumps(manifest, indent=2))
    (path / ".manifest.tmp").replace(path / MANIFEST_FILE)
    return path


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
