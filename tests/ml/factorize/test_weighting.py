"""Values and weightings: hand cases, and later rows and columns weighed as those of the matrix itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ml.factorize.normalise import DAY, bm25, degree, power_damped, tf_idf, time_decay
from ml.factorize.shards import MappedShards, MatrixShards
from ml.factorize.weighting import weighting

KINDS = ["none", "degree", "tf_idf", "bm25"]
MATRIX = sparse.csr_matrix(np.array([[4.0, 0, 0], [1, 3, 0]]))
REFERENCE = {
    "none": lambda matrix: matrix,
    "degree": lambda matrix: degree(matrix).matrix,
    "tf_idf": lambda matrix: tf_idf(matrix).matrix,
    "bm25": bm25,
}


def test_damping_by_hand():
    np.testing.assert_allclose(power_damped(np.array([0, 1, 9.0]), 0.5), [0, 1, 3])
    np.testing.assert_allclose(power_damped(np.array([0, 7.0]), 0), [0, 1])  # presence only


def test_decay_by_hand():
    times = np.array([0, 10, 20]) * DAY
    np.testing.assert_allclose(time_decay(times, 20 * DAY, 10), [0.25, 0.5, 1])
    assert time_decay(np.array([0]), 10**6 * DAY, 1)[0] > 0  # still an entry
    assert len(time_decay(np.zeros(0, np.int64), 0, 1)) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: time_decay(np.array([5]), 4, 1), "after now"),
        (lambda: time_decay(np.array([5]), 5, 0), "above 0"),
        (lambda: power_damped(np.ones(2), 1.5), "between 0"),
        (lambda: power_damped(np.array([1, -2.0]), 1), "value 1 is -2.0"),
        (lambda: power_damped(np.array([np.nan]), 1), "value 0 is nan"),
        (lambda: degree(MATRIX, smoothing=-1), "smoothing"),
        (lambda: weighting(MATRIX, "idf"), "expected one of none, degree"),
        (lambda: weighting(-MATRIX), "negative"),
        (lambda: weighting(MATRIX, smoothing=-1), "smoothing is -1"),
        (lambda: weighting(MATRIX).of_users(MATRIX[:, :2]), "2 columns"),
        (lambda: weighting(MATRIX).of_items(MATRIX[:1]), "1 rows"),
    ],
)
def test_faults_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_smoothing_adds_to_every_degree():
    found = degree(MATRIX, smoothing=1).matrix.toarray()
    np.testing.assert_allclose(found[0, 0], 4 / np.sqrt(5 * 6), rtol=1e-6)  # row sum 4, column sum 5
    assert not found[:, 2].any()


def test_smoothing_puts_a_lone_pair_behind_what_many_share():
    crowd = np.pad(np.ones((30, 20)), ((0, 1), (0, 1)))
    crowd[30, 20] = 1  # one user with one item that nobody else has
    lone = np.zeros(21)
    lone[20] = 1
    for smoothing, first in ((0, 1.0), (5, 5 / 6)):
        matrix = degree(sparse.csr_matrix(crowd), smoothing=smoothing).matrix.toarray()
        own = np.linalg.norm(matrix @ lone)
        strongest = np.linalg.svd(matrix, compute_uv=False)[0]
        assert own <= strongest + 1e-6
        assert (own == pytest.approx(1)) == (smoothing == 0)
        assert strongest >= first * 0.9


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), shape=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_rows_and_columns_of_the_matrix_come_out_as_they_stand_in_it(kind, seed, shape):
    random = np.random.default_rng(seed)
    raw = sparse.csr_matrix(random.integers(0, 4, shape) * (random.random(shape) < 0.6)).astype(float)
    raw.eliminate_zeros()
    expected = REFERENCE[kind](raw).toarray()
    fitted = weighting(raw, kind)
    np.testing.assert_allclose(fitted.of_users(raw).toarray(), expected, rtol=1e-5)
    np.testing.assert_allclose(fitted.of_users(raw[::-1]).toarray(), expected[::-1], rtol=1e-5)
    np.testing.assert_allclose(fitted.of_items(raw[:, ::-1].tocsr()).toarray(), expected[:, ::-1], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_of_rows_are_weighed_as_the_whole(kind):
    random = np.random.default_rng(0)
    raw = sparse.csr_matrix(random.integers(1, 4, (20, 9)) * (random.random((20, 9)) < 0.3)).astype(
        np.float32
    )
    whole = weighting(raw, kind, smoothing=2)
    pieces = weighting(MatrixShards(raw, 10), kind, smoothing=2)
    for name in ("users", "items", "lengths", "mean_length"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-6)
    weighed = list(MappedShards(MatrixShards(raw, 10), pieces.of_users))
    assert len(weighed) > 3
    found = sparse.vstack([rows for _, rows in weighed])
    np.testing.assert_allclose(found.toarray(), whole.of_users(raw).toarray(), rtol=1e-6)


def test_a_new_user_is_weighed_against_the_items_as_they_were():
    row = sparse.csr_matrix(np.array([[2.0, 2, 0]]))
    found = weighting(MATRIX, "degree").of_users(row).toarray()
    np.testing.assert_allclose(found, [[2 / np.sqrt(4 * 5), 2 / np.sqrt(4 * 3), 0]], rtol=1e-6)


def test_a_new_item_is_weighed_against_the_users_as_they_were():
    column = sparse.csr_matrix(np.array([[0.0], [9]]))
    found = weighting(MATRIX, "degree").of_items(column).toarray()
    np.testing.assert_allclose(found, [[0], [9 / np.sqrt(4 * 9)]], rtol=1e-6)
