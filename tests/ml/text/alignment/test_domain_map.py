"""The map of domains: distances that can be worked out, and planes that show what was planted."""

import numpy as np
import pytest

from ml.text.alignment.domain_map import domain_map


def worlds(seed: int = 0) -> dict[str, np.ndarray]:
    """near and far differ by 6 along the first axis; far is spread three times as much along the second."""
    rng = np.random.default_rng(seed)
    near, far = rng.standard_normal((2, 300, 5)).astype(np.float32)
    far[:, 1] *= 3
    far[:, 0] += 6
    near[:10] = 0
    return {"near": near, "far": far}


def test_the_planted_distance_is_shown_and_goes_away():
    found = domain_map(worlds().items())
    (pair,) = found.distances
    assert (pair.a, pair.b) == ("far", "near")
    assert pair.means_before == pytest.approx(6, abs=0.5)
    assert pair.means_after == pytest.approx(0, abs=1e-9)
    # One variance of 9 beside 1: 64 / (4 * 25), nearly; the ridge leaves some of it.
    assert pair.coral_before == pytest.approx(0.64, rel=0.4)
    assert pair.coral_after < pair.coral_before / 3
    assert found.items == {"near": 290, "far": 300}


def test_the_first_plane_keeps_the_domains_apart_and_the_second_does_not():
    found = domain_map(worlds().items())
    apart = [
        abs(plane.points["near"].mean(axis=0) - plane.points["far"].mean(axis=0)).max()
        for plane in (found.before, found.after)
    ]
    assert apart[0] > 5
    assert apart[1] < 0.5
    assert 0 < found.before.share[1] <= found.before.share[0] <= 1


def test_a_sample_is_drawn_by_seed_and_distances_count_every_vector():
    full = domain_map(worlds().items())
    first, again, other = (domain_map(worlds().items(), sample=50, seed=seed) for seed in (1, 1, 2))
    assert first.distances == full.distances
    assert first.before.points["near"].shape == (50, 2)
    assert np.array_equal(first.before.points["near"], again.before.points["near"])
    assert not np.array_equal(first.before.points["near"], other.before.points["near"])


def test_a_domain_without_texts_is_left_out():
    silent = np.zeros((4, 5), np.float32)
    found = domain_map([*worlds().items(), ("silent", silent), ("empty", np.zeros((0, 5), np.float32))])
    assert set(found.items) == {"near", "far"}
    assert domain_map([("silent", silent)]) is None


def test_one_domain_has_no_distance():
    found = domain_map([("near", worlds()["near"])])
    assert found.distances == []
    assert np.isfinite(found.after.points["near"]).all()
