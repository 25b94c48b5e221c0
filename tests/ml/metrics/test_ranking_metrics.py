"""The ranking metrics against cases worked by hand and against a plain-Python reference."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from ml.metrics.cohorts import user_cohort
from ml.metrics.ranking import coverage, ndcg_at_k, per_user_table, precision_at_k, recall_at_k


def truth(rows, n=6):
    dense = np.zeros((len(rows), n), dtype=bool)
    for user, items in enumerate(rows):
        dense[user, list(items)] = True
    return sparse.csr_matrix(dense)


# Three users, k = 3. First: hits at ranks 1 and 3 of {4, 2, 0}. Second: a short list, no hit. Third: nothing
# relevant.
RANKED = np.array([[4, 1, 2], [5, -1, -1], [0, 1, 2]])
RELEVANT = truth([{4, 2, 0}, {1}, set()])


def test_worked_by_hand():
    np.testing.assert_allclose(recall_at_k(RANKED, RELEVANT), [2 / 3, 0, np.nan])
    np.testing.assert_allclose(precision_at_k(RANKED, RELEVANT), [2 / 3, 0, np.nan])
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    np.testing.assert_allclose(ndcg_at_k(RANKED, RELEVANT), [(1 + 1 / 2) / ideal, 0, np.nan])


def test_the_denominators_differ():
    ranked, relevant = np.array([[0, 1, -1, -1]]), truth([{0, 1, 2, 3, 4}])
    assert recall_at_k(ranked, relevant) == pytest.approx([2 / 5])
    assert precision_at_k(ranked, relevant) == pytest.approx([2 / 4])  # empty slots count
    assert ndcg_at_k(np.array([[0, 1]]), relevant) == pytest.approx([1])  # the ideal is truncated to k


@st.composite
def rankings(draw):
    n, k, users = draw(st.integers(1, 12)), draw(st.integers(1, 8)), draw(st.integers(1, 5))
    ranked, relevant = [], []
    for _ in range(users):
        # Scores from a few values only: ties are broken by position, as a stable sort does.
        scores = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
        order = sorted(range(n), key=lambda item: -scores[item])[: draw(st.integers(0, k))]
        ranked.append(order + [-1] * (k - len(order)))
        relevant.append(draw(st.sets(st.integers(0, n - 1))))
    return np.array(ranked), relevant, n


@given(rankings())
def test_agrees_with_a_plain_reference(case):
    ranked, relevant, n = case
    k = ranked.shape[1]
    matrix = truth(relevant, n)
    for user, wanted in enumerate(relevant):
        hits = [item in wanted for item in ranked[user]]
        found = [metric(ranked, matrix)[user] for metric in (recall_at_k, precision_at_k, ndcg_at_k)]
        if not wanted:
            assert np.isnan(found).all()
            continue
        dcg = sum(1 / math.log2(rank + 2) for rank, hit in enumerate(hits) if hit)
        ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(wanted))))
        assert found == pytest.approx([sum(hits) / len(wanted), sum(hits) / k, dcg / ideal])


@pytest.mark.parametrize(
    "ranked, message",
    [([[0, 1]], "one ranked list per row"), ([[0, 9]] * 3, "item 9"), ([[1, 1]] * 3, "twice")],
)
def test_faulty_lists_are_named(ranked, message):
    with pytest.raises(ValueError, match=message):
        recall_at_k(np.array(ranked), RELEVANT)


def test_a_stored_false_is_not_relevant():
    stored = sparse.csr_matrix((np.array([False, True]), ([0, 0], [0, 1])), shape=(1, 3))
    assert recall_at_k(np.array([[0]]), stored).tolist() == [0]


def test_no_user_gives_no_value():
    assert recall_at_k(np.zeros((0, 5), int), sparse.csr_matrix((0, 9))).shape == (0,)


def test_coverage_counts_each_item_once():
    assert coverage(np.array([[0, 1], [1, -1]]), 8) == 0.25
    assert np.isnan(coverage(np.zeros((0, 2), int), 0))


def test_per_user_table_keeps_users_without_truth():
    table = per_user_table(
        np.array(["a", "b", "c"]), user_cohort(np.array([0, 4, 5])), "twin", RANKED, RELEVANT
    )
    assert table["cohort"].to_pylist() == ["cold", "sparse", "warm"]
    assert table["relevant"].to_pylist() == [3, 1, 0]
    assert table["model"].to_pylist() == ["twin"] * 3
    assert np.isnan(table["ndcg"].to_pylist()[2])


def test_cohort_boundaries():
    assert user_cohort(np.array([0, 1, 4, 5, 99])).tolist() == ["cold", "sparse", "sparse", "warm", "warm"]
