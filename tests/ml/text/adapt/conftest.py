"""The colour world and its pairs, as fixtures."""

from __future__ import annotations

import pytest
from colour_world import DAY, colour_world

from ml.data import Snapshot
from ml.text.adapt.pairs import PairRules, Pairs, Visibility, find_pairs

RULES = PairRules(pairs=700, reach=3, held_out=0.3)
HIDDEN = Visibility(cold_user_fraction=0.2, horizon=30 * DAY, seed=0)


@pytest.fixture(scope="session", autouse=True)
def _one_thread(one_thread: None) -> None:
    """For every test here."""


@pytest.fixture(scope="session")
def world() -> Snapshot:
    return colour_world()


@pytest.fixture(scope="session")
def hidden() -> Visibility:
    return HIDDEN


@pytest.fixture(scope="session")
def rules() -> PairRules:
    return RULES


@pytest.fixture(scope="session")
def pairs(world) -> Pairs:
    return find_pairs(world, HIDDEN, RULES)
