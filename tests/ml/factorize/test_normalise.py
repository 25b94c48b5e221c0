"""The weightings, worked by hand on a matrix of two users and three items, the last without entries."""

import numpy as np
import pytest
from scipy import sparse

from ml.factorize.normalise import bm25, degree, tf_idf

MATRIX = sparse.csr_matrix(np.array([[4.0, 0, 0], [1, 3, 0]]))


def test_degree_divides_by_roots_of_the_sums():
    found = degree(MATRIX)
    # Row sums 4 and 4, column sums 5 and 3.
    expected = [[4 / np.sqrt(4 * 5), 0, 0], [1 / np.sqrt(4 * 5), 3 / np.sqrt(4 * 3), 0]]
    np.testing.assert_allclose(found.matrix.toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(found.users[:, None] * MATRIX.toarray() * found.items, expected, rtol=1e-6)
    assert found.items[2] == 0
    assert np.linalg.svd(found.matrix.toarray(), compute_uv=False)[0] == pytest.approx(1)


def test_power_zero_leaves_the_matrix():
    np.testing.assert_allclose(degree(MATRIX, 0, 0).matrix.toarray(), MATRIX.toarray())


def test_tf_idf_rows_have_length_one():
    found = tf_idf(MATRIX).matrix.toarray()
    raw = np.array([1 * np.log(1 + 2 / 2), 3 * np.log(1 + 2 / 1), 0])
    np.testing.assert_allclose(found[1], raw / np.linalg.norm(raw), rtol=1e-6)


def test_bm25_saturates_by_length():
    # Both rows have the mean length 4: x (k1 + 1) / (x + k1).
    expected = 3 * 2.2 / (3 + 1.2) * np.log(1 + 2 / 1)
    assert bm25(MATRIX)[1, 1] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("weighting", [degree, tf_idf])
def test_empty_and_negative(weighting):
    assert weighting(sparse.csr_matrix((2, 3))).matrix.nnz == 0
    with pytest.raises(ValueError, match="negative"):
        weighting(-MATRIX)


def test_bm25_of_nothing_is_nothing():
    assert bm25(sparse.csr_matrix((2, 3))).nnz == 0
