"""Truncated SVD against numpy's dense SVD, and the matrices that break careless solvers."""

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse import csgraph

from ml.factorize import dense
from ml.factorize import sparse as sparse_operator
from ml.factorize import svd as module
from ml.factorize.krylov import ritz_basis
from ml.factorize.normalise import degree
from ml.factorize.svd import truncated_svd


@pytest.fixture(params=["krylov", "dense"])
def path(request, monkeypatch):
    """Both ways to the basis on the same small matrices."""
    monkeypatch.setattr(module, "DENSE_SIDE", -1 if request.param == "krylov" else 10**6)
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
        # The sine of the largest subspace angle.
        assert np.linalg.norm(ours - theirs @ (theirs.T @ ours), 2) < 1e-3


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


def spectrum(m, n, s, seed=0):
    """A dense (m, n) matrix with singular values s, as CSR."""
    random = np.random.default_rng(seed)
    u, v = (np.linalg.qr(random.standard_normal((side, len(s))))[0] for side in (m, n))
    return sparse.csr_matrix((u * s) @ v.T)


def with_holes(m, n):
    matrix = sparse_random(m, n, seed=4).tolil()
    matrix[0], matrix[m // 2], matrix[-1] = 0, 0, 0
    matrix[:, 0], matrix[:, n // 3], matrix[:, -1] = 0, 0, 0
    return matrix.tocsr()


STEEP = np.concatenate([np.logspace(0, -6, 8), np.logspace(-7, -8, 20)])
HARD = {
    "ill-conditioned": lambda m, n: spectrum(m, n, STEEP),
    "one value alone": lambda m, n: spectrum(m, n, np.r_[1e6, np.linspace(1.5, 1, 30)]),
    "rank 3": lambda m, n: spectrum(m, n, np.array([3.0, 2.0, 1.0])),
    "empty rows and columns": with_holes,
    "all equal": lambda m, n: sparse.csr_matrix(np.full((m, n), 2.5)),
    "counts": lambda m, n: sparse.csr_matrix(np.random.default_rng(1).poisson(0.3, (m, n))),
    "signs": lambda m, n: sparse.csr_matrix(np.random.default_rng(1).choice([-1.0, 0, 0, 1], (m, n))),
    "float32": lambda m, n: sparse_random(m, n, seed=5).astype(np.float32),
    "huge values": lambda m, n: sparse_random(m, n) * 1e19,  # as times in nanoseconds
    "tiny values": lambda m, n: sparse_random(m, n) * 1e-25,
    "one column": lambda m, n: sparse_random(m, 1, seed=6),
    "one row": lambda m, n: sparse_random(1, n, seed=6),
}


@pytest.mark.parametrize("shape", [(130, 90), (90, 130)], ids=["tall", "wide"])
@pytest.mark.parametrize("name", HARD)
def test_hard_matrices_agree_with_lapack(path, name, shape):
    matrix = HARD[name](*shape)
    found = truncated_svd(matrix, 8, tolerance=1e-4)
    dense = matrix.toarray().astype(float)
    U, s, Vt = np.linalg.svd(dense, full_matrices=False)
    k, u, v = min(8, *matrix.shape), found.u.astype(float), found.v.astype(float)
    true = int((s[:k] > 1e-9 * s[0]).sum())
    np.testing.assert_allclose(found.s[:true], s[:true], rtol=1e-4)
    np.testing.assert_allclose(found.s[true:], 0, atol=1e-6 * s[0])
    np.testing.assert_allclose(u.T @ u, np.eye(k), atol=1e-5)
    np.testing.assert_allclose(v.T @ v, np.eye(k), atol=1e-5)
    gaps = (dense.T @ u - v * found.s, dense @ v - u * found.s)
    measured = np.maximum(*(np.linalg.norm(gap, axis=0) for gap in gaps))
    np.testing.assert_allclose(measured, found.residuals, atol=2e-6 * s[0])
    following = s[true] if true < len(s) else 0.0
    # Wedin: the sine of the largest angle is at most the residual over the gap that follows the space.
    bound = np.linalg.norm(found.residuals[:true]) / (s[true - 1] - following) + 1e-5
    for ours, theirs in ((u, U), (v, Vt.T)):
        ours, theirs = ours[:, :true], theirs[:, :true]
        assert np.linalg.norm(ours - theirs @ (theirs.T @ ours), 2) <= bound < 0.1


@pytest.fixture
def precisions(monkeypatch):
    """The precisions of the searches that a solve needed, in order."""
    seen = []

    def watched(operator, k, **options):
        seen.append(options["dtype"])
        return ritz_basis(operator, k, **options)

    monkeypatch.setattr(module, "ritz_basis", watched)
    monkeypatch.setattr(module, "DENSE_SIDE", -1)
    return seen


@pytest.mark.parametrize("shape", [(130, 90), (90, 130)])
@pytest.mark.parametrize("least", [1e-4, 1e-6])
@pytest.mark.parametrize("further", [4, 60])
def test_a_steep_spectrum_is_searched_again_in_float64(precisions, monkeypatch, shape, least, further):
    s = np.concatenate([np.logspace(0, np.log10(least), 8), least * np.linspace(0.3, 0.1, further)])
    matrix = spectrum(*shape, s)
    truncated_svd(sparse_random(*shape), 8)
    assert precisions == [torch.float32], "an ordinary spectrum is searched once"
    precisions.clear()
    np.testing.assert_allclose(truncated_svd(matrix, 8, tolerance=1e-3).s, s[:8], rtol=1e-4)
    assert precisions == [torch.float32, torch.float64]
    monkeypatch.setattr(
        module, "ritz_basis", lambda *a, **o: ritz_basis(*a, **(o | {"dtype": torch.float32}))
    )
    alone = truncated_svd(matrix, 8, tolerance=1e-3)
    assert abs(alone.s[-1] / s[7] - 1) > 1e-3, "float32 would have done: the test shows nothing"


@pytest.mark.parametrize("least", [1e-9, 1e-13])
def test_values_beyond_float64_are_bounded_and_the_residuals_say_so(path, least):
    s = np.concatenate([np.logspace(0, np.log10(least), 8), least * np.linspace(0.3, 0.1, 20)])
    matrix = spectrum(130, 90, s)
    found = truncated_svd(matrix, 8, tolerance=1e-3)
    seen = s[:8] > 1e-6
    np.testing.assert_allclose(found.s[:8][seen], s[:8][seen], rtol=1e-4)
    np.testing.assert_allclose(found.s[:8][~seen], s[:8][~seen], atol=1e-7)
    assert found.residuals[-1] > 1e-3 * found.s[-1]


def test_both_ways_find_the_same_triples(monkeypatch):
    matrix = sparse_random(220, 160, seed=8)
    both = []
    for side in (-1, 10**6):
        monkeypatch.setattr(module, "DENSE_SIDE", side)
        both.append(truncated_svd(matrix, 7, tolerance=1e-5))
    krylov, dense = both
    np.testing.assert_allclose(krylov.s, dense.s, rtol=1e-6)
    np.testing.assert_allclose(krylov.u, dense.u, atol=1e-4)
    np.testing.assert_allclose(krylov.v, dense.v, atol=1e-4)
    assert krylov.energy == pytest.approx(dense.energy, rel=1e-6)


@pytest.mark.parametrize(("k", "lesser"), [(10, []), (17, []), (60, []), (18, [1.5] * 20 + [1.0] * 400)])
def test_a_value_that_occurs_more_often_than_a_block_is_wide(path, k, lesser):
    found = truncated_svd(sparse.diags([2.0] * max(k, 20) + (lesser or [1.0] * 60)).tocsr(), k)
    np.testing.assert_allclose(found.s, 2.0, rtol=1e-5)


def test_every_component_of_a_graph_has_its_factor(path):
    """Of a degree-normalised matrix each component has the singular value 1: more of them than a block."""
    random = np.random.default_rng(0)
    blocks = [sparse.random(15, 10, density=0.4, random_state=random, format="csr") for _ in range(24)]
    counts = sparse.block_diag(blocks).tocsr().sign()
    joined = sparse.bmat([[None, counts], [counts.T, None]])
    _, labels = csgraph.connected_components(joined)
    components = len(np.unique(labels[:360][np.diff(counts.indptr) > 0]))
    assert components >= 24
    found = truncated_svd(degree(counts).matrix, components + 1, tolerance=1e-3)
    np.testing.assert_allclose(found.s[:components], 1, rtol=1e-5)
    assert found.s[-1] < 0.999


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_rounding_only(path, threads, monkeypatch):
    monkeypatch.setattr(sparse_operator, "PART_ENTRIES", 50)
    monkeypatch.setattr(dense, "CUT", 16)
    matrix, before = sparse_random(200, 150, seed=9), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found, again = (truncated_svd(matrix, 6, tolerance=1e-5) for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found.v, again.v)
    U, s, Vt = np.linalg.svd(matrix.toarray())
    np.testing.assert_allclose(found.s, s[:6], rtol=1e-6)
    np.testing.assert_allclose(np.abs(found.v.T @ Vt[:6].T), np.eye(6), atol=1e-4)
    np.testing.assert_allclose(np.abs(found.u.T @ U[:, :6]), np.eye(6), atol=1e-4)


def test_a_value_that_float32_cannot_hold_is_named(path):
    matrix = sparse.csr_matrix(np.array([[1.0, 0, 0], [0, 1e39, 0]]))
    with pytest.raises(ValueError, match=r"row 1, column 1.*1e\+39"):
        truncated_svd(matrix, 1)


def test_the_energy_of_all_triples_is_one(path):
    found = truncated_svd(sparse_random(60, 30) * 1e-22, 30)
    assert found.energy == pytest.approx(1, abs=1e-6)
    assert truncated_svd(sparse.csr_matrix((40, 30)), 5).energy == 0
