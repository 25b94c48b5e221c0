"""Bars show every figure in words and in shape, on one scale, and follow the page's colours."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from orchestration.review.interval_bars import _SHAPES, Bar, Panel, interval_bars, nice_ticks

BAR = Bar("bridge", 0.2, 0.1, 0.3, "bridge")


def drawn(*groups):
    return ElementTree.fromstring(interval_bars(*groups))


def test_a_panel_says_its_bars_in_words():
    (svg,) = drawn([Panel("cold users", "20 users", [BAR])])
    assert svg.get("aria-label") == "cold users: bridge .2000, 95 % interval .1000 to .3000"
    words = ["".join(node.itertext()) for node in svg.iter("text")]
    assert {"bridge", ".2000", "0", ".1", ".3"} <= set(words)


def test_panels_of_a_group_share_a_scale_and_groups_do_not():
    wide = Panel("warm users", "", [Bar("twin", 0.5, 0.4, 0.9, "twin")])
    small = Panel("lift", "", [Bar("cold", 0.01, 0.0, 0.02, "bridge", sign="+")])
    first, second, third = drawn([Panel("cold users", "", [BAR]), wide], [small])

    def places(svg):
        return [node.get("x") for node in svg.iter("text") if node.get("text-anchor") == "middle"]

    assert places(first) == places(second)
    assert ".9" not in ElementTree.tostring(third, "unicode")


def test_every_series_has_a_shape_of_its_own_and_uncertain_ones_are_hollow():
    assert len(set(_SHAPES.values())) == len(_SHAPES)
    hollow = Bar("bridge", 0.2, 0.1, 0.3, "bridge", filled=False)
    assert "Canvas" in interval_bars([Panel("p", "", [hollow])])
    assert "Canvas" not in interval_bars([Panel("p", "", [BAR])])


def test_names_are_escaped_and_nothing_to_draw_is_no_picture():
    assert "a&lt;b" in interval_bars([Panel("a<b", "", [BAR])])
    assert interval_bars([Panel("p", "", [])], []) == ""


@pytest.mark.parametrize(
    "low, high", [(0, 0.27), (-0.013, 0.062), (0, 1), (0, 0), (-3.2e-5, 1e-5), (-0.5, 0)]
)
def test_ticks_are_few_even_and_hold_the_range_and_nought(low, high):
    ticks = nice_ticks(low, high)
    steps = {round(b - a, 12) for a, b in pairwise(ticks)}
    assert 2 <= len(ticks) <= 5
    assert len(steps) == 1
    assert ticks[0] <= low
    assert high <= ticks[-1]
    assert 0 in ticks
