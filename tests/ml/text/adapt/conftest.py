"""The colour world and its pairs, as fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from colour_world import DAY, colour_world

from ml.data import Snapshot
from ml.text.adapt.pairs import PairRules, Pairs, Visibility, find_pairs

RULES = PairRules(pairs=700, reach=3, held_out=0.3)
HIDDEN = Visibility(cold_user_fraction=0.2, horizon=30 * DAY, seed=0)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    # Threads that wait for each other cost far more than products of this size.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
