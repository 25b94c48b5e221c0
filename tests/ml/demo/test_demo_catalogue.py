"""Titles and descriptions: distinct, natural, and silent about nothing they should tell."""

import re

import numpy as np
import pytest
from demo_reader import DOMAINS as NAMES
from demo_reader import catalogue, csv_rows, good_events
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.demo.catalogue import draw_catalogue
from ml.demo.garden_text import KINDS, SHELVES
from ml.demo.phrases import fill
from ml.demo.plan import DOMAINS, TONES
from ml.demo.plan import THEMES as THEME_COUNT


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("count", [80, 3000])
def test_no_two_items_are_alike(index, count):
    items = draw_catalogue(DOMAINS[index], index, count, seed=7)
    assert len(set(zip(items.titles, items.descriptions, strict=True))) == count
    assert len(set(items.ids.tolist())) == count
    if count == 80:
        assert len(set(items.titles)) == count


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), index=st.integers(0, 3))
def test_texts_read_like_english(seed, index):
    items = draw_catalogue(DOMAINS[index], index, 80, seed)
    for text in (*items.titles, *items.descriptions):
        assert text == text.strip()
        assert text[0].isupper() or text[0].isdigit()
        assert not re.search(r"[{}|]|  | ,|\.\.|\b[Aa] (?!one\b)[aeiouAEIOU]|\b(\w+) \1\b", text), text
    assert all(description.endswith(".") for description in items.descriptions)
    assert all(len(title) <= 80 for title in items.titles)


@pytest.mark.parametrize("index", range(4))
def test_every_theme_is_open_on_the_first_day(index):
    items = draw_catalogue(DOMAINS[index], index, 80, seed=1)
    for theme in range(THEME_COUNT):
        assert ((items.themes == theme) & (items.launch == 0) & (items.popularity > 0)).any()
    assert set(items.tones.tolist()) <= set(range(TONES))
    assert items.popularity.sum() == pytest.approx(1)
    followed = items.follows[items.follows >= 0]
    assert (items.popularity[followed] > 0).all()
    assert (items.themes[items.follows >= 0] == items.themes[followed]).all()


def test_some_items_with_text_are_never_touched(tiny):
    for domain in NAMES:
        touched = {item for _, item, _, _ in good_events(tiny[0], domain)}
        untouched = {item for item, text in catalogue(tiny[0], domain).items() if text} - touched
        assert 1 <= len(untouched) < 0.2 * 80


def test_items_are_launched_over_time(tiny):
    for domain in NAMES:
        events = good_events(tiny[0], domain)
        first = {item: time for _, item, time, _ in reversed(events)}
        late = np.array(list(first.values())) > min(first.values()) + 20 * 86_400
        assert 0.05 < late.mean() < 0.4


def test_slots_are_filled_without_repeats_and_with_the_right_article():
    words = {"noun": ["Owl", "Fox"], "place": ["one street"]}
    rng = np.random.default_rng(0)
    texts = {fill("A {noun} and a {noun2} in a {place}", words, rng) for _ in range(30)}
    assert texts == {"An Owl and a Fox in a one street", "A Fox and an Owl in a one street"}


def test_the_garden_tells_shelf_and_stock_and_the_shelf_is_the_kind_of_work(tiny):
    rows = [row for row in csv_rows((tiny[0] / "garden/items.csv").read_text(), 5) if row and row[0].strip()]
    products = dict(zip(SHELVES, [[name for name, _ in kind.products] for kind in KINDS], strict=True))
    wrong = [row for row in rows if row[2] and not any(p.lower() in row[2].lower() for p in products[row[3]])]
    assert wrong == []
    assert {row[3] for row in rows} == set(SHELVES)
    stock = {row[0].strip(): row[4] for row in rows}
    sold_out = [item for item, says in stock.items() if says == "no"]
    assert len(sold_out) == len(stock) // 11
    assert set(stock.values()) == {"yes", "no"}
