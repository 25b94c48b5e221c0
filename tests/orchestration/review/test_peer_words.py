"""The peers in words and in the card's table."""

from dataclasses import replace

from card_case import CARD

from ml.metrics.peers import PeerLift
from ml.metrics.report import CohortRow
from orchestration.review.card import html, markdown
from orchestration.review.cohort_plot import cohort_plot
from orchestration.review.cohort_tables import peer_table
from orchestration.review.peers import best_peer_line, peer_name

LIFTS = [
    PeerLift("cold", "ease_union", 0.0396, 0.0113, 0.006, 0.0166, 1200),
    PeerLift("warm", "item_knn", 0.05, -0.001, -0.004, 0.002, 500),
    PeerLift("all", "ease_union", 0.04, 0.008, 0.002, 0.013, 1700),
]
PEERS = [
    CohortRow(cohort, name, "recall", mean, mean - 0.005, mean + 0.005, users)
    for cohort, users in (("warm", 500), ("cold", 1200))
    for name, mean in (("ease_union", 0.0396), ("item_knn", 0.05))
]
MEASURED = replace(CARD, rows=[*CARD.rows, *PEERS], peers=LIFTS)


def test_names_are_for_readers():
    assert [peer_name(n) for n in ("ease_union", "item_knn", "recent_popularity", "twin")] == [
        "EASE (union)",
        "item-kNN",
        "recent popularity",
        "twin",
    ]


def test_one_line_says_how_the_bridge_stands():
    assert best_peer_line(LIFTS) == (
        "best peer: cold EASE (union) .0396, bridge +.0113 [+.0060, +.0166]; "
        "warm item-kNN .0500, bridge -.0010 [-.0040, +.0020]"
    )
    assert best_peer_line([]) == ""


def test_the_table_has_a_line_a_candidate_and_marks_the_best_peer():
    table = peer_table(MEASURED.rows, LIFTS)
    assert list(table.header) == ["candidate", "cold", "warm", "all"]
    assert [row[0] for row in table.rows] == ["popularity", "twin", "bridge", "EASE (union)", "item-kNN"]
    ease, knn = table.rows[3:]
    assert ease[1].startswith("★ .0396")
    assert not ease[2].startswith("★")
    assert knn[2].startswith("★ .0500")
    assert table.rows[0][3] == "–"  # nothing was measured over all in this case


def test_the_card_shows_the_peers_only_where_they_were_measured():
    for text in (markdown(MEASURED), html(MEASURED)):
        assert "Peers: recall@10" in text
        assert "cold EASE (union) .0396, bridge +.0113 [+.0060, +.0166]" in text
    assert "Peers" not in markdown(CARD)


def test_the_plot_draws_the_best_peer():
    best = [row for row in PEERS if row.candidate == "item_knn"]
    assert cohort_plot(MEASURED.rows, 10) == cohort_plot([*CARD.rows, *best], 10)
    assert cohort_plot(MEASURED.rows, 10) != cohort_plot(CARD.rows, 10)
