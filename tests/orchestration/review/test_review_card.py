"""The review card says what the figures say, in both of its forms, and warns where they say little."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from card_case import CARD, LIFTS, ROWS

from ml.metrics.gate import Condition
from ml.metrics.report import CohortRow, LiftRow
from orchestration.pages import Section, Table, html_page, markdown_page, markdown_table
from orchestration.review.card import (
    LONGEST_DESCRIPTION,
    WHOLE_CARD,
    description,
    html,
    known_limits,
    markdown,
    verdict,
)
from orchestration.review.cohort_plot import cohort_plot
from orchestration.review.cohort_tables import metric_table


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
            ".0200 [.0150,\u00a0.0250]",
            ".0400 [.0350,\u00a0.0450]",
            ".0600 [.0550,\u00a0.0650]",
            "+.0200 [+.0110,\u00a0+.0290]",
        ],
        [
            "warm",
            "500",
            ".0200 [.0150,\u00a0.0250]",
            ".0400 [.0350,\u00a0.0450]",
            ".0600 [.0550,\u00a0.0650]",
            "+.0010 [-.0040,\u00a0+.0060]",
        ],
    ]
    assert metric_table(ROWS, LIFTS, "precision").rows[0][-1] == "–"  # no lift was measured for it


def test_a_markdown_table_has_as_many_cells_in_every_line():
    lines = markdown_table(metric_table(ROWS, LIFTS, "recall")).splitlines()
    assert {line.count("|") for line in lines} == {7}


def test_a_heading_below_a_table_has_room_and_no_cell_begins_with_an_indent():
    text = markdown_page("v", [Section("one", (), Table(["a", "b"], [["1", "2"]])), Section("two")])
    assert text.endswith(
        "### **one**\n\n| a&emsp; | b |\n| :-- | --: |\n| 1&emsp; | 2 |\n\n&nbsp;\n\n### **two**\n"
    )


def test_limits_name_what_was_not_measured():
    limits = " ".join(known_limits(CARD))
    assert "No sparse user could be measured" in limits
    assert "40% of the items of books have no text" in limits
    assert "films" not in limits
    assert "Bridge over twin, 500 warm users: too few users to tell" in limits
    assert "1,200 cold users" not in limits
    assert "No source domain" in " ".join(known_limits(replace(CARD, sources=[])))


def test_both_forms_carry_the_same_figures():
    text, page = markdown(CARD), html(CARD)
    for figure in (
        verdict(CARD),
        ".0600 [.0550,\u00a0.0650]",
        "2026-02-28",
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


def test_dates_and_shares_in_cells_do_not_break_and_are_escaped():
    table = Table(["", "what"], [["row", "a&b-c<d> on 2026-01-01: 26 % of it"]])
    cell = (
        '<span class="whole">a&amp;b-c&lt;d&gt;</span> on <span class="whole">2026-01-01:</span> '
        '<span class="whole">26 %</span> of it'
    )
    assert cell in html_page("t", "v", "bridge", [Section("s", (), table)])


def test_the_plot_is_the_same_picture_for_the_same_figures():
    first, second = (cohort_plot(ROWS, 10) for _ in range(2))
    assert first.startswith(b"\x89PNG")
    assert first == second != cohort_plot(ROWS[:3], 10)


def test_a_cohort_nobody_is_in_is_left_out_of_the_plot():
    empty = CohortRow("sparse", "bridge", "recall", float("nan"), float("nan"), float("nan"), 0)
    assert cohort_plot([*ROWS, empty], 10) == cohort_plot(ROWS, 10)


HELD = Condition("over_twin", True, "It is better than its twin.")
BROKEN = Condition("coverage", False, "The lists show 2 % of the catalogue.")


@pytest.mark.parametrize(
    ("conditions", "mode", "said"),
    [
        ((HELD,), "enabled", "It passed the gate."),
        ((HELD, BROKEN), "enabled", "1,200 users)."),
        ((HELD, BROKEN), "dry_run", "Gate on a dry run, would refuse it: coverage of the catalogue."),
        ((), "disabled", "The gate is disabled."),
    ],
)
def test_the_first_line_ends_with_what_the_gate_says(conditions, mode, said):
    assert verdict(replace(CARD, conditions=conditions, gate=mode)).endswith(said)


def test_what_failed_comes_first_and_is_marked_by_a_sign_and_a_word():
    card = replace(CARD, conditions=(HELD, BROKEN), gate="enabled", passed=False)
    page = html(card)
    assert page.index("✗ failed: The lists show 2 %") < page.index("✓ It is better than its twin.")
    assert 'class="verdict bridge refused"' in page


@pytest.mark.parametrize("serve, it", [("bridge", "the bridge"), ("popularity", "popularity")])
def test_a_refusal_is_the_first_word_and_nothing_is_to_be_served(serve, it):
    broken = Condition("over_champion", False, "It is worse.")
    card = replace(CARD, serve=serve, conditions=(HELD, broken, BROKEN), gate="enabled", passed=False)
    why = "the comparison with today's champion; coverage of the catalogue"
    assert verdict(card).startswith(f"Refused by the gate ({why}). It would serve {it}: ")
    for mode in ("dry_run", "disabled"):  # they stop nobody
        said = verdict(replace(card, gate=mode))
        assert said.startswith(f"Serve {it}: ")
        assert "Refused" not in said
        assert f'class="verdict {serve}"' in html(replace(card, gate=mode))


@pytest.mark.parametrize(
    "mean, q, words",
    [
        (0.003, 0.5, "No certain difference from"),
        (0.003, 0.01, "Certainly better than"),
        (-0.003, 0.01, "Certainly worse than"),
        (0.003, float("nan"), "No certain difference from"),  # an older report: by the interval
        (0.005, float("nan"), "Certainly better than"),
    ],
)
def test_the_verdict_says_how_it_stands_to_the_champion_in_words_first(mean, q, words):
    low, high = mean - 0.004, mean + 0.004
    over = LiftRow("all", "recall", mean, low, high, 1700, of="bridge", over="champion", q=q)
    card = replace(CARD, comparisons=[over])
    figures = f"recall {mean:+.4f} over all users (95 % interval {low:+.4f} to {high:+.4f})"
    assert f"{words} today's champion: {figures}." in verdict(card)
    assert "bridge over champion" in html(card)
    loss = replace(over, cohort="warm", mean=-0.01, low=-0.02, high=-0.001, q=0.01)
    assert "; certainly worse for warm users." in verdict(replace(CARD, comparisons=[over, loss]))


def test_the_names_are_explained_below_the_picture_and_in_the_description():
    page, text = html(CARD), description(CARD)
    assert page.index("<svg") < page.index("twin: the same model without them") < page.index("How sure")
    assert "twin: the same model without them" in text
    assert "champion: the recipe" not in page
    champion = replace(ROWS[0], candidate="champion")
    assert "champion: the recipe" in html(replace(CARD, rows=[*ROWS, champion]))


def test_a_table_shows_the_lift_over_the_champion_where_there_was_one():
    over = LiftRow("cold", "recall", 0.003, -0.001, 0.007, 1200, of="bridge", over="champion", q=0.5)
    table = metric_table(ROWS, LIFTS, "recall", comparisons=[over])
    assert table.header[-2:] == ["lift over twin", "lift over champion"]
    assert [row[-1] for row in table.rows] == ["+.0030 [-.0010,\u00a0+.0070]", "–"]
    assert "over champion" not in metric_table(ROWS, LIFTS, "ndcg", comparisons=[over]).header[-1]
    twins = metric_table(ROWS, LIFTS, "recall", comparisons=[replace(over, of="twin")])
    assert twins.header[-1] == "twin over champion"


def test_few_users_behind_new_users_and_cold_items_are_one_line():
    few = [
        CohortRow(cohort, "bridge", "recall", mean, 0, 1, users)
        for cohort, mean, users in (("new_1", 0.1, 400), ("new_5", 0.2, 40), ("cold_items", 1.0, 2))
    ]
    assert [line for line in known_limits(replace(CARD, rows=[*ROWS, *few])) if "few users:" in line] == [
        "Recall that rests on few users: new users after 5 events 0.2000 (40 users), cold items 1.0000 "
        "(2 users)."
    ]
    assert not [line for line in known_limits(CARD) if "few users:" in line]


def test_the_first_screen_holds_verdict_gate_and_figure_and_the_rest_is_folded():
    page = html(replace(CARD, users=[Section("12 sampled users", parts=[Section("u1")], folded=True)]))
    first, rest = page.split("<details>", 1)
    assert first.index("verdict bridge") < first.index("Gate: passed") < first.index("<svg")
    assert "12 sampled users" in rest
    assert "precision@10 by cohort" in rest


def test_a_description_fits_mlflow_whatever_the_card_holds_and_says_where_the_rest_is():
    long = Section("Configuration", (), Table(["key"], [["k" * 50]] * 200))
    small = Section("What changed from version 3", ("the same in both: encoder",))
    text = description(replace(CARD, changed=[long, small]))
    assert len(text) <= LONGEST_DESCRIPTION
    assert text.startswith(f"{verdict(CARD)}\n\n### **Gate: passed**\n\n")
    assert "k" * 50 not in text
    protocols = ["global time. Hidden: much.", "cold items. Asked: more."]
    assert "- measured by: global time, cold items\n" in description(replace(CARD, protocols=protocols))
    assert "the same in both: encoder" in text
    assert text.rstrip().endswith(WHOLE_CARD)
    assert len(description(replace(CARD, reasons=["r" * 9000]))) <= LONGEST_DESCRIPTION


def test_lists_of_users_are_on_the_page_alone():
    card = replace(CARD, users=[Section("4 sampled users", ("u1 took",), folded=True)])
    assert "u1 took" in html(card)
    assert "u1 took" not in markdown(card)
    assert "u1 took" not in description(card)
