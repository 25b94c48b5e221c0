"""Re-ranking as training sees it: made from what may be read, measured beside the plain lists.

What decides which candidate is served are the plain lists: whether knowledge transfers is one question, what
diversity may cost is another, which whoever configures it answers with its price before their eyes.
"""

from __future__ import annotations

import pyarrow as pa

from ml.bridge.contract import Task
from ml.bridge.lists import Asked
from ml.bridge.serve.recommender import Recommender
from ml.metrics.item_facts import ItemFacts
from ml.retrieval.rerank import Reranker, RerankRules


def reranker_of(rules: RerankRules | None, task: Task) -> Reranker | None:
    """A re-ranker that knows of the target what the task may read; None where the rules change nothing."""
    if rules is None or not rules.change:
        return None
    target = task.target
    facts = ItemFacts.of(task.catalogues[target], task.interactions[target], task.seed, task.device)
    return Reranker.of(rules, facts.vectors, facts.fame)


def plain_and_reranked(
    name: str, plain: Recommender, asked: Asked, k: int, reranker: Reranker | None
) -> tuple[pa.Table, pa.Table | None]:
    """The lists of `plain`, a recommender that does not re-rank, and the same as users see them: after
    `reranker`, if any, and with room for new items, if any."""
    alike = reranker is None and plain.new_items is None
    if asked.split.allowed is not None:
        seen = asked.past.weights[plain.target]
        lists = asked.table(name, plain.rank_new(asked.past, k, asked.split.allowed, seen)[0])
        return lists, None if alike else lists
    ranked, scores = plain.rank(asked.past, k if reranker is None else reranker.depth(k))
    lists = asked.table(name, ranked[:, :k])
    if alike:
        return lists, None
    shown = (ranked, scores) if reranker is None else reranker(ranked, scores, k)
    return lists, asked.table(name, plain.with_new_items(asked.past, *shown)[0])
