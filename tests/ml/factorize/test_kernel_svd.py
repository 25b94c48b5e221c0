"""The SVD with a text kernel inside, against R @ sqrtm(I + beta K) written out densely."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, sparse

from ml.device import pick_device
from ml.factorize.kernel_svd import KernelRoot, kernel_svd
from ml.factorize.svd import truncated_svd

RANK = 6


def world(m=90, n=60, r=7, seed=0):
    """Interactions with an empty row and column, and features of which two rows are zero."""
    random = np.random.default_rng(seed)
    R = sparse.random(m, n, density=0.1, random_state=random).tolil()
    R[4], R[:, 8] = 0, 0
    Z = random.standard_normal((n, r)).astype(np.float32)
    Z[[2, 5]] = 0
    return sparse.csr_matrix(R), Z


def root_of(Z, beta):
    return linalg.sqrtm(np.eye(len(Z)) + beta * Z.astype(np.float64) @ Z.T).real


@pytest.mark.parametrize("shape", [(90, 60), (60, 90)])
@pytest.mark.parametrize("beta", [0.01, 0.5, 30.0])
def test_agrees_with_the_dense_root(shape, beta):
    R, Z = world(*shape)
    found = kernel_svd(R, Z, RANK, beta, tolerance=1e-4)
    M = root_of(Z, beta)
    U, s, Vt = np.linalg.svd(R.toarray() @ M, full_matrices=False)
    np.testing.assert_allclose(found.svd.s, s[:RANK], rtol=1e-4)
    np.testing.assert_allclose(found.svd.energy, (s[:RANK] ** 2).sum() / (s**2).sum(), rtol=1e-4)
    for ours, theirs in ((found.svd.u, U[:, :RANK]), (found.svd.v, Vt[:RANK].T)):
        assert np.linalg.norm(ours - theirs @ (theirs.T @ ours), 2) < 1e-3
    np.testing.assert_allclose(found.items, M @ found.svd.v, atol=1e-4)
    assert found.svd.residuals.max() <= 1.1e-4 * found.svd.s[-1] + 1e-6


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    n=st.integers(1, 25),
    r=st.integers(1, 40),
    beta=st.floats(1e-6, 1e6),
    copies=st.booleans(),
)
def test_the_root_squared_is_the_kernel_at_any_rank_and_beta(seed, n, r, beta, copies):
    """Also with more features than items, equal features and a beta that drowns the identity."""
    Z = np.random.default_rng(seed).standard_normal((n, r)).astype(np.float32)
    if copies:
        Z[:, 1:] = Z[:, :1]
    root = KernelRoot(Z, beta, pick_device("cpu"))
    Y = root.low.double().numpy()
    M, K = np.eye(n) + Y @ Y.T, np.eye(n) + beta * Z.astype(np.float64) @ Z.T
    np.testing.assert_allclose(M @ M, K, atol=1e-5 * np.abs(K).max())
    assert root.squared_norm() == pytest.approx(np.square(M).sum(), rel=1e-6)


def test_beta_zero_and_a_kernel_without_text_are_the_plain_svd():
    R, Z = world()
    plain = truncated_svd(R, RANK)
    for found in (kernel_svd(R, Z, RANK, 0.0), kernel_svd(R, np.zeros_like(Z), RANK, 3.0)):
        np.testing.assert_array_equal(found.svd.v, plain.v)
        np.testing.assert_array_equal(found.items, plain.v)
        np.testing.assert_array_equal(found.svd.s, plain.s)
    nearly = kernel_svd(R, Z, RANK, 1e-9, tolerance=1e-4)
    np.testing.assert_allclose(nearly.svd.s, plain.s, rtol=1e-4)


def test_a_cold_item_gets_the_factor_of_its_text():
    """Two new items with one text have one factor; it points where the read item with that text points."""
    R, Z = world()
    R = sparse.csr_matrix(sparse.hstack([R, sparse.csr_matrix((R.shape[0], 3))]))
    Z = np.vstack([Z, Z[20], Z[20], np.zeros_like(Z[:1])])
    found = kernel_svd(R, Z, 20, 5.0, tolerance=1e-4).items
    np.testing.assert_allclose(found[60], found[61], atol=1e-6)
    alike = found @ found[60] / np.maximum(np.linalg.norm(found, axis=1) * np.linalg.norm(found[60]), 1e-12)
    warm = np.flatnonzero(np.diff(R.tocsc().indptr))
    assert warm[alike[warm].argmax()] == 20
    assert alike[20] > 0.9
    np.testing.assert_allclose(found[62], 0, atol=1e-6)
    assert not kernel_svd(R, Z, 20, 0.0).items[60:].round(6).any()


def test_an_items_factor_is_its_own_users_and_beta_times_its_like():
    """(I + beta K)^1/2 V = (I + beta K) R'U S^-1: the two parts of the docstring."""
    R, Z = world()
    found = kernel_svd(R, Z, RANK, 0.7, tolerance=1e-6)
    own = R.T @ found.svd.u.astype(np.float64) / found.svd.s
    np.testing.assert_allclose(found.items, own + 0.7 * Z @ (Z.T @ own), atol=1e-4)


def test_invariances():
    """Features in another basis, items in another order, a matrix scaled: the same factorisation."""
    R, Z = world()
    random = np.random.default_rng(9)
    plain = kernel_svd(R, Z, RANK, 0.5, tolerance=1e-5)

    def alike(other, columns=slice(None)):
        np.testing.assert_allclose(np.abs(other), np.abs(plain.items[columns]), atol=1e-4)

    rotation = np.linalg.qr(random.standard_normal((7, 7)))[0]
    alike(kernel_svd(R, Z @ rotation, RANK, 0.5, tolerance=1e-5).items)
    alike(kernel_svd(3 * R, Z, RANK, 0.5, tolerance=1e-5).items)
    alike(kernel_svd(R, Z / 2, RANK, 2.0, tolerance=1e-5).items)
    order = random.permutation(60)
    alike(kernel_svd(R[:, order], Z[order], RANK, 0.5, tolerance=1e-5).items, order)


def test_more_likeness_never_lowers_a_singular_value():
    """A A' = R (I + beta K) R' grows with beta, in the order of positive semidefinite matrices."""
    R, Z = world()
    values = [kernel_svd(R, Z, RANK, beta, tolerance=1e-4).svd.s for beta in (0.0, 0.1, 1.0, 10.0)]
    for less, more in pairwise(values):
        assert (more >= less * (1 - 1e-4)).all()


def test_rank_is_clipped_and_a_seed_gives_one_result():
    R, Z = world(12, 9)
    found = kernel_svd(R, Z, 50, 0.5)
    assert found.items.shape == (9, 9)
    np.testing.assert_allclose(
        (found.svd.u * found.svd.s) @ found.svd.v.T, R.toarray() @ root_of(Z, 0.5), atol=1e-4
    )
    np.testing.assert_array_equal(found.items, kernel_svd(R, Z, 50, 0.5).items)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (5, 4)])
def test_no_entries_and_no_sides_are_no_error(shape):
    found = kernel_svd(sparse.csr_matrix(shape), np.ones((shape[1], 2), np.float32), 3, 1.0)
    assert found.items.shape == (shape[1], min(3, *shape))
    assert not found.svd.s.any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda R, Z: (R, Z[:-1], RANK, 1.0), "features of 59 items, but the matrix has 60 columns"),
        (lambda R, Z: (R, Z, RANK, -0.1), "beta must be a number >= 0, got -0.1"),
        (lambda R, Z: (R, Z, RANK, np.nan), "beta must be a number >= 0, got nan"),
        (lambda R, Z: (R, Z, 0, 1.0), "rank must be at least 1, got 0"),
        (lambda R, Z: (R, np.where(Z == 0, np.nan, Z), RANK, 1.0), "2 of 60 vectors .* first in row 2"),
        (lambda R, Z: (R * np.inf, Z, RANK, 1.0), "NaN or infinite values, the first at row"),
    ],
)
def test_bad_input_is_named(change, said):
    R, Z = world()
    with pytest.raises(ValueError, match=said):
        kernel_svd(*change(R, Z))
