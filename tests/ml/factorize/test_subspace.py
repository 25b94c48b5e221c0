"""Principal angles and drift, worked by hand: the same space 0, a rotated basis 0, orthogonal 90 degrees."""

import numpy as np
import pytest

from ml.factorize.subspace import drift, principal_angles

IDS = np.array(["a", "b", "c", "d"])
AXES = np.eye(4)


def test_the_same_space_in_another_basis_has_no_angle():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    np.testing.assert_allclose(principal_angles(AXES[:, :2], AXES[:, :2]), 0)
    np.testing.assert_allclose(principal_angles(AXES[:, :2], AXES[:, :2] @ turn), 0, atol=1e-6)


def test_orthogonal_spaces_stand_at_ninety_degrees():
    np.testing.assert_allclose(principal_angles(AXES[:, :2], AXES[:, 2:]), 90)


def test_one_direction_shared_one_turned():
    later = np.stack([AXES[:, 0], np.cos(np.pi / 6) * AXES[:, 1] + np.sin(np.pi / 6) * AXES[:, 2]], 1)
    np.testing.assert_allclose(principal_angles(AXES[:, :2], later), [0, 30], atol=1e-6)


def test_a_smaller_space_inside_a_larger_one():
    np.testing.assert_allclose(principal_angles(AXES[:, :1], AXES[:, :3]), [0], atol=1e-6)


def test_drift_weighs_directions_by_their_energy():
    # The first factor stays (9 of 10 parts of the energy), the second one is lost.
    found = drift(AXES[:, :2], np.array([3.0, 1.0]), IDS, AXES[:, [0, 2]], IDS)
    assert found.turned == pytest.approx(0.1)
    np.testing.assert_allclose(found.angles, [0, 90], atol=1e-6)
    assert found.shared == 4


@pytest.mark.parametrize(("later", "turned"), [(AXES[:, [1, 0]], 0), (AXES[:, 2:], 1)])
def test_drift_of_the_same_and_of_an_orthogonal_space(later, turned):
    assert drift(AXES[:, :2], np.array([3.0, 1.0]), IDS, later, IDS).turned == pytest.approx(turned)


def test_drift_does_not_depend_on_the_order_of_items_or_on_the_basis_of_equals():
    random = np.random.default_rng(0)
    earlier, later = (np.linalg.qr(random.standard_normal((30, 3)))[0] for _ in range(2))
    ids, order = np.array([f"i{n:02}" for n in range(30)]), random.permutation(30)
    turn = np.linalg.qr(random.standard_normal((3, 3)))[0]
    straight = drift(earlier, np.ones(3), ids, later, ids)
    again = drift(earlier @ turn, np.ones(3), ids, (later @ turn)[order], ids[order])
    assert again.turned == pytest.approx(straight.turned)
    np.testing.assert_allclose(again.angles, straight.angles, atol=1e-6)
    assert 0 < straight.turned < 1


def test_only_items_of_both_are_compared():
    later = np.array([[1.0], [5]])  # "a" as before; "z" is new and strong, and turns nothing by itself
    found = drift(AXES[:, :1], np.ones(1), IDS, later, np.array(["a", "z"]))
    assert (found.turned, found.shared) == (pytest.approx(0), 1)


def test_nothing_shared_and_nothing_explained_turn_nothing():
    apart = drift(AXES[:, :1], np.ones(1), IDS, AXES[:, :1], np.array(["w", "x", "y", "z"]))
    assert (apart.turned, apart.shared, len(apart.angles)) == (0, 0, 0)
    silent = drift(AXES[:, :1], np.zeros(1), IDS, AXES[:, :1], IDS)
    assert silent.turned == 0
    emptied = drift(AXES[:, :1], np.ones(1), IDS, np.zeros((4, 1)), IDS)
    assert emptied.turned == 1  # all that was explained is gone


def test_spaces_over_different_items_are_a_fault():
    with pytest.raises(ValueError, match="shared items"):
        principal_angles(AXES, AXES[:3])
