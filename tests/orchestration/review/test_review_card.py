"""The review card says what the figures say, in both of its forms, and warns where they say little."""

from dataclasses import dataclass, replace
from html.parser import HTMLParser

import pytest

from orchestration.pages import markdown_table
from orchestration.review.card import Card, DomainFacts, html, known_limits, markdown, metric_table, verdict
from orchestration.review.cohort_plot import cohort_plot


@dataclass(frozen=True)
class Row:
    cohort: str
    candidate: str
    metric: str
    mean: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class Lift:
    cohort: str
    metric: str
    mean: float
    low: float
    high: float
    users: int


ROWS = [
    Row(cohort, candidate, metric, 0.02 * i, 0.02 * i - 0.005, 0.02 * i + 0.005, users)
    for cohort, users in (("warm", 500), ("cold", 1200))
    for i, candidate in enumerate(("popularity", "twin", "bridge"), start=1)
    for metric in ("recall", "precision", "ndcg")
]
LIFTS = [Lift("cold", "recall", 0.02, 0.011, 0.029, 1200), Lift("warm", "recall", 0.001, -0.004, 0.006, 500)]
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


def test_the_verdict_states_the_surest_gain_with_its_interval():
    assert verdict(CARD) == (
        "Serve the bridge: recall@10 of cold users is +0.0200 against its twin "
        "(95 % interval +0.0110 to +0.0290, 1,200 users)."
    )


@pytest.mark.parametrize("serve", ["twin", "popularity"])
def test_a_fallback_claims_no_gain(serve):
    line = verdict(replace(CARD, serve=serve, passed=False))
    assert line.startswith(f"Serve {'the ' if serve == 'twin' else ''}{serve}")
    assert "+0.02" not in line


def test_the_table_has_a_line_a_cohort_in_order_of_knowledge():
    table = metric_table(ROWS, LIFTS, "recall")
    assert table.rows == [
        [
            "cold",
            "1,200",
            ".0200\u00a0[.0150,\u00a0.0250]",
            ".0400\u00a0[.0350,\u00a0.0450]",
            ".0600\u00a0[.0550,\u00a0.0650]",
            "+.0200\u00a0[+.0110,\u00a0+.0290]",
        ],
        [
            "warm",
            "500",
            ".0200\u00a0[.0150,\u00a0.0250]",
            ".0400\u00a0[.0350,\u00a0.0450]",
            ".0600\u00a0[.0550,\u00a0.0650]",
            "+.0010\u00a0[-.0040,\u00a0+.0060]",
        ],
    ]
    assert metric_table(ROWS, LIFTS, "precision").rows[0][-1] == "–"  # no lift was measured for it


def test_a_markdown_table_has_as_many_cells_in_every_line():
    lines = markdown_table(metric_table(ROWS, LIFTS, "recall")).splitlines()
    assert {line.count("|") for line in lines} == {7}


def test_limits_name_what_was_not_measured():
    limits = " ".join(known_limits(CARD))
    assert "No sparse user could be measured" in limits
    assert "40% of the items of books have no text" in limits
    assert "films" not in limits
    few = replace(CARD, rows=[replace(row, users=12) for row in ROWS if row.cohort == "cold"], sources=[])
    assert "Only 12 cold users" in " ".join(known_limits(few))
    assert "No source domain" in " ".join(known_limits(few))


def test_both_forms_carry_the_same_figures():
    text, page = markdown(CARD), html(CARD)
    for figure in (
        verdict(CARD),
        ".0600\u00a0[.0550,\u00a0.0650]",
        "2026-01-01 to 2026-02-28",
        "0123456789abcdef",
    ):
        assert figure in text
        assert figure in page


def test_the_page_is_well_formed_and_escapes_what_it_is_given():
    hostile = replace(CARD, encoder="<script>alert(1)</script>", reasons=["a & b < c"])

    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.seen: set[str] = set()

        def handle_starttag(self, tag, attrs):
            self.seen.add(tag)
            if tag != "meta":
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    parser = Balance()
    parser.feed(html(hostile))
    assert parser.open == []
    assert "script" not in parser.seen
    assert "a &amp; b &lt; c" in html(hostile)


def test_the_plot_is_the_same_picture_for_the_same_figures():
    first, second = (cohort_plot(ROWS, 10) for _ in range(2))
    assert first.startswith(b"\x89PNG")
    assert first == second != cohort_plot(ROWS[:3], 10)


def test_a_cohort_nobody_is_in_is_left_out_of_the_plot():
    empty = Row("sparse", "bridge", "recall", float("nan"), float("nan"), float("nan"), 0)
    assert cohort_plot([*ROWS, empty], 10) == cohort_plot(ROWS, 10)
