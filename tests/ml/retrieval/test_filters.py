"""Candidate filters: what they hide, what they never hide, and what they say of words nobody knows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.retrieval.filters import Filter, FilterError, ItemAttributes, Labels, parse_filter

TABLE = pa.table(
    {
        "available": pa.array([True, False, None, True, True]),
        "category": pa.array(["books", "books", "games", None, "toys, old"]),
        "regions": pa.array([["eu"], ["eu", "us"], ["us"], None, []], pa.list_(pa.string())),
    }
)
ATTRIBUTES = ItemAttributes.from_table(TABLE)

NAMES = st.sampled_from(["a", "b", "c", "long name"])
ENTRIES = st.lists(st.none() | NAMES | st.lists(NAMES, max_size=4), max_size=12)


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        (Filter(), [0, 2, 3, 4]),  # null is available
        (Filter(available=False), [0, 1, 2, 3, 4]),
        (Filter(categories=frozenset({"books"})), [0]),
        (Filter(available=False, categories=frozenset({"books", "games"})), [0, 1, 2]),
        (Filter(regions=frozenset({"us"})), [2, 3, 4]),  # no region listed: sold everywhere
        (Filter(available=False, categories=frozenset({"books"}), regions=frozenset({"us"})), [1]),
    ],
)
def test_worked_by_hand(chosen, shown):
    mask = chosen.mask(ATTRIBUTES)
    assert mask.dtype == bool
    assert np.flatnonzero(mask).tolist() == shown


@settings(max_examples=100, deadline=None)
@given(ENTRIES, st.sets(NAMES))
def test_labels_equal_a_loop_over_items(entries, wanted):
    labels = Labels.of(entries)
    held = [{entry} if isinstance(entry, str) else set(entry or ()) for entry in entries]
    assert labels.holding(wanted).tolist() == [bool(names & wanted) for names in held]
    assert labels.empty.tolist() == [not names for names in held]
    assert labels.lists() == [sorted(names) for names in held]
    assert len(labels) == len(entries)


@pytest.mark.parametrize("columns", [["available"], ["category"], ["regions"], TABLE.column_names])
def test_a_table_comes_back(columns):
    there = ItemAttributes.from_table(TABLE.select(columns))
    back = ItemAttributes.from_table(there.to_table())
    assert back.to_table().equals(there.to_table())
    assert there.to_table().column_names == columns
    assert [there.available is None, there.category is None, there.regions is None] == [
        name not in columns for name in ("available", "category", "regions")
    ]


def test_a_domain_without_attributes_hides_nothing():
    assert Filter().mask(ItemAttributes(3)).all()


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([], Filter()),
        (
            ["category=books,games", "region=eu"],
            Filter(True, frozenset({"books", "games"}), frozenset({"eu"})),
        ),
        (["category=books", "category = games"], Filter(True, frozenset({"books", "games"}))),
        (['category="toys, old", books'], Filter(True, frozenset({"toys, old", "books"}))),
        (["category=a=b"], Filter(True, frozenset({"a=b"}))),
    ],
)
def test_terms_are_read(terms, expected):
    assert parse_filter(terms) == expected
    assert parse_filter(terms, include_unavailable=True).available is False


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("colour=red", r"filter 'colour=red': expected category=VALUE\[,VALUE\] or region=VALUE"),
        ("category", "expected category=VALUE"),
        ("", "expected category=VALUE"),
        ("category=", "names no value"),
        ("region= , ", "names no value"),
        ("category=two\nlines", "unreadable"),
        ('category="open', "unreadable"),
    ],
)
def test_terms_that_mean_nothing_are_refused(term, message):
    with pytest.raises(FilterError, match=message):
        parse_filter([term])


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("category=book", "unknown category 'book'; did you mean books"),
        ("category=Zebra", "unknown category 'Zebra'; known: books, games, toys, old"),
        ("region=mars", "unknown region 'mars'; known: eu, us"),
    ],
)
def test_a_value_nobody_has_is_refused(term, message):
    with pytest.raises(FilterError, match=message):
        parse_filter([term]).mask(ATTRIBUTES)


def test_an_attribute_the_domain_has_not_is_refused():
    only_regions = ItemAttributes.from_table(TABLE.select(["regions"]))
    with pytest.raises(FilterError, match=r"no category; filters that work: region .*items\.columns"):
        parse_filter(["category=books"]).mask(only_regions)


def test_many_known_values_are_cut_short():
    many = ItemAttributes(40, category=Labels.of([f"kind {n:02}" for n in range(40)]))
    with pytest.raises(FilterError, match="kind 09 and 30 more"):
        Filter(categories=frozenset({"xyzzy"})).mask(many)


def test_columns_of_another_length_are_refused():
    with pytest.raises(ValueError, match="available: 2 entries for 3 items"):
        ItemAttributes(3, available=np.ones(2, dtype=bool))
