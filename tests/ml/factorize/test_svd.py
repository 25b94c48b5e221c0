"""Truncated SVD against numpy's dense SVD, and the matrices that break careless solvers."""

import numpy as np
import pytest
from scipy import sparse

from ml.factorize import svd as module
from ml.factorize.svd import truncated_svd


@pytest.fixture(params=["krylov", "dense"])
def path(request, monkeypatch):
    """Both ways to the basis on the same small matrices."""
    monkeypatch.setattr(module, "DENSE_SIDE", 0 if request.param == "krylov" else 10**6)
    return request.param


def decaying(m, n, seed=0, rate=0.85):
    """A matrix with known singular values rate^i."""
    random = np.random.default_rng(seed)
    s = rate ** np.arange(min(m, n))
    u, v = (np.linalg.qr(random.standard_normal((side, len(s))))[0] for side in (m, n))
    return sparse.csr_matrix((u * s) @ v.T), s


def sparse_random(m, n, seed=0):
    return sparse.random(m, n, density=0.05, random_state=np.random.default_rng(seed), format="csr")


@pytest.mark.parametrize("shape", [(150, 100), (100, 150)])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_numpy(path, shape, seed):
    matrix, s = decaying(*shape, seed)
    found = truncated_svd(matrix, 12, seed=seed, tolerance=1e-4)
    U, _, Vt = np.linalg.svd(matrix.toarray(), full_matrices=False)
    np.testing.assert_allclose(found.s, s[:12], rtol=1e-4)
    np.testing.assert_allclose(found.energy, (s[:12] ** 2).sum() / (s**2).sum(), rtol=1e-4)
    for ours, theirs in ((found.u, U[:, :12]), (found.v, Vt[:12].T)):
        assert (
            np.linalg.norm(ours - theirs @ (theirs.T @ ours), 2) < 1e-3
        )  # sine of the largest subspace angle


@pytest.mark.parametrize("shape", [(300, 200), (200, 300)])
def test_a_flat_spectrum_meets_the_tolerance_it_was_given(path, shape):
    matrix = sparse_random(*shape)
    found = truncated_svd(matrix, 20, tolerance=1e-3)
    expected = np.linalg.svd(matrix.toarray(), compute_uv=False)[:20]
    np.testing.assert_allclose(found.s, expected, rtol=1e-4)
    dense, u, v = matrix.toarray(), found.u.astype(float), found.v.astype(float)
    gaps = dense.T @ u - v * found.s, dense @ v - u * found.s
    residuals = np.maximum(*(np.linalg.norm(gap, axis=0) for gap in gaps))
    np.testing.assert_allclose(residuals, found.residuals, atol=1e-5)
    assert residuals.max() <= 1.1e-3 * found.s[-1]
    np.testing.assert_allclose(u.T @ u, np.eye(20), atol=1e-5)
    np.testing.assert_allclose(v.T @ v, np.eye(20), atol=1e-5)


def test_many_restarts_still_converge(monkeypatch):
    monkeypatch.setattr(module, "DENSE_SIDE", 0)
    matrix = sparse_random(900, 800, seed=3)
    found = truncated_svd(matrix, 4, tolerance=1e-4)
    assert found.iterations > 3
    np.testing.assert_allclose(found.s, np.linalg.svd(matrix.toarray(), compute_uv=False)[:4], rtol=1e-5)


def test_exhausted_iterations_are_reported_in_the_residuals(monkeypatch):
    monkeypatch.setattr(module, "DENSE_SIDE", 0)
    found = truncated_svd(sparse_random(300, 200), 10, tolerance=1e-4, max_iterations=1)
    assert found.residuals.max() > 1e-4 * found.s[-1]
    assert found.iterations == 1


def test_a_deficient_rank_ends_in_zeros_with_orthonormal_vectors(path):
    random = np.random.default_rng(0)
    matrix = sparse.csr_matrix(random.standard_normal((90, 3)) @ random.standard_normal((3, 70)))
    found = truncated_svd(matrix, 8)
    expected = np.linalg.svd(matrix.toarray(), compute_uv=False)
    np.testing.assert_allclose(found.s, expected[:8], atol=1e-4 * expected[0])
    np.testing.assert_allclose(found.v.T @ found.v, np.eye(8), atol=1e-5)
    np.testing.assert_allclose(found.u.T @ found.u, np.eye(8), atol=1e-5)


def test_a_singular_value_of_high_multiplicity_is_found_as_often_as_it_occurs(path):
    matrix = sparse.diags([2.0] * 60 + [1.0] * 60).tocsr()
    np.testing.assert_allclose(truncated_svd(matrix, 50).s, 2.0, rtol=1e-5)


def test_empty_rows_and_columns_have_zero_factors(path):
    matrix = sparse_random(120, 80).tolil()
    matrix[7], matrix[:, 5] = 0, 0
    found = truncated_svd(matrix.tocsr(), 5)
    np.testing.assert_allclose(found.u[7], 0, atol=1e-6)
    np.testing.assert_allclose(found.v[5], 0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (3, 40)])
def test_rank_is_clipped_to_the_smaller_side(path, shape):
    matrix = sparse.csr_matrix(np.random.default_rng(0).standard_normal(shape))
    found = truncated_svd(matrix, 10)
    assert found.u.shape == (shape[0], min(shape))
    assert found.v.shape == (shape[1], min(shape))
    np.testing.assert_allclose((found.u * found.s) @ found.v.T, matrix.toarray(), atol=1e-5)
    assert found.energy == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_a_matrix_without_entries_or_sides_is_no_error(shape):
    found = truncated_svd(sparse.csr_matrix(shape), 3)
    assert found.u.shape == (shape[0], 0)
    assert found.v.shape == (shape[1], 0)
    assert truncated_svd(sparse.csr_matrix((30, 20)), 3).s.tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_named(value):
    matrix = sparse.csr_matrix(np.array([[1.0, 0, 0], [0, 0, value]]))
    with pytest.raises(ValueError, match="row 1, column 2"):
        truncated_svd(matrix, 1)


def test_rank_zero_is_an_error():
    with pytest.raises(ValueError, match="rank"):
        truncated_svd(sparse.identity(3, format="csr"), 0)


def test_the_seed_decides_every_bit_and_signs_are_fixed(path):
    matrix = sparse_random(200, 150)
    one, two, other = (truncated_svd(matrix, 6, seed=s, tolerance=1e-4) for s in (0, 0, 1))
    assert np.array_equal(one.v, two.v)
    assert np.array_equal(one.u, two.u)
    np.testing.assert_allclose(one.v, other.v, atol=2e-3)  # equal up to tolerance, signs included
    assert (one.v[np.abs(one.v).argmax(0), np.arange(6)] > 0).all()


def test_the_matrix_is_left_as_it_was():
    matrix = sparse.csr_matrix((np.ones(3), ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    before = matrix.copy()
    truncated_svd(matrix, 1)
    assert (matrix != before).nnz == 0
