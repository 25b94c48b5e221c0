"""Text kernels as features: against the kernels themselves, written out on few items."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.factorize.kernel import (
    TextKernel,
    centred,
    cosine,
    median_distance,
    rbf_fourier,
    rbf_nystroem,
    stacked,
    unit_eigenvalue,
)

KINDS = ("linear", "cosine", "rbf_nystroem", "rbf_fourier")
WITHOUT_TEXT = (3, 17)


@pytest.fixture(scope="module")
def vectors():
    found = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32) / np.sqrt(8)
    found[list(WITHOUT_TEXT)] = 0
    return found


def gaussian(vectors, width):
    """exp(-|x - y|^2 / 2 width^2), pair by pair; nothing is like an item without text."""
    held = vectors.any(axis=1)
    K = np.zeros((len(vectors), len(vectors)))
    for i in np.flatnonzero(held):
        for j in np.flatnonzero(held):
            K[i, j] = np.exp(-np.square(vectors[i].astype(float) - vectors[j]).sum() / (2 * width**2))
    return K


def product(Z):
    return Z.astype(np.float64) @ Z.T


def test_cosine_is_the_cosine(vectors):
    lengths = np.linalg.norm(vectors, axis=1)
    for i, j in ((0, 1), (5, 5), (10, 100)):
        expected = vectors[i] @ vectors[j] / (lengths[i] * lengths[j])
        assert product(cosine(vectors))[i, j] == pytest.approx(expected, abs=1e-6)
    assert not cosine(vectors)[list(WITHOUT_TEXT)].any()


def test_nystroem_with_every_item_a_landmark_is_the_kernel(vectors):
    K = gaussian(vectors, 1.0)
    assert np.abs(product(rbf_nystroem(vectors, len(vectors), 1.0)) - K).max() < 1e-3


def test_nystroem_comes_closer_with_landmarks_and_never_exceeds_the_kernel(vectors):
    K, errors = gaussian(vectors, 1.0), []
    for features in (8, 32, 128):
        Z = rbf_nystroem(vectors, features, 1.0, seed=1)
        assert Z.shape[1] <= features
        missing = K - product(Z)
        assert np.linalg.eigvalsh(missing).min() > -1e-5
        # |E_ij| <= sqrt(E_ii E_jj) of a matrix that is positive semidefinite.
        short = np.sqrt(np.diag(missing).clip(min=0))
        assert (np.abs(missing) <= np.outer(short, short) + 1e-5).all()
        errors.append(np.linalg.norm(missing) / np.linalg.norm(K))
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_landmarks_drawn_by_need_beat_the_first_items(vectors):
    """Twenty copies of one text first: whoever takes landmarks as they come sees a single text."""
    copies = np.concatenate([np.repeat(vectors[:1], 20, axis=0), vectors[20:60]])
    K = gaussian(copies, 0.5)
    first = K[:, :20]
    as_they_come = np.linalg.norm(K - first @ np.linalg.pinv(first[:20], rcond=1e-9) @ first.T)
    drawn = rbf_nystroem(copies, 20, 0.5)
    assert np.linalg.norm(K - product(drawn)) < 0.7 * as_they_come


def test_equal_texts_need_one_landmark():
    same = np.ones((30, 4), np.float32)
    Z = rbf_nystroem(same, 10, 1.0)
    assert Z.shape == (30, 1)
    assert np.allclose(product(Z), 1, atol=1e-5)


def test_fourier_features_converge_like_one_over_the_root(vectors):
    K = gaussian(vectors, 1.0)

    def error(features):
        found = [product(rbf_fourier(vectors, features, 1.0, seed)) for seed in range(5)]
        return np.mean([np.abs(Z - K).mean() for Z in found])

    errors = [error(features) for features in (64, 256, 1024)]
    assert errors[0] < 1 / np.sqrt(64)
    for more, fewer in zip(errors[1:], errors[:-1], strict=True):
        assert 0.3 < more / fewer < 0.7
    Z = rbf_fourier(vectors, 64, 1.0)
    assert np.allclose(np.linalg.norm(Z, axis=1), vectors.any(axis=1), atol=1e-6)


@pytest.mark.parametrize("features", [0, 1, 7])
def test_fourier_features_come_in_pairs(vectors, features):
    with pytest.raises(ValueError, match="even number"):
        rbf_fourier(vectors, features, 1.0)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**20), n=st.integers(3, 40), d=st.integers(2, 6), share=st.floats(0, 0.6))
def test_every_kernel_is_centred_scaled_and_silent_without_text(kind, seed, n, d, share):
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((n, d)).astype(np.float32)
    bare = random.random(n) < share
    vectors[bare] = 0
    Z = TextKernel(kind, features=16).of(vectors)
    assert Z.dtype == np.float32
    assert np.isfinite(Z).all()
    assert not Z[bare].any()
    values = np.linalg.eigvalsh(product(Z))
    assert values.min() > -1e-4 * max(values.max(), 1)
    if Z.any():
        assert np.square(values).sum() / values.sum() == pytest.approx(1, rel=1e-3)
        assert np.abs(Z.sum(axis=0)).max() < 1e-3 * np.abs(Z).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_knows_no_origin_rotation_or_scale(kind, vectors):
    """Whitening comes first: another basis, unit or origin of the embeddings says the same of any two."""
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((8, 8)))[0]
    moved = np.where(vectors.any(axis=1)[:, None], 5 * vectors @ rotation + 0.3, 0).astype(np.float32)
    kernel = TextKernel(kind, features=400, floor=0.0)
    first, second = product(kernel.of(vectors)), product(kernel.of(moved))
    if kind == "rbf_fourier":  # its frequencies are drawn in the old basis
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9
    else:
        assert np.allclose(first, second, atol=1e-2 * np.abs(first).max())


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_one_kernel_and_items_may_come_in_any_order(kind, vectors):
    kernel = TextKernel(kind, features=32)
    assert np.array_equal(kernel.of(vectors), kernel.of(vectors))
    order = np.random.default_rng(4).permutation(len(vectors))
    if kind in ("linear", "cosine"):
        assert np.allclose(
            product(kernel.of(vectors[order])), product(kernel.of(vectors))[order][:, order], atol=1e-5
        )


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_or_one_text_says_nothing(kind):
    assert not TextKernel(kind).of(np.zeros((5, 4), np.float32)).any()
    one = np.zeros((5, 4), np.float32)
    one[2] = 1
    assert not TextKernel(kind).of(one).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_is_no_number_is_named(vectors, value):
    sick = vectors.copy()
    sick[[4, 9], 2] = value
    with pytest.raises(ValueError, match=r"2 of 200 vectors .* first in row 4: embed"):
        TextKernel().of(sick)
    with pytest.raises(ValueError, match="row 4"):
        stacked([sick], [200])


def test_a_kind_that_is_not_known_is_an_error(vectors):
    with pytest.raises(ValueError, match="'polynomial' is not known: linear, cosine"):
        TextKernel("polynomial").of(vectors)


def test_domains_are_stacked_about_their_own_means(vectors):
    shifted = np.where(vectors.any(axis=1)[:, None], vectors + 7, 0)
    both = stacked([vectors, None, shifted], [200, 3, 200])
    assert both.shape == (403, 8)
    assert not both[200:203].any()
    assert np.allclose(both[:200], both[203:], atol=1e-5)
    assert stacked([None, None], [2, 3]).shape == (5, 1)
    with pytest.raises(ValueError, match=r"\[8, 9\] numbers: embed all with one encoder"):
        stacked([vectors, np.ones((2, 9), np.float32)], [200, 2])


def test_median_distance_by_hand():
    assert median_distance(np.array([[0.0, 3], [4, 3], [0, 0]], np.float32)) == pytest.approx(4)
    assert median_distance(np.ones((4, 2), np.float32)) == 1
    assert median_distance(np.zeros((4, 2), np.float32)) == 1


def test_scaling_by_hand():
    """Eigenvalues 3 and 1: (9 + 1) / (3 + 1) = 2.5 becomes 1."""
    Z = np.diag(np.sqrt([3.0, 1.0])).astype(np.float32)
    assert np.allclose(unit_eigenvalue(Z), Z / np.sqrt(2.5))
    rows = np.array([[1.0, 2], [0, 0], [3, 4]], np.float32)
    assert np.array_equal(centred(rows), [[-1, -1], [0, 0], [1, 1]])
