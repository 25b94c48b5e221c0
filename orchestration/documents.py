"""The documents of a domain: what the encoder reads of each item, at the one place that every reader asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.config import Home

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ["item_id", "title", "document", "text_hash"]


def documents_path(home: Home, domain: str) -> Path:
    """Where a domain's cleaned texts lie: item_id, title, document, text_hash; null where there is none."""
    return home.root / "documents" / f"{domain}.parquet"


def documents_of(home: Home, domain: str) -> pa.Table:
    """One row per item, by item_id: title, document and text_hash, all null where the item has no text.

    title: shown to people. document: what is embedded, generated text included where `generator:` asks for
    it. text_hash: SHA-256 of the document in hex.
    Raises FileNotFoundError where item_texts has not been materialised for the domain.
    """
    from orchestration.generation import with_generated
    from orchestration.partitions import CONFIG

    return with_generated(own_documents_of(home, domain), domain, CONFIG, home)


def catalogue_of(home: Home, domains: Sequence[str]) -> pa.Table:
    """domain, item_id, title and text_hash of every item of these domains, as in a training snapshot."""
    import pyarrow as pa

    from ml.snapshot_files import ITEMS_SCHEMA

    tables = [ITEMS_SCHEMA.empty_table()]
    for domain in domains:
        mine = documents_of(home, domain)
        names = pa.array([domain] * len(mine), pa.string())
        tables.append(mine.add_column(0, "domain", names).select(ITEMS_SCHEMA.names).cast(ITEMS_SCHEMA))
    return pa.concat_tables(tables)


def own_documents_of(home: Home, domain: str) -> pa.Table:
    """`documents_of` without generated text: the catalogue's own words, cleaned."""
    import pyarrow.parquet as pq

    path = documents_path(home, domain)
    if not path.is_file() or not {*COLUMNS} <= {*pq.read_schema(path).names}:
        raise FileNotFoundError(f"{path} holds no cleaned texts: materialise item_texts of {domain} first")
    return pq.read_table(path, columns=COLUMNS)
