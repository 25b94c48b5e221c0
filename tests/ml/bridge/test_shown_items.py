"""Filters of a recommender: what is not allowed is never listed, what is allowed keeps order and k."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bridge.contract import Task
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.serve.recommender import Member, Recommender, load
from ml.bridge.serve.shown import allowed_items, carried_to
from ml.data import Catalogue, Interactions, Snapshot
from ml.retrieval.filters import Filter, FilterError, ItemAttributes

ITEMS, USERS, REGIONS = 12, 5, ("eu", "us")
IDS = np.array([f"i{item:02d}" for item in range(ITEMS)])


def known(
    available: list[bool | None], category: list[str | None], regions: list[list[str]]
) -> ItemAttributes:
    return ItemAttributes.from_table(
        pa.table({"available": available, "category": category, "regions": regions})
    )


ATTRIBUTES = known(
    [item % 3 != 0 for item in range(ITEMS)],
    [("tents", "boots", None)[item % 3] for item in range(ITEMS)],
    [["eu"], ["us"], [], ["eu", "us"]] * 3,
)


def catalogue(ids: np.ndarray, attributes: ItemAttributes | None) -> Catalogue:
    none = np.array([None] * len(ids), dtype=object)
    return Catalogue(ids, none, none, attributes=attributes)


def log() -> Interactions:
    """User u has the items 0 to u: every item ranks by its number, item 0 first."""
    users = np.concatenate([np.full(user + 1, user) for user in range(USERS)]).astype(np.int32)
    items = np.concatenate([np.arange(user + 1) for user in range(USERS)]).astype(np.int32)
    ones, times = np.ones(len(users), np.float32), np.arange(len(users), dtype=np.int64)
    return Interactions(users, items, ones, times, USERS, ITEMS)


def model(attributes: ItemAttributes | None) -> Recommender:
    task = Task("shop", (), {"shop": log()}, {"shop": catalogue(IDS, attributes)})
    users = np.array([f"u{user}" for user in range(USERS)])
    members = {"popularity": Member("popularity", Popularity().fit(task))}
    titles = np.array([None] * ITEMS, dtype=object)
    return Recommender(
        "shop", users, {"shop": IDS}, {"shop": titles}, {"shop": log()}, members, {}, {}, attributes
    )


def listed(recommender: Recommender, user: str, k: int = 3, **how) -> list[int]:
    return [int(item[1:]) for item in recommender.recommend([user], k, **how)["item_id"].to_pylist()]


def test_by_default_what_is_unavailable_is_left_out() -> None:
    assert listed(model(ATTRIBUTES), "u1") == [2, 4, 5]
    assert listed(model(ATTRIBUTES), "u1", only=Filter(available=False)) == [2, 3, 4]
    assert listed(model(None), "u1") == [2, 3, 4]
    assert listed(model(ATTRIBUTES), "nobody") == [1, 2, 4]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (Filter(categories=frozenset({"boots"})), [4, 7, 10]),
        (Filter(regions=frozenset({"us"})), [2, 5, 7]),  # an item of no region is sold everywhere
        (Filter(False, frozenset({"tents"}), frozenset({"eu"})), [3, 6, 0]),
        (Filter(False, frozenset({"tents", "boots"})), [3, 4, 6]),
    ],
)
def test_worked_by_hand(only: Filter, expected: list[int]) -> None:
    """u1 has seen items 0 and 1."""
    if 0 in expected:
        assert listed(model(ATTRIBUTES), "u1", only=only, exclude_seen=False) == sorted(expected)
    else:
        assert listed(model(ATTRIBUTES), "u1", only=only) == expected


def test_what_is_not_known_cannot_be_asked_for() -> None:
    with pytest.raises(FilterError, match="category"):
        model(None).recommend(["u1"], only=Filter(categories=frozenset({"boots"})))
    with pytest.raises(FilterError, match="boots"):
        model(ATTRIBUTES).recommend(["u1"], only=Filter(categories=frozenset({"boot"})))


@settings(max_examples=40, deadline=None)
@given(
    available=st.lists(st.sampled_from([True, False, None]), min_size=ITEMS, max_size=ITEMS),
    category=st.lists(st.sampled_from(["a", "b", None]), min_size=ITEMS, max_size=ITEMS),
    regions=st.lists(st.lists(st.sampled_from(REGIONS), max_size=2), min_size=ITEMS, max_size=ITEMS),
    include=st.booleans(),
    where=st.sets(st.sampled_from(REGIONS)),
    k=st.integers(1, ITEMS + 2),
)
def test_a_list_holds_the_first_k_allowed_and_is_shorter_only_where_there_are_fewer(
    available, category, regions, include, where, k
) -> None:
    """Against plain Python over the items in order of popularity."""
    held = {name for names in regions for name in names}
    only = Filter(not include, None, frozenset(where & held) or None)
    asked = {*(only.regions or ())}

    def passes(item: int) -> bool:
        sold = not asked or not regions[item] or bool(asked & set(regions[item]))
        return sold and (include or available[item] is not False)

    recommender = model(known(available, category, regions))
    for user in (*range(USERS), "x"):
        seen = set(range(user + 1)) if isinstance(user, int) else set()
        expected = [item for item in range(ITEMS) if item not in seen and passes(item)][:k]
        assert listed(recommender, f"u{user}", k, only=only) == expected


def test_a_saved_model_keeps_what_it_filters_by(tmp_path) -> None:
    only = Filter(categories=frozenset({"boots"}), regions=frozenset({"us"}))
    model(ATTRIBUTES).save(tmp_path / "model")
    assert (
        load(tmp_path / "model")
        .recommend(["u0", "u4"], only=only)
        .equals(model(ATTRIBUTES).recommend(["u0", "u4"], only=only))
    )


def test_a_folder_of_before_attributes_loads_and_lists_everything(tmp_path) -> None:
    model(None).save(tmp_path / "model")
    assert pq.read_schema(tmp_path / "model" / "items-shop.parquet").names == ["item_id", "title"]
    again = load(tmp_path / "model")
    assert again.attributes is None
    assert listed(again, "u1") == [2, 3, 4]


def test_a_newer_catalogue_has_the_last_word() -> None:
    """Item 2 is gone, items 3 and 4 changed places in stock, and there is an item the model does not know."""
    ids = np.array([*[i for i in IDS if i != "i02"], "i99"])
    stock = [item not in (4,) for item in range(ITEMS) if item != 2] + [True]
    newer = catalogue(ids, ItemAttributes(len(ids), available=np.array(stock)))
    assert listed(model(ATTRIBUTES).with_catalogue(newer), "u1", 4) == [3, 5, 6, 7]
    users = np.array([f"u{user}" for user in range(USERS)])
    wider = replace(log(), n_items=ITEMS)  # user logs by position in the newer catalogue do not matter here
    moved = model(ATTRIBUTES).at(Snapshot(users, {"shop": newer}, {"shop": wider}, 0))
    assert not {"i02", "i04"} & set(moved.recommend(["nobody"], ITEMS)["item_id"].to_pylist())
    assert listed(model(ATTRIBUTES).with_catalogue(catalogue(ids, None)), "u1", 4) == [2, 3, 4, 5]


def test_categories_alone_hide_nothing_that_left_the_catalogue() -> None:
    newer = catalogue(IDS[:6], ItemAttributes.from_table(pa.table({"category": ["a"] * 6})))
    carried = carried_to(IDS, newer)
    assert carried is not None
    assert allowed_items(carried, ITEMS, Filter()) is None
    mask = allowed_items(carried, ITEMS, Filter(categories=frozenset({"a"})))
    assert mask is not None
    assert mask.tolist() == [True] * 6 + [False] * 6
