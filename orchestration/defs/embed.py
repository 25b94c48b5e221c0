"""Embed: every item's text as a vector of the configured encoder, each text once.

It reads the documents as files, outside the warehouse pool: hours of it keep nobody from loading events.
"""

from collections.abc import Iterator

import dagster as dg

from orchestration.config import Home
from orchestration.defs.texts import item_texts
from orchestration.documents import documents_of
from orchestration.embedding import CHECK, embed_domain, language_check
from orchestration.generation import writes
from orchestration.partitions import CONFIG, DOMAINS


@dg.asset(
    partitions_def=DOMAINS,
    deps=[item_texts, *(["generated_texts"] if writes(CONFIG, "items") else [])],
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
    """Text embeddings of a domain's items; only texts that this encoder has not embedded before cost work.

    Where a fine-tuned encoder is in use it embeds them too: training reads its vectors, and the next
    fine-tuning is measured against those of the base.
    """
    from ml.text.encoding.store import EmbeddingStore
    from orchestration.features import encoder_in_use, text_encoder

    home, encoder = Home(), text_encoder(CONFIG)
    store = EmbeddingStore(home.embeddings, encoder.key, encoder.dimension)
    adapted = encoder_in_use(CONFIG, home)
    embedded = {}
    for domain in context.partition_keys:
        documents = documents_of(home, domain)
        embedded[domain] = embed_domain(encoder, store, domain, documents, context.log.info)
        context.add_asset_metadata(embedded[domain].metadata(encoder), partition_key=domain)
        if adapted.key != encoder.key:
            own = EmbeddingStore(home.embeddings, adapted.key, adapted.dimension)
            embed_domain(adapted, own, domain, documents, context.log.info)
    yield dg.MaterializeResult()
    yield language_check(embedded)
