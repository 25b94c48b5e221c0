"""k-core: by hand, against a search of every subset, and against peeling one user or item at a time."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.k_core import core_of_each_domain, k_core
from ml.snapshot_files import INTERACTIONS_SCHEMA

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12, unique=True)


def arrays(pairs) -> tuple[np.ndarray, np.ndarray]:
    users, items = np.array(list(pairs), dtype=np.int32).reshape(-1, 2).T
    return users, items


def kept(pairs: list[tuple[int, int]], of_user: int, of_item: int) -> list[tuple[int, int]]:
    core = k_core(*arrays(pairs), of_user, of_item)
    return [pair for pair, inside in zip(pairs, core, strict=True) if inside]


def is_dense(pairs, of_user: int, of_item: int) -> bool:
    users, items = [u for u, _ in pairs], [i for _, i in pairs]
    return all(users.count(u) >= of_user and items.count(i) >= of_item for u, i in pairs)


def test_who_leaves_takes_others_along() -> None:
    """Item 2 has one user, without it user 1 has one item, without that one item 1 has one user."""
    square = [(7, 8), (7, 9), (6, 8), (6, 9)]
    chain = [(0, 0), (0, 1), (1, 1), (1, 2)]
    assert kept([*square, *chain], 2, 2) == square
    assert kept(chain, 2, 2) == []
    assert kept(chain, 2, 1) == chain
    assert kept(chain, 1, 2) == [(0, 1), (1, 1)]


def test_a_long_chain_falls_from_its_ends_to_the_last_link_and_a_ring_stands() -> None:
    chain = [(n // 2, (n + 1) // 2) for n in range(2001)]
    ring = [*chain, (1000, 0)]
    assert kept(chain, 2, 2) == []
    assert kept(ring, 2, 2) == ring


@settings(max_examples=60, deadline=None)
@given(PAIRS.filter(lambda pairs: len(pairs) <= 9), st.integers(1, 3), st.integers(1, 3))
def test_no_larger_set_is_dense(pairs, of_user, of_item) -> None:
    core = kept(pairs, of_user, of_item)
    assert is_dense(core, of_user, of_item)
    larger = (subset for size in range(len(core) + 1, len(pairs) + 1) for subset in combinations(pairs, size))
    assert not any(is_dense(subset, of_user, of_item) for subset in larger)


@settings(max_examples=200, deadline=None)
@given(PAIRS, st.integers(1, 4), st.integers(1, 4), st.randoms(use_true_random=False))
def test_one_at_a_time_in_any_order_is_the_same(pairs, of_user, of_item, random) -> None:
    left = list(pairs)
    while True:
        users, items = [u for u, _ in left], [i for _, i in left]
        short = [("user", u) for u in set(users) if users.count(u) < of_user]
        short += [("item", i) for i in set(items) if items.count(i) < of_item]
        if not short:
            break
        kind, gone = random.choice(sorted(short))
        left = [(u, i) for u, i in left if (u if kind == "user" else i) != gone]
    assert kept(pairs, of_user, of_item) == left


@pytest.fixture
def log() -> pa.Table:
    """Domain a has a core of two users and two items and u3 beside it; domain b has u3 alone."""
    pairs = [("a", u, i) for u in ("u1", "u2") for i in ("x", "y")] + [("a", "u3", "x"), ("b", "u3", "x")]
    rows = [(*pair, 1_000_000 * n, 1.0) for n, pair in enumerate(pairs)]
    columns = zip(*rows, strict=True)
    fields = zip(columns, INTERACTIONS_SCHEMA, strict=True)
    return pa.table([pa.array(column, field.type) for column, field in fields], INTERACTIONS_SCHEMA)


def test_every_domain_has_its_own_core_and_what_is_left_out_is_counted(log) -> None:
    inside, left_out = core_of_each_domain(log, 2, 2)
    assert inside.equals(log.slice(0, 4))
    assert left_out == {
        "a": {"interactions": 1, "users": 1, "items": 0},
        "b": {"interactions": 1, "users": 1, "items": 1},
    }
    inside, left_out = core_of_each_domain(log, 1, 2)
    assert inside.equals(log.slice(0, 5))
    assert left_out == {"b": {"interactions": 1, "users": 1, "items": 1}}


def test_where_all_have_enough_nothing_is_left_out(log) -> None:
    inside, left_out = core_of_each_domain(log, 1, 1)
    assert inside.equals(log)
    assert left_out == {}


def test_an_empty_log_has_an_empty_core(log) -> None:
    assert core_of_each_domain(log.slice(0, 0), 5, 5) == (log.slice(0, 0), {})
