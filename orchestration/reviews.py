"""Reviews from the warehouse to what models read of them: clean text by hash, and how the user sounds.

reviews/<domain>/written.parquet holds them as the log has them, read.parquet as they are read: by whom, of
what, when, text_hash, sentiment in -1..1 (null where none is known) and the clean text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.config import Config, Home, as_of_time
from orchestration.files import replaced_file

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from ml.data import Snapshot

WHO = ("window_start", "event_time", "user_id", "item_id")
_LATEST = """
select $domain as domain, user_id, item_id, text_hash, sentiment
from read_parquet($path) as reviews
inner join interactions using (user_id, item_id)
where reviews.window_start < $day and reviews.event_time < make_timestamptz($as_of)
    and reviews.event_time <= interactions.event_time and interactions.domain = $domain
qualify 1 = row_number() over (
    partition by user_id, item_id
    order by reviews.event_time desc, reviews.window_start desc, text_hash, sentiment
)"""


def reviewed_domains(config: Config) -> list[str]:
    """The domains whose events carry text, sorted."""
    return [name for name in config.domain_names if config.domains[name].events.columns.text is not None]


def written_path(home: Home, domain: str) -> Path:
    """Where a domain's reviews lie as they stand in the warehouse."""
    return home.root / "reviews" / domain / "written.parquet"


def reviews_path(home: Home, domain: str) -> Path:
    """Where a domain's reviews lie as models read them."""
    return home.root / "reviews" / domain / "read.parquet"


def export(connection: duckdb.DuckDBPyConnection, home: Home, domain: str) -> int:
    """Write a domain's reviews out of the warehouse; returns how many."""
    import pyarrow.parquet as pq

    query = f"select {', '.join(WHO)}, review, rating from marts.fct_reviews where domain = $1 order by all"
    path = written_path(home, domain)
    with replaced_file(path) as beside:
        connection.sql(query, params=[domain]).write_parquet(str(beside), compression="zstd")
    return pq.read_metadata(path).num_rows


def review_texts(home: Home, domains: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(text_hash, text) of the domains' reviews, distinct within a domain; a domain without any has none."""
    import pyarrow.parquet as pq

    for domain in domains:
        seen: set[str] = set()
        path = reviews_path(home, domain)
        batches = pq.ParquetFile(path).iter_batches(columns=["text_hash", "text"]) if path.is_file() else ()
        for batch in batches:
            for text_hash, text in zip(
                *(batch[name].to_pylist() for name in batch.schema.names), strict=True
            ):
                if text_hash is not None and text_hash not in seen:
                    seen.add(text_hash)
                    yield text_hash, text


def reviews_before(config: Config, home: Home, day: date, interactions: pa.Table) -> pa.Table | None:
    """domain, user_id, item_id, text_hash, sentiment: the latest review before `day` of each interaction.

    None where no domain's events carry text. Raises FileNotFoundError where review_embeddings has not been
    materialised for one whose do.
    """
    import duckdb
    import pyarrow as pa

    tables = []
    for domain in reviewed_domains(config):
        path = reviews_path(home, domain)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: materialise review_embeddings of {domain} first")
        with duckdb.connect(config={"threads": 2, "memory_limit": "3GB"}) as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.register("interactions", interactions)
            known = {"domain": domain, "path": str(path), "day": day, "as_of": as_of_time(day)}
            tables.append(connection.sql(_LATEST, params=known).to_arrow_table())
    return pa.concat_tables(tables) if tables else None


def with_review_vectors(snapshot: Snapshot, encoder_key: str, home: Home) -> Snapshot:
    """The snapshot with what the store of an encoder holds of its reviews; a text it lacks counts as none."""
    from ml.text.encoding.store import EmbeddingStore

    said = {d: log.reviews for d, log in snapshot.interactions.items() if log.reviews is not None}
    store = EmbeddingStore.existing(home.embeddings, encoder_key) if said else None
    if store is None:
        return snapshot
    vectors = {d: store.matrix(reviews.hashes) for d, reviews in said.items() if reviews.hashes is not None}
    return snapshot.with_review_vectors(vectors, encoder_key)
