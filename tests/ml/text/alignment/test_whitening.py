"""Whitening: cases by hand, numpy's own covariance as the reference, and what must hold of any vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.text.alignment import whitening
from ml.text.alignment.whitening import Whitening, moments, whitened


def test_four_points_by_hand():
    """Mean (3, 2), variances 4 and 1: whitened, each point is one deviation away, over sqrt 2."""
    square = np.array([[5, 3], [5, 1], [1, 3], [1, 1]], np.float32)
    found = moments(square)
    assert found.rows == 4
    assert found.mean.tolist() == [3, 2]
    assert found.covariance.tolist() == [[4, 0], [0, 1]]
    rows = whitened(square, rank=2, floor=0.01)
    assert np.allclose(np.abs(rows), 1 / np.sqrt(2))
    assert np.allclose(np.sign(rows[0]), -np.sign(rows[3]))


def test_moments_are_those_of_numpy_over_the_rows_that_are_there():
    vectors = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32) + 3
    vectors[::5] = 0
    held = vectors[vectors.any(axis=1)].astype(np.float64)
    found = moments(vectors)
    assert found.rows == 40
    assert np.allclose(found.mean, held.mean(axis=0))
    assert np.allclose(found.covariance, np.cov(held.T, bias=True))


def test_blocks_change_nothing(monkeypatch):
    vectors = np.random.default_rng(1).standard_normal((100, 6)).astype(np.float32) + 1
    vectors[7] = 0
    whole = whitened(vectors, rank=4, floor=0.05)
    monkeypatch.setattr(whitening, "BLOCK", 7)
    in_blocks = whitened(vectors, rank=4, floor=0.05)
    # An axis has no direction: its sign may differ.
    signs = np.sign((whole * in_blocks).sum(axis=0))
    assert np.allclose(in_blocks * signs, whole, atol=1e-5)


def test_whitened_rows_are_centred_with_equal_variances():
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((200, 5)) * [4, 3, 2, 2, 1.5] + 7).astype(np.float32)
    vectors[:20] = 0
    rows = whitened(vectors, rank=5, floor=0.01)
    assert not rows[:20].any()
    assert np.allclose(rows[20:].mean(axis=0), 0, atol=1e-6)
    # Divided by sqrt(width), so that a row's expected length is 1 whatever the rank.
    assert np.allclose(rows[20:].T @ rows[20:] / 180, np.eye(5) / 5, atol=1e-5)


def test_whitening_does_not_blow_up_what_lies_below_the_floor():
    rng = np.random.default_rng(1)
    vectors = (rng.standard_normal((500, 2)) * [1, 0.01] + 1).astype(np.float32)
    variances = whitened(vectors, rank=2, floor=0.05).var(axis=0)
    expected = np.sort(np.linalg.eigvalsh(np.cov(vectors.T, bias=True)))[::-1]
    assert variances[0] == pytest.approx(1 / 2, rel=1e-4)
    assert variances[1] == pytest.approx(expected[1] / (0.05 * expected[0]) / 2, rel=1e-3)


@pytest.mark.parametrize("held", [0, 1])
def test_fewer_than_two_texts_say_nothing(held):
    vectors = np.zeros((4, 3), np.float32)
    vectors[:held, 0] = 1
    assert not whitened(vectors, rank=2, floor=0.05).any()


def test_rank_is_cut_at_the_width_of_the_text():
    assert whitened(np.eye(3, dtype=np.float32), rank=64, floor=0.05).shape == (3, 3)


def test_one_point_many_times_says_nothing():
    rows = whitened(np.full((5, 3), 7, np.float32), rank=3, floor=0.05)
    assert np.isfinite(rows).all()
    assert np.abs(rows).max() < 1e-3


def test_new_rows_go_through_a_whitening_that_was_fitted():
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((60, 3)).astype(np.float32)
    fitted = Whitening.fit(moments(vectors), rank=3, floor=0.01)
    assert np.array_equal(fitted.apply(vectors[:10]), whitened(vectors, 3, 0.01)[:10])
    assert not fitted.apply(np.zeros((2, 3), np.float32)).any()


@settings(deadline=None, max_examples=40)
@given(
    vectors=arrays(np.float32, (12, 4), elements=st.floats(-1e4, 1e4, width=32)),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-100, 100),
)
def test_rows_are_finite_bounded_and_blind_to_scale(vectors, scale, shift):
    vectors = np.round(vectors)  # so that scaling and shifting lose nothing that matters
    rows = whitened(vectors, rank=4, floor=0.05)
    assert np.isfinite(rows).all()
    # The whole is whitened to 1 a row; no single row can hold more than all of it.
    assert np.square(rows).sum() <= (vectors.any(axis=1).sum()) * (1 + 1e-3)
    if np.abs(vectors).max() > 1:
        again = whitened((vectors * np.float32(scale)).astype(np.float32), rank=4, floor=0.05)
        assert np.allclose(np.linalg.norm(again, axis=1), np.linalg.norm(rows, axis=1), atol=2e-2)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_any_precision_gives_float32(dtype):
    vectors = np.random.default_rng(3).standard_normal((20, 3)).astype(dtype)
    assert whitened(vectors, rank=3, floor=0.05).dtype == np.float32
