"""The space that several domains share: centred each, whitened together, comparable across them."""

import numpy as np
import pytest

from ml.text.alignment.common_space import common_space

rng = np.random.default_rng(3)
BASE = rng.standard_normal((400, 6)) * np.array([3.0, 2.0, 1.0, 1.0, 0.5, 0.5])


def vectors(shift):
    return (BASE + shift).astype(np.float32)


def test_what_a_domain_has_in_common_is_gone_and_what_its_items_mean_stays():
    """Two catalogues of the same goods, one of them far away: in the common space they are the same."""
    found = common_space({"here": vectors(0.0), "there": vectors(7.0)}, 6, 0.01)
    assert np.allclose(found["here"], found["there"], atol=1e-4)
    assert np.abs(found["here"].mean(axis=0)).max() < 1e-5


def test_covariances_average_to_the_identity_over_the_rank():
    a, b = vectors(0.0), (rng.standard_normal((300, 6)) * 2).astype(np.float32)
    found = common_space({"a": a, "b": b}, 6, 0.0)
    mean = (np.cov(found["a"].T, bias=True) + np.cov(found["b"].T, bias=True)) / 2
    assert np.allclose(mean, np.eye(6) / 6, atol=1e-4)


def test_items_without_text_stay_at_zero_and_do_not_move_the_centre():
    some = vectors(1.0)
    some[:50] = 0
    found = common_space({"a": some, "b": vectors(0.0)}, 4, 0.05)
    assert not found["a"][:50].any()
    assert np.abs(found["a"][50:].mean(axis=0)).max() < 1e-5
    again = common_space({"a": some[50:], "b": vectors(0.0)}, 4, 0.05)
    assert np.allclose(found["a"][50:], again["a"], atol=1e-5)


def test_a_domain_of_one_text_says_nothing_and_does_not_disturb_the_others():
    lone = np.zeros((3, 6), np.float32)
    lone[1] = 1
    found = common_space({"a": vectors(0.0), "lone": lone}, 6, 0.05)
    assert not found["lone"].any()
    assert np.allclose(found["a"], common_space({"a": vectors(0.0)}, 6, 0.05)["a"], atol=1e-6)
    assert common_space({"lone": lone}, 9, 0.05)["lone"].shape == (3, 6)


def test_vectors_of_two_encoders_are_refused():
    with pytest.raises(ValueError, match="one encoder"):
        common_space({"a": vectors(0.0), "b": vectors(0.0)[:, :4]}, 4, 0.05)
