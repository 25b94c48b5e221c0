"""The gate's figure: paired by user, a user of two targets counted once, and right where text tells."""

from __future__ import annotations

import numpy as np
import pytest

from ml.data import Snapshot
from ml.text.adapt.lift import FEWEST_USERS, Recalls, encoder_lift, pooled
from ml.text.adapt.pairs import Visibility

SOURCES = {"shop": ["table"], "table": ["shop"]}


def with_vectors(world: Snapshot, telling: bool) -> Snapshot:
    """Vectors that name the colour (plus noise), or noise alone."""
    random = np.random.default_rng(0)
    made = {}
    for domain, catalogue in world.catalogues.items():
        vectors = random.normal(size=(len(catalogue), 8)).astype(np.float32)
        if telling:
            colours = [("red", "green", "blue").index(text.split()[0]) for text in catalogue.titles]
            vectors[np.arange(len(catalogue)), colours] += 20
        made[domain] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return world.with_vectors(made)


def test_a_better_encoder_passes_and_a_worse_one_does_not(world):
    hidden = Visibility(cold_user_fraction=0.4, horizon=1)
    noise, telling = with_vectors(world, False), with_vectors(world, True)
    up, down = (encoder_lift(*pair, SOURCES, hidden, 10) for pair in ((noise, telling), (telling, noise)))
    assert up.difference.n >= FEWEST_USERS
    assert up.passed
    assert "is used" in up.reason
    assert not down.passed
    assert "base encoder stays" in down.reason
    assert up.difference.mean == pytest.approx(-down.difference.mean)
    assert set(up.by_target) == {"shop", "table"}


def test_the_same_encoder_does_not_pass(world):
    noise = with_vectors(world, False)
    lift = encoder_lift(noise, noise, SOURCES, Visibility(0.4, 1), 10)
    assert (lift.difference.mean, lift.passed) == (0.0, False)


def test_without_text_or_users_the_base_stays(world):
    lift = encoder_lift(world, world, SOURCES, Visibility(0.4, 1), 10)
    assert (lift.difference.n, lift.passed) == (0, False)
    assert "fewer than" in lift.reason


def test_a_user_of_two_targets_counts_once_by_hand():
    """User 1 gains 0.4 in one target, loses 0.2 in the other; user 2 gains 0.3; user 3 nothing to find."""
    first = [Recalls(np.array([1, 2, 3]), np.array(r)) for r in ([0.1, 0.0, np.nan], [0.5, 0.3, np.nan])]
    second = [Recalls(np.array([1]), np.array([r])) for r in (0.2, 0.0)]
    lift = pooled([(first[0], first[1]), (second[0], second[1])], 5, {})
    assert lift.difference.n == 2
    assert lift.difference.mean == pytest.approx((0.1 + 0.3) / 2)
