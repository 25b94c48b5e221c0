"""Texts: each domain's item texts out of the warehouse, cleaned, as the documents that are embedded."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg
import duckdb

from orchestration.config import Config, Home
from orchestration.documents import COLUMNS, documents_path
from orchestration.files import replaced_file
from orchestration.partitions import CONFIG, DOMAINS
from orchestration.resources.warehouse import Warehouse

if TYPE_CHECKING:
    from ml.text.cleaning.documents import DocumentBuilder, Tally

BATCH_ITEMS = 20_000
# Boilerplate is looked for among so many items, drawn by their ids' hash: memory stays bounded, and a
# sentence of a fifth of the items is found with more certainty than a disk has.
SAMPLE_ITEMS = 50_000
MARKERS = 2  # tokens that the tokenizer puts around a text
EXAMPLES = 10


def builder_of(config: Config, domain: str) -> "DocumentBuilder":
    """The text rules of a domain, ready to be applied."""
    from ml.text.cleaning.documents import DocumentBuilder
    from ml.text.cleaning.fit import estimated_tokens

    rules, encoder = config.text_of(domain), config.encoder
    return DocumentBuilder(
        config.domains[domain].items.columns.text,
        template=rules.template,
        emoji=rules.emoji,
        boilerplate_share=rules.boilerplate_share,
        max_tokens=max(1, encoder.max_tokens - MARKERS - estimated_tokens(encoder.document_prefix)),
    )


def texts_of(
    connection: duckdb.DuckDBPyConnection, domain: str, columns: list[str], order: str = "item_id"
) -> Iterator[tuple[list[str], list[list[str | None]]]]:
    """Ids and texts of a domain's items in batches, one text a column, by a SQL `order`.

    Raises dg.Failure where the warehouse has another number of texts than there are columns.
    """
    query = f"select item_id, texts from marts.item_documents where domain = $1 order by {order}"
    reader = connection.sql(query, params=[domain]).to_arrow_reader(BATCH_ITEMS)
    for batch in reader:
        texts = [found or [None] * len(columns) for found in batch.column(1).to_pylist()]
        if any(len(found) != len(columns) for found in texts):
            raise dg.Failure(
                f"{domain}: the catalogue was loaded with other text columns than {columns}; "
                f"materialise raw/items and item_documents again (landbridge run does)"
            )
        yield batch.column(0).to_pylist(), texts


def write_documents(
    connection: duckdb.DuckDBPyConnection, config: Config, home: Home, domain: str
) -> "Tally":
    """Clean the texts of a domain into its documents' file; returns what was done."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    builder = builder_of(config, domain)
    sample = texts_of(connection, domain, builder.columns, f"md5(item_id) limit {SAMPLE_ITEMS}")
    builder.learn(fields for _, batch in sample for fields in batch)
    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    with (
        replaced_file(documents_path(home, domain)) as beside,
        pq.ParquetWriter(beside, schema, compression="zstd") as writer,
    ):
        for ids, batch in texts_of(connection, domain, builder.columns):
            made = builder.build(batch)
            arrays = [
                ids,
                [document.title for document in made],
                [document.text for document in made],
                [document.text_hash for document in made],
            ]
            writer.write_table(pa.table(arrays, schema=schema))
    return builder.tally


def told(tally: "Tally") -> dict[str, dg.MetadataValue | int]:
    """What was done to the texts, as metadata."""
    rows = "\n".join(
        f"| {_cell(text)} | {items:,} |" for text, items in tally.boilerplate.most_common(EXAMPLES)
    )
    metadata: dict[str, dg.MetadataValue | int] = {
        "dagster/row_count": tally.items,
        "with_text": tally.with_text,
        "without_text": tally.items - tally.with_text,
        "changed": tally.changed,
        **{f"changed/{kind}": items for kind, items in sorted(tally.fixes.items())},
    }
    if rows:
        metadata["boilerplate_sentences"] = len(tally.boilerplate)
        metadata["boilerplate"] = dg.MetadataValue.md(f"| left out | items |\n|---|---|\n{rows}")
    return metadata


def _cell(text: str, width: int = 120) -> str:
    shown = text if len(text) <= width else f"{text[:width]}..."
    return shown.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


@dg.asset(
    partitions_def=DOMAINS,
    deps=[["marts", "item_documents"]],
    group_name="features",
    kinds={"duckdb", "parquet"},
    pool="warehouse",
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def item_texts(context: dg.AssetExecutionContext, warehouse: Warehouse) -> None:
    """The cleaned documents of a domain's items as a file, in `documents/<domain>.parquet`."""
    with warehouse.read() as connection:
        for domain in context.partition_keys:
            tally = write_documents(connection, CONFIG, Home(), domain)
            context.add_asset_metadata(told(tally), partition_key=domain)
