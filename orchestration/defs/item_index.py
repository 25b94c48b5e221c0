"""Index: each catalogue's text vectors, searchable, its answers compared with exact search."""

from collections.abc import Iterator

import dagster as dg

from orchestration.config import Home
from orchestration.defs.embed import item_embeddings
from orchestration.documents import documents_of
from orchestration.files import replaced_folder
from orchestration.partitions import CONFIG, DOMAINS

RECALL_CHECK = "finds_what_exact_search_finds"
QUERIES = 256
FLOOR = CONFIG.retrieval.recall_floor


@dg.asset(
    partitions_def=DOMAINS,
    deps=[item_embeddings],
    group_name="serving",
    kinds={"faiss"},
    check_specs=[
        dg.AssetCheckSpec(
            RECALL_CHECK,
            asset="item_index",
            description=f"Recall of at least {FLOOR:.0%} of the exact top {CONFIG.evaluation.k} "
            "(retrieval.recall_floor): below it users miss items that they would have been shown.",
        )
    ],
)
def item_index(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Nearest items by text, for every item with a text; exact search takes over where FAISS is missing."""
    import numpy as np

    from ml.retrieval import build_index, load_index, recall_against_exact
    from ml.text.encoding.store import EmbeddingStore
    from orchestration.features import encoder_in_use

    home, domain = Home(), context.partition_key
    encoder = encoder_in_use(CONFIG, home)
    items = documents_of(home, domain)
    store = EmbeddingStore(home.embeddings, encoder.key, encoder.dimension)
    vectors = store.matrix(items["text_hash"].to_pylist())
    embedded = np.abs(vectors).sum(axis=1) > 0
    ids, vectors = np.array(items["item_id"].to_pylist(), dtype=str)[embedded], vectors[embedded]
    with replaced_folder(home.root / "indexes" / domain) as folder:
        build_index(vectors, ids, encoder.key, CONFIG.retrieval.index).save(folder)
        index = load_index(folder, encoder.key)  # what is measured is what a reader of the folder gets
        picked = np.random.default_rng(CONFIG.evaluation.seed).permutation(len(ids))[:QUERIES]
        recall = recall_against_exact(index, vectors, vectors[picked], CONFIG.evaluation.k)
    yield dg.MaterializeResult(
        metadata={
            "items": len(ids),
            "without_text": int((~embedded).sum()),
            "index": index.kind,
            "parameters": dict(index.parameters),
        },
        check_results=[_check(recall if len(ids) else 1.0, len(picked), index.kind)],
    )


def _check(recall: float, queries: int, kind: str) -> dg.AssetCheckResult:
    passed = recall >= FLOOR
    advice = f"Finds {recall:.1%} of the exact top {CONFIG.evaluation.k}, the floor is {FLOOR:.1%}." + (
        ""
        if passed
        else f" The index is {kind}: set retrieval.index to exact, or to hnsw for a large catalogue, and "
        "materialise item_index again; or lower retrieval.recall_floor if that is enough."
    )
    return dg.AssetCheckResult(
        check_name=RECALL_CHECK,
        passed=bool(passed),
        severity=dg.AssetCheckSeverity.WARN,
        description=advice,
        metadata={"recall": recall, "queries": queries, "floor": FLOOR},
    )
