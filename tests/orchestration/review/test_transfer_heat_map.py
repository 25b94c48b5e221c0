"""The heat map shows every figure, colours it by its sign, and never fails on what is missing."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from card_case import CARD

from ml.bridge.select.transfer_matrix import Cell, Ground, Transferability
from orchestration.pages import Section
from orchestration.review.card import html, markdown
from orchestration.review.transfer_heat_map import _colours, heat_map


def cell(source, mean, cohort="cold", users=100) -> Cell:
    return Cell(source, cohort, mean, mean - 0.01, mean + 0.01, users, 50, 0.05, 0.4)


def column(target, *cells) -> Transferability:
    return Transferability(target, "d", 10, {c.source: Ground(1, 0.5) for c in cells}, cells)


def words(svg: str) -> list[str]:
    return [node.text for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}text")]


def test_numbers_stars_and_names():
    nothing = cell("c", float("nan"), users=0)
    found = words(heat_map([column("b", cell("a", 0.02), nothing), column("a", cell("b", -0.004))]))
    assert "+.0200*" in found
    assert "-.0040" in found
    assert found.count("–") == 2  # c → b has no users, c → a was never asked
    assert [word for word in found if word and word.startswith("→")] == ["→ a", "→ b"]
    assert {"a", "b", "c"} <= set(found)


def test_one_panel_for_each_cohort_that_was_asked():
    found = words(heat_map([column("b", cell("a", 0.02), cell("a", 0.01, "warm"))]))
    assert [w for w in found if w and "before" in w] == ["estimated before training"]
    assert [w for w in found if w and w.endswith(" users")] == ["cold users", "warm users"]
    assert not [w for w in found if w and "after" in w]


def test_no_two_words_stand_on_each_other():
    """By what a letter is wide at most, in one line and from its start."""
    cells = [cell("a", 0.02, cohort) for cohort in ("cold", "sparse", "warm")]
    measured = Transferability("b", "d", 10, {"a": Ground(1, 0.5)}, cells, cells)
    page = ElementTree.fromstring(heat_map([measured]))
    lines = {}
    for node in page.iter():
        if node.tag.endswith("}text") and node.get("text-anchor") == "start":
            x = float(node.get("x"))
            lines.setdefault(node.get("y"), []).append((x, x + 7.5 * len(node.text)))
    assert len(lines) == 4  # of two stages: the title and the cohorts
    for spans in lines.values():
        ends = [end for _, end in sorted(spans)]
        assert all(end < start for end, (start, _) in zip(ends, sorted(spans)[1:], strict=False))
        assert ends[-1] <= float(page.get("width"))


def test_nothing_asked_is_no_picture():
    assert heat_map([]) == ""
    assert heat_map([column("b")]) == ""


def test_only_cells_without_users_are_drawn_empty():
    assert words(heat_map([column("b", cell("a", float("nan"), users=0))])).count("–") == 1


def test_many_domains_have_colours_and_no_numbers():
    names = [f"d{i:02d}" for i in range(14)]
    columns = [column(t, *(cell(s, 0.01) for s in names if s != t)) for t in names]
    svg = heat_map(columns)
    assert "+.0100" not in words(svg)
    assert svg.count("<title>") == 14 * 13


def test_names_are_escaped():
    assert "a&amp;&lt;" in heat_map([column("b", cell("a&<", 0.02))])


@pytest.mark.parametrize("value, channel", [(1.0, 2), (-1.0, 0)])
def test_blue_helps_and_orange_harms(value, channel):
    fill, ink = _colours(value)
    parts = [int(fill[i : i + 2], 16) for i in (1, 3, 5)]
    assert parts[channel] == max(parts)
    assert ink == "#fff"
    assert _colours(0.0) == ("#f7f7f7", "#222")


def test_the_same_figures_give_the_same_bytes():
    columns = [column("b", cell("a", 0.02)), column("a", cell("b", 0.01))]
    assert heat_map(columns) == heat_map(columns[::-1])


def test_the_card_carries_the_picture_in_its_page_alone():
    svg = heat_map([column("b", cell("a", 0.02))])
    card = replace(CARD, transfer=[Section("Which source helps", ("a: 1 shared user",), None, svg)])
    assert svg in html(card)
    assert "**Which source helps**\n\n- a: 1 shared user" in markdown(card)
    assert "<svg" not in markdown(card)
