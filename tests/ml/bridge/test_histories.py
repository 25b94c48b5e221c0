"""Histories and training rows, by hand and against a slow reference in plain Python."""

import math

import bridge_world
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bridge.histories import histories, past_and_next

# user 0: item 3 at 10, item 1 at 20, item 0 at 20; user 1: item 2 at 5; user 2: nothing.
LOG = bridge_world.log_of([(0, 10, 3, 1.0), (0, 20, 1, 2.0), (0, 20, 0, 4.0), (1, 5, 2, 3.0)], 3, 4)


@st.composite
def logs(draw):
    n_users, n_items = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    pairs = draw(st.sets(st.tuples(st.integers(0, n_users - 1), st.integers(0, n_items - 1)), max_size=20))
    # Few distinct times, so that many moments hold several items.
    return bridge_world.log_of(
        [(u, draw(st.integers(0, 4)), i, float(draw(st.integers(1, 4)))) for u, i in sorted(pairs)],
        n_users,
        n_items,
    )


def sequences(log):
    """user -> [(time, item, weight)] in order."""
    found = {u: [] for u in range(log.n_users)}
    for u, t, i, w in zip(log.users, log.times, log.items, log.weights, strict=True):
        found[int(u)].append((int(t), int(i), float(w)))
    return found


def test_weights_decay_with_the_place_from_the_latest():
    past = histories({"d": LOG}, np.array([0, 2, 1]))
    half = math.exp(-1 / 2)
    expected = np.array([[2 * half, 4 * 1.0, 0, 1 * half**2], [0, 0, 0, 0], [0, 0, 3, 0]])
    # Within one moment the log is in the order of items: item 0 comes first, item 1 is the latest.
    expected[0, :2] = 4 * half, 2 * 1.0
    assert np.allclose(past.decayed("d", 2.0).toarray(), expected)
    assert past.decayed("d", None).toarray()[0].tolist() == [4, 2, 0, 1]
    assert past.counts("d").tolist() == [3, 0, 1]


@settings(max_examples=80, deadline=None)
@given(logs(), st.data())
def test_histories_equal_the_reference(log, data):
    users = np.array(data.draw(st.lists(st.integers(0, log.n_users - 1), min_size=1, max_size=6)))
    past = histories({"d": log}, users)
    assert len(past) == len(users)
    for row, user in enumerate(users):
        mine = sequences(log)[user]
        expected = np.zeros(log.n_items)
        for place, (_, item, weight) in enumerate(reversed(mine)):
            expected[item] = weight * math.exp(-place / 3.0)
        assert np.allclose(past.decayed("d", 3.0)[row].toarray()[0], expected)
        assert past.counts("d")[row] == len(mine)


@settings(max_examples=40, deadline=None)
@given(logs())
def test_a_sort_in_place_of_one_matrix_does_not_part_it_from_the_other(log):
    past = histories({"d": log}, np.arange(log.n_users))
    before = past.decayed("d", 2.0).toarray()
    past.weights["d"].sum_duplicates()
    assert np.array_equal(past.decayed("d", 2.0).toarray(), before)
    assert np.array_equal(past.recency["d"].indices, past.weights["d"].indices)


def test_chunks_cover_the_users_in_order():
    past = histories({"d": LOG}, np.array([2, 0, 1]))
    chunks = list(past.chunks(2))
    assert [(rows.start, rows.stop, len(part)) for rows, part in chunks] == [(0, 2, 2), (2, 3, 1)]
    assert chunks[0][1].counts("d").tolist() == [0, 3]


def test_a_log_is_cut_before_each_item_but_the_first():
    users, past, targets = past_and_next(LOG, tau_next=2.0, most_rows=10)
    # User 0's two items of moment 20 follow each other in the log's order; user 1 has one item and no row.
    assert users.tolist() == [0, 0]
    assert past.weights[""].toarray()[0].tolist() == [0, 0, 0, 1]
    assert past.counts("").tolist() == [1, 2]
    assert np.allclose(targets.toarray(), [[1, math.exp(-1 / 2), 0, 0], [0, 1, 0, 0]])


def test_the_latest_cuts_of_each_user_are_kept():
    rows = [(0, t, t, 1.0) for t in range(4)] + [(1, t, t, 1.0) for t in range(2)]
    users, past, _ = past_and_next(bridge_world.log_of(rows, 2, 4), tau_next=1.0, most_rows=2)
    assert users.tolist() == [0, 1]
    assert past.counts("").tolist() == [3, 1]


@settings(max_examples=80, deadline=None)
@given(logs(), st.sampled_from([0.7, 3.0]))
def test_training_rows_equal_the_reference(log, tau):
    expected = []
    for user, mine in sequences(log).items():
        for cut in range(1, len(mine)):
            weights, decayed, future = (np.zeros(log.n_items) for _ in range(3))
            for place, (_, item, weight) in enumerate(reversed(mine[:cut])):
                weights[item], decayed[item] = weight, weight * math.exp(-place / tau)
            for place, (_, item, _) in enumerate(mine[cut:]):
                future[item] = math.exp(-place / tau)
            expected.append((user, weights, decayed, future))
    users, past, targets = past_and_next(log, tau, most_rows=1000)
    assert users.tolist() == [user for user, *_ in expected]
    for row, (_, weights, decayed, future) in enumerate(expected):
        assert np.allclose(past.weights[""][row].toarray()[0], weights)
        assert np.allclose(past.decayed("", tau)[row].toarray()[0], decayed)
        assert np.allclose(targets[row].toarray()[0], future)


@pytest.mark.parametrize("rows", [[], [(1, 3, 2, 1.0)]])
def test_a_log_without_a_sequence_gives_no_rows(rows):
    users, past, targets = past_and_next(bridge_world.log_of(rows, 2, 3), 1.0, 10)
    assert len(users) == 0
    assert past.weights[""].shape == targets.shape == (0, 3)
