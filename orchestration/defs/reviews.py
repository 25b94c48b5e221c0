"""Reviews: what users write with their events, out of the warehouse, cleaned, judged and embedded.

Only where some domain maps `events.columns.text`. As with items, the texts leave the warehouse as files, so
that hours of embedding keep nobody from loading events.
"""

from collections.abc import Iterator

import dagster as dg

from orchestration.config import Home
from orchestration.partitions import CONFIG, DOMAINS
from orchestration.resources.warehouse import Warehouse
from orchestration.review_reading import (
    LANGUAGE_CHECK,
    SCALE_CHECK,
    language_check,
    read_reviews,
    scale_check,
)
from orchestration.reviews import export, reviewed_domains

_CHECKS = {
    SCALE_CHECK: "Ratings lie between worst and best.",
    LANGUAGE_CHECK: "The encoder's vocabulary covers the reviews' language.",
}

if REVIEWED := reviewed_domains(CONFIG):

    @dg.asset(
        partitions_def=DOMAINS,
        deps=[["marts", "fct_reviews"]],
        group_name="features",
        kinds={"duckdb", "parquet"},
        pool="warehouse",
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def review_texts(context: dg.AssetExecutionContext, warehouse: Warehouse) -> None:
        """The reviews of a domain as they stand in its log, in `reviews/<domain>/written.parquet`."""
        with warehouse.read() as connection:
            for domain in context.partition_keys:
                rows = export(connection, Home(), domain) if domain in REVIEWED else 0
                context.add_asset_metadata({"dagster/row_count": rows}, partition_key=domain)

    @dg.asset(
        partitions_def=DOMAINS,
        deps=[review_texts],
        group_name="features",
        kinds={"python", "pytorch"},
        backfill_policy=dg.BackfillPolicy.single_run(),  # the model loads once for all domains
        check_specs=[
            dg.AssetCheckSpec(name, asset="review_embeddings", description=told)
            for name, told in _CHECKS.items()
        ],
    )
    def review_embeddings(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        """Clean review texts as vectors, and what each says about taste; only new texts cost work."""
        from orchestration.features import encoder_in_use, text_encoder

        home, found = Home(), {}
        encoders = {encoder.key: encoder for encoder in (text_encoder(CONFIG), encoder_in_use(CONFIG, home))}
        for domain in (name for name in context.partition_keys if name in REVIEWED):
            reading = read_reviews(CONFIG, home, domain, list(encoders.values()), context.log.info)
            found[domain] = reading
            told = {**vars(reading), "sentiment": CONFIG.domains[domain].reviews.sentiment}
            context.add_asset_metadata({**told, "encoder": next(iter(encoders))}, partition_key=domain)
        yield dg.MaterializeResult()
        yield scale_check(found)
        yield language_check(found)
