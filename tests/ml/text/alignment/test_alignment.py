"""CORAL: cases by hand, scipy's matrix square root as the reference, and what is left where data are few."""

import numpy as np
import pytest
from scipy.linalg import inv, sqrtm

from ml.text.alignment.coral import aligned, common, coral_distance, coral_matrix
from ml.text.alignment.whitening import Moments, moments


def moments_of(mean, covariance) -> Moments:
    return Moments(10, np.array(mean, dtype=float), np.array(covariance, dtype=float))


def cloud(seed: int, rows: int = 400, width: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((rows, width)) @ rng.standard_normal((width, width)) + rng.random(width)
    return mixed.astype(np.float32)


def test_diagonal_covariances_by_hand():
    """Variances 4, 1 to 1, 4 without a ridge: halve the first axis, double the second, move the mean."""
    own, other = moments_of([1, 1], np.diag([4, 1])), moments_of([0, 5], np.diag([1, 4]))
    assert np.allclose(coral_matrix(own, other, ridge=0), np.diag([0.5, 2]))
    rows = aligned(np.array([[3, 1], [0, 0], [1, 2]], np.float32), own, other, ridge=0)
    assert np.allclose(rows, [[1, 5], [0, 0], [0, 7]])  # the zero row has no vector and gets none


def test_the_ridge_by_hand():
    """Mean variance of the reference 2.5: (1 + 2.5) / (4 + 2.5) and (4 + 2.5) / (1 + 2.5), square roots."""
    own, other = moments_of([0, 0], np.diag([4, 1])), moments_of([0, 0], np.diag([1, 4]))
    expected = np.sqrt([3.5 / 6.5, 6.5 / 3.5])
    assert np.allclose(coral_matrix(own, other, ridge=1), np.diag(expected))


def test_the_matrix_is_that_of_the_paper():
    own, other = moments(cloud(0)), moments(cloud(1))
    ridge = 0.5 * np.trace(other.covariance) / 3 * np.eye(3)
    expected = inv(sqrtm(own.covariance + ridge)) @ sqrtm(other.covariance + ridge)
    assert np.allclose(coral_matrix(own, other, ridge=0.5), expected)


def test_aligned_rows_have_the_moments_of_the_reference():
    vectors, reference = cloud(2), moments(cloud(3))
    rows = moments(aligned(vectors, moments(vectors), reference, ridge=0))
    assert np.allclose(rows.mean, reference.mean, atol=1e-5)
    assert np.allclose(rows.covariance, reference.covariance, atol=1e-4)
    assert coral_distance(rows, reference) < 1e-9


def test_moments_through_a_matrix_are_those_of_the_moved_rows():
    vectors, reference = cloud(4), moments(cloud(5))
    own = moments(vectors)
    told = own.through(coral_matrix(own, reference), reference.mean)
    measured = moments(aligned(vectors, own, reference))
    assert np.allclose(told.mean, measured.mean, atol=1e-5)
    assert np.allclose(told.covariance, measured.covariance, atol=1e-4)


def test_distance_by_hand():
    """Difference diag(3, -3) and 1 beside it twice: (9 + 9 + 1 + 1) / (4 * 4)."""
    a, b = moments_of([0, 0], [[4, 1], [1, 1]]), moments_of([9, 9], [[1, 0], [0, 4]])
    assert coral_distance(a, b) == pytest.approx(20 / 16)
    assert coral_distance(b, a) == coral_distance(a, b)
    assert coral_distance(a, a) == 0


def test_every_domain_counts_alike():
    found = common([Moments(1000, np.zeros(2), np.eye(2)), Moments(2, np.ones(2), 3 * np.eye(2))])
    assert found.rows == 1002
    assert found.mean.tolist() == [0.5, 0.5]
    assert found.covariance.tolist() == [[2, 0], [0, 2]]


def test_fewer_rows_than_dimensions_stay_in_bounds():
    """Five rows in 64 dimensions: 60 directions were never seen, and none is blown up beyond the ridge."""
    few, many = moments(cloud(6, 5, 64)), moments(cloud(7, 500, 64))
    rows = aligned(cloud(6, 5, 64), few, many)
    assert np.isfinite(rows).all()
    most = np.linalg.eigvalsh(many.covariance).max()
    added = np.trace(many.covariance) / 64
    assert np.linalg.norm(coral_matrix(few, many), 2) <= np.sqrt((most + added) / added) * (1 + 1e-9)


def test_aligning_brings_domains_nearer_but_keeps_neighbours():
    left, right = cloud(8), cloud(9) + 4
    reference = common([moments(left), moments(right)])
    moved = [aligned(each, moments(each), reference) for each in (left, right)]
    before = coral_distance(moments(left), moments(right))
    assert coral_distance(moments(moved[0]), moments(moved[1])) < before / 2
    order = np.argsort(np.linalg.norm(left - left[0], axis=1))[:20]
    after = np.argsort(np.linalg.norm(moved[0] - moved[0][0], axis=1))[:40]
    assert len(set(order) & set(after)) > 10


@pytest.mark.parametrize("domains", [[], [moments_of([0], [[1]]), moments_of([0, 0], np.eye(2))]])
def test_what_cannot_be_compared_is_told(domains):
    with pytest.raises(ValueError, match="expected one width"):
        common(domains)
