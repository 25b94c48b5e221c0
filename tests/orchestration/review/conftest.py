"""The home that tests of decisions share: creating MLflow's database and logging a model takes seconds."""

import pytest
from decision_case import World

from orchestration.config import Home


@pytest.fixture(scope="session")
def decided_world(tmp_path_factory):
    return World(Home(tmp_path_factory.mktemp("decisions")))


@pytest.fixture
def make(decided_world, monkeypatch):
    """Makes cases; their targets are gone after the test, so that sensors and jobs do not look at them."""
    monkeypatch.setenv("LANDBRIDGE_HOME", str(decided_world.registry.home.root))
    made = []

    def case(two_people=False):
        made.append(decided_world.case(two_people))
        return made[-1]

    yield case
    for each in made:
        each.registry.client.delete_registered_model(each.model)
