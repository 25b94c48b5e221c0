"""Index: each catalogue's text vectors, searchable by FAISS, its answers compared with exact search."""

from collections.abc import Iterator

import dagster as dg

from orchestration.config import Home
from orchestration.defs.embed import item_embeddings
from orchestration.documents import documents_of
from orchestration.files import replaced_folder
from orchestration.partitions import CONFIG, DOMAINS

RECALL_CHECK = "finds_what_exact_search_finds"
QUERIES = 256
FLOOR = 0.95  # below it an approximate index misses what users would have been shown


@dg.asset(
    partitions_def=DOMAINS,
    deps=[item_embeddings],
    group_name="serving",
    kinds={"faiss"},
    check_specs=[
        dg.AssetCheckSpec(RECALL_CHECK, asset="item_index", description=f"Recall of at least {FLOOR:.0%}.")
    ],
)
def item_index(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Nearest items by text, for every item with a text; exact search takes over where FAISS is missing."""
    import numpy as np

    from ml.retrieval import build_index, recall_against_exact
    from ml.text.encoding.store import EmbeddingStore
    from orchestration.features import encoder_in_use

    home, domain = Home(), context.partition_key
    encoder = encoder_in_use(CONFIG, home)
    items = documents_of(home, domain)
    store = EmbeddingStore(home.embeddings, encoder.key, encoder.dimension)
    vectors = store.matrix(items["text_hash"].to_pylist())
    embedded = np.abs(vectors).sum(axis=1) > 0
    ids, vectors = np.array(items["item_id"].to_pylist(), dtype=str)[embedded], vectors[embedded]
    index = build_index(vectors, ids, encoder.key)
    with replaced_folder(home.root / "indexes" / domain) as folder:
        index.save(folder)
    picked = np.random.default_rng(CONFIG.evaluation.seed).permutation(len(ids))[:QUERIES]
    recall = recall_against_exact(index, vectors, vectors[picked], CONFIG.evaluation.k)
    yield dg.MaterializeResult(
        metadata={"items": len(ids), "without_text": int((~embedded).sum()), "index": type(index).__name__},
        check_results=[
            dg.AssetCheckResult(
                check_name=RECALL_CHECK,
                passed=bool(not len(ids) or recall >= FLOOR),
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"recall": recall if len(ids) else 1.0, "queries": len(picked)},
            )
        ],
    )
