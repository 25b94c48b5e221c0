"""Files of a domain's own vectors and images: every row read, judged, and kept or counted with its reason.

It is done in a DuckDB of its own, not in the warehouse: hours of embedding images keep nobody from loading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from orchestration.landing.quoting import identifier, quote
from orchestration.landing.readers import reading
from orchestration.landing.sources import Source, usable_files

BATCH = 1 << 14  # rows of vectors held at a time
EXAMPLES = 5
_LANDED = """
create table landed (
    source_file varchar, folder varchar, source_line bigint, item_id varchar, error varchar,
    vector float[], image varchar)"""
# The length that most rows have is the right one: one row of another length must not spoil a million.
_VECTOR_FAULT = """
    when vector is null or len(vector) = 0 then 'no list of numbers'
    when len(vector) <> (
        select len(vector) from landed where len(vector) > 0 group by all order by count(*) desc, 1 limit 1
    ) then 'wrong number of numbers'
    when not list_bool_and(list_transform(vector, lambda x: coalesce(isfinite(x), false)))
        then 'NaN or infinite'
    when list_bool_and(list_transform(vector, lambda x: x = 0)) then 'all zeros'"""
_IMAGE_FAULT = "when embedded.fault is not null then embedded.fault"
# An item may stand in more than one row: the latest one that is sound counts.
_JUDGED = """
create table judged as
with seen as (
    select landed.*, landed.rowid as place, {hash} as image_hash,
        case
            when error is not null then 'unparsable: ' || error
            when item_id is null then 'no item'
            when item_id not in (select item_id from known_items) then 'item not in the catalogue'
            {faults}
        end as fault
    from landed {joined}
)

select * replace (
    case
        when fault is not null then fault
        when place < max(place) filter (where fault is null) over (partition by item_id)
            then 'item comes again'
    end as fault)
from seen"""
_FAULTS = f"""
select fault, count(*)::bigint,
    list(source_file || ':' || source_line || coalesce(' (' || item_id || ')', '') order by place)
        [:{EXAMPLES}]
from judged where fault is not null
group by fault order by 2 desc, fault"""


@dataclass(frozen=True)
class Fault:
    """Rows left out for one reason, and where some of them stand: file:line (item)."""

    reason: str
    rows: int
    examples: list[str]


Embed = Callable[[list[Path]], tuple[list[str | None], list[str | None]]]  # paths -> hashes, faults


class ModalityRows:
    """The rows of one modality, read and judged; `vectors` or `images` gives those that were kept.

    known_items: the ids of the domain's items. embed: for images, makes their vectors; returns a hash for
    each path and, where there is none, why. Raises SourceError for files that cannot be read as mapped.
    """

    def __init__(self, source: Source, known_items: pa.Array, embed: Embed | None = None) -> None:
        self._duckdb = duckdb.connect()
        self._duckdb.execute(_LANDED)
        self._duckdb.register("known_items", pa.table({"item_id": known_items}))
        for file in usable_files(source):
            self._load(source, file.path)
        if embed is None:
            judged = _JUDGED.format(hash="null", faults=_VECTOR_FAULT, joined="")
        else:
            self._duckdb.register("embedded", self._embed(embed))
            joined = "left join embedded on landed.rowid = embedded.place"
            judged = _JUDGED.format(hash="embedded.hash", faults=_IMAGE_FAULT, joined=joined)
        self._duckdb.execute(judged)

    def _load(self, source: Source, path: Path) -> None:
        vector, image = (role if role in source.columns else "null" for role in ("vector", "image"))
        folder = str(path.resolve().parent)
        with reading(self._duckdb, source, path) as rows:
            self._duckdb.execute(f"""
                insert into landed
                select {quote(source.label(path))}, {quote(folder)}, source_line,
                    nullif(trim({identifier("item")}), ''), error, {vector}, nullif(trim({image}), '')
                from ({rows}) where belongs""")

    def _embed(self, embed: Embed) -> pa.Table:
        """place, hash and fault of the images whose rows are sound so far: strangers' images cost nothing."""
        asked = self._duckdb.execute("""
            select rowid, folder, image from landed
            where error is null and item_id in (select item_id from known_items) order by rowid""").fetchall()
        held = [row for row in asked if row[2] is not None]
        hashes, faults = embed([Path(folder, image) for _, folder, image in held])
        absent = [row[0] for row in asked if row[2] is None]
        return pa.table(
            {
                "place": pa.array([*(row[0] for row in held), *absent], pa.int64()),
                "hash": pa.array([*hashes, *(None for _ in absent)], pa.string()),
                "fault": pa.array([*faults, *("no image" for _ in absent)], pa.string()),
            }
        )

    @property
    def rows(self) -> int:
        """How many were read."""
        return self._count("true")

    @property
    def kept(self) -> int:
        """How many of them, one an item, are sound."""
        return self._count("fault is null")

    def _count(self, condition: str) -> int:
        found = self._duckdb.execute(f"select count(*) from judged where {condition}").fetchone()
        return int(found[0]) if found else 0

    @property
    def faults(self) -> list[Fault]:
        """What was left out, the most frequent reason first."""
        return [Fault(*row) for row in self._duckdb.execute(_FAULTS).fetchall()]

    def vectors(self) -> Iterator[pa.RecordBatch]:
        """item_id and vector (a list of floats) of the kept rows, by item."""
        yield from self._kept("vector")

    def images(self) -> Iterator[pa.RecordBatch]:
        """item_id and image_hash of the kept rows, by item."""
        yield from self._kept("image_hash")

    def _kept(self, content: str) -> Iterator[pa.RecordBatch]:
        query = f"select item_id, {content} from judged where fault is null order by item_id"
        yield from self._duckdb.sql(query).to_arrow_reader(BATCH)
