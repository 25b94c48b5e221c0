"""The tiny world, and one small scorer of every kind."""

from __future__ import annotations

from collections.abc import Callable

import bridge_world
import pytest

from ml.bridge.contract import Scorer, Task
from ml.data import Snapshot


@pytest.fixture(scope="session", autouse=True)
def _one_thread(one_thread: None) -> None:
    """For every test here."""


@pytest.fixture(scope="session")
def world() -> Snapshot:
    return bridge_world.snapshot()


@pytest.fixture(scope="session")
def task(world: Snapshot) -> Task:
    return bridge_world.task_of(world)


@pytest.fixture(params=sorted(bridge_world.SCORERS))
def make_scorer(request: pytest.FixtureRequest) -> Callable[[], Scorer]:
    return bridge_world.SCORERS[request.param]
