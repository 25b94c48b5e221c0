"""A review card made by hand, for tests that change a part of it."""

from ml.metrics.report import CohortRow, LiftRow
from orchestration.review.card import Card
from orchestration.review.changes import DomainFacts

ROWS = [
    CohortRow(cohort, candidate, metric, 0.02 * i, 0.02 * i - 0.005, 0.02 * i + 0.005, users)
    for cohort, users in (("warm", 500), ("cold", 1200))
    for i, candidate in enumerate(("popularity", "twin", "bridge"), start=1)
    for metric in ("recall", "precision", "ndcg")
]
LIFTS = [
    LiftRow("cold", "recall", 0.02, 0.011, 0.029, 1200, q=0.001, detectable=0.01, differing=400),
    LiftRow("warm", "recall", 0.001, -0.004, 0.006, 500, q=0.6, detectable=0.03, differing=200),
]
CARD = Card(
    target="books",
    as_of="2026-03-01",
    k=10,
    serve="bridge",
    passed=True,
    reasons=["The bridge is certainly better than the twin for cold users."],
    rows=ROWS,
    lifts=LIFTS,
    domains={
        "books": DomainFacts(1000, 300, 100, 40, "2026-01-01", "2026-02-28"),
        "films": DomainFacts(0, 0, 120, 0, None, None),
    },
    sources=["films"],
    encoder="minilm",
    data_digest="0123456789abcdef" * 4,
)
