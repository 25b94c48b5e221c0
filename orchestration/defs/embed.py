"""Embed: every item's text as a vector of the configured encoder, each text once.

The texts leave the warehouse as one Parquet file per domain, which takes a moment; embedding reads the files
outside the warehouse pool, so that hours of it keep nobody from loading events.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.config import Home
from orchestration.files import replaced_file
from orchestration.partitions import CONFIG, DOMAINS
from orchestration.resources.warehouse import Warehouse

if TYPE_CHECKING:
    from ml.text.embed import EmbedReport
    from ml.text.encoder import TextEncoder
    from ml.text.store import EmbeddingStore

# English text through the English encoder: below 0.01. Chinese through it: 0.78.
UNKNOWN_LIMIT = 0.3
UNKNOWN_SAMPLE = 1000
CHECK = "encoder_reads_language"


def texts_path(home: Home, domain: str) -> Path:
    """Where a domain's item texts lie: item_id, text_hash and document, both null where there is no text."""
    return home.root / "documents" / f"{domain}.parquet"


@dg.asset(
    partitions_def=DOMAINS,
    deps=[["marts", "item_documents"]],
    group_name="features",
    kinds={"duckdb", "parquet"},
    pool="warehouse",
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def item_texts(context: dg.AssetExecutionContext, warehouse: Warehouse) -> None:
    """The documents of a domain's items as a file, in `documents/<domain>.parquet`."""
    import pyarrow.parquet as pq

    query = "select item_id, text_hash, document from marts.item_documents where domain = $1 order by item_id"
    with warehouse.read() as connection:
        for domain in context.partition_keys:
            with replaced_file(texts_path(Home(), domain)) as beside:
                connection.sql(query, params=[domain]).write_parquet(str(beside), compression="zstd")
            rows = pq.read_metadata(texts_path(Home(), domain)).num_rows
            context.add_asset_metadata({"dagster/row_count": rows}, partition_key=domain)


@dg.asset(
    partitions_def=DOMAINS,
    deps=[item_texts],
    group_name="features",
    kinds={"python", "pytorch"},
    backfill_policy=dg.BackfillPolicy.single_run(),  # the model loads once for all domains
    check_specs=[
        dg.AssetCheckSpec(
            CHECK, asset="item_embeddings", description="The encoder's vocabulary covers the items' language."
        )
    ],
)
def item_embeddings(
    context: dg.AssetExecutionContext,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Text embeddings of a domain's items; only texts that this encoder has not embedded before cost work."""
    from ml.text.store import EmbeddingStore
    from orchestration.features import text_encoder

    home, encoder = Home(), text_encoder(CONFIG)
    store = EmbeddingStore(home.embeddings, encoder.key, encoder.dimension)
    shares = {}
    for domain in context.partition_keys:
        report, shares[domain] = embed_domain(encoder, store, texts_path(home, domain), context.log.info)
        metadata = {
            "texts": report.new + report.reused,
            "new": report.new,
            "reused": report.reused,
            "without_text": report.without_text,
            "texts_per_second": round(report.texts_per_second, 1),
            "unknown_share": round(shares[domain], 4),
            "encoder": encoder.key,
            "device": str(encoder.device),
        }
        context.add_asset_metadata(metadata, partition_key=domain)
    yield dg.MaterializeResult()
    yield language_check(shares)


def embed_domain(
    encoder: "TextEncoder", store: "EmbeddingStore", path: Path, log: Callable[[str], object]
) -> "tuple[EmbedReport, float]":
    """Embed one domain's new texts; returns the report and the share of tokens the encoder does not know.

    Above UNKNOWN_LIMIT nothing is embedded, all items count as without text: vectors of noise would be
    learned from, and none are not.
    """
    import pyarrow.parquet as pq

    from ml.text.embed import embed_missing

    table = pq.read_table(path, columns=["text_hash", "document"])
    hashes, texts = table["text_hash"].to_pylist(), table["document"].to_pylist()
    present = [text for text in texts if text is not None]
    share = encoder.unknown_share(present[:: len(present) // UNKNOWN_SAMPLE + 1])
    if share > UNKNOWN_LIMIT:
        log(f"{path.stem}: {share:.0%} of the tokens are unknown to {encoder.key}; nothing is embedded")
        hashes = texts = [None] * len(texts)
    return embed_missing(encoder, store, hashes, texts, tenths(path.stem, log)), share


def tenths(domain: str, log: Callable[[str], object]) -> Callable[[int, int], None]:
    """A progress callback that logs once per tenth of the work."""
    logged = -1

    def progress(done: int, total: int) -> None:
        nonlocal logged
        if done * 10 // total > logged:
            logged = done * 10 // total
            log(f"{domain}: {done:,} of {total:,} texts embedded")

    return progress


def language_check(shares: dict[str, float]) -> dg.AssetCheckResult:
    """Fails, with advice, where a domain's text is in a language that the encoder does not know."""
    unread = sorted(domain for domain, share in shares.items() if share > UNKNOWN_LIMIT)
    advice = (
        f"{', '.join(unread)}: over {UNKNOWN_LIMIT:.0%} of the tokens are unknown to the encoder, so these "
        "items have no vectors. Set encoder.model to a model of their language (a Hugging Face id or folder)"
    )
    return dg.AssetCheckResult(
        passed=not unread,
        check_name=CHECK,
        description=advice if unread else "The encoder knows the language of every domain of this run.",
        metadata={f"unknown_share/{domain}": round(share, 4) for domain, share in shares.items()},
    )
