"""Every candidate and every blend of them can be taken apart to 1e-4, with dense and with pruned maps."""

import bridge_world
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.bridge.blocks.profiles import TargetHistory
from ml.bridge.contract import Task
from ml.bridge.histories import histories
from ml.bridge.scorers import ridge
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.scorers.union import UnionALS
from ml.bridge.select.blend import Blend, family
from ml.bridge.select.candidates import scenario_candidates
from ml.bridge.serve.reasons import by_block


@pytest.fixture(scope="module")
def library(task):
    """Every candidate that training may choose in any scenario, fitted."""
    found = {}
    for scenario in ("cold", "time"):
        for name, scorer in scenario_candidates(scenario, task).items():
            if name not in found:
                found[name] = scorer.fit(task)
    return found


def off(blend, members, past, items):
    """How far the parts are from the scores."""
    return np.abs(
        blend.parts(members, past, items).total() - blend.score(members, past)[0, items].numpy()
    ).max()


def test_every_candidate_alone(library, task):
    past, items = histories(task.interactions, np.arange(0, 120, 23)), np.arange(40)
    worst = {
        name: max(off(Blend({name: 1.0}), library, one, items) for _, one in past.chunks(1))
        for name in library
    }
    assert max(worst.values()) < 1e-4, {name: value for name, value in worst.items() if value >= 1e-4}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_blend_for_any_user(library, task, data):
    names = data.draw(st.lists(st.sampled_from(sorted(library)), min_size=1, max_size=5, unique=True))
    shares = data.draw(st.lists(st.integers(1, 9), min_size=len(names), max_size=len(names)))
    blend = Blend({name: share / sum(shares) for name, share in zip(names, shares, strict=True)})
    user = data.draw(st.integers(0, 119))
    past = histories(task.interactions, np.array([user]))
    items = np.array(data.draw(st.lists(st.integers(0, 39), min_size=1, max_size=6, unique=True)))
    assert off(blend, library, past, items) < 1e-4
    parts = blend.parts(library, past, items)
    blocks = sum(by_block(parts).values(), start=parts.constant)
    assert np.allclose(blocks, parts.total(), atol=1e-9)
    known = {family(name) for name in names} | set(ridge.BLOCKS)
    assert {block for names in parts.blocks.values() for block in names} <= known


def test_a_blend_with_a_pruned_map(monkeypatch):
    """A map from 1100 items to themselves is stored sparse: what is taken apart is the map that is served."""
    monkeypatch.setattr(ridge, "KEPT_PER_ROW", 7)
    random = np.random.default_rng(0)
    rows = [
        (user, place, int(item), 1.0)
        for user in range(300)
        for place, item in enumerate(random.choice(1100, 8, replace=False))
    ]
    rows += [(300 + user, place, 4 * user + place, 1.0) for user in range(275) for place in range(4)]
    task = Task("d", (), {"d": bridge_world.log_of(rows, 575, 1100)}, {}, device="cpu")
    pruned = RidgeBridge([(TargetHistory("d", least=1), 1.0)], ridge=5.0).fit(task)
    assert "map0.indptr" in pruned.state()[1]
    members = {"next_items:wide": pruned, "union_als:small": UnionALS(6, 5.0, 5.0).fit(task)}
    blend = Blend({"next_items:wide": 0.7, "union_als:small": 0.3})
    past, items = histories(task.interactions, np.arange(0, 575, 50)), np.arange(0, 1100, 13)
    for _, one in past.chunks(1):
        assert off(blend, members, one, items) < 1e-4
        assert set(blend.parts(members, one, items).blocks["d"]) == {"target_history", "union_als"}
