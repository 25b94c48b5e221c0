"""Further modalities in the bridge: a block under contract, and selection that takes it or leaves it."""

import json

import bridge_world
import numpy as np
import pytest
import torch
from bridge_world import AS_OF, DAY

from ml.bridge.blocks.modality import ModalityProfile
from ml.bridge.contract import Task
from ml.bridge.histories import histories
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.select import choose as choosing
from ml.bridge.select.candidates import kind_of, make, scenario_candidates
from ml.bridge.train import Training, TrainSettings, train
from ml.data import Snapshot

SCALE = 1000  # vectors of anybody's making come in any scale


def with_looks(world: Snapshot, told: bool = True, seed: int = 9) -> Snapshot:
    """The world whose films and books have looks: of their group, or of nothing; texts say nothing."""
    rng = np.random.default_rng(seed)
    looks, texts = {}, {}
    for domain in ("films", "books"):
        n = len(world.catalogues[domain])
        groups = np.arange(n) % bridge_world.GROUPS
        signal = np.eye(12)[groups] if told else np.zeros((n, 12))
        looks[domain] = ((signal + 0.3 * rng.standard_normal((n, 12)) + 2) * SCALE).astype(np.float32)
        looks[domain][:2] = 0
        texts[domain] = rng.standard_normal((n, 8)).astype(np.float32)
    modalities = {domain: {"look": vectors} for domain, vectors in looks.items()}
    return world.with_vectors(texts).with_modalities(modalities)


@pytest.fixture(scope="module")
def looks() -> Snapshot:
    return with_looks(bridge_world.snapshot())


@pytest.fixture(scope="module")
def look_task(looks) -> Task:
    return bridge_world.task_of(looks)


def test_item_features_sum_to_the_users_row_and_survive_a_restore(look_task):
    block = ModalityProfile("films", "look", rank=6, tau=2.0).fit(look_task)
    past = histories(look_task.interactions, np.arange(120))
    rows = block.encode(past)
    assert rows.shape == (120, 6)
    for user in range(0, 120, 11):
        positions, features = block.items(past.rows(slice(user, user + 1)))
        assert np.allclose(features.sum(axis=0), rows[user], atol=1e-5)
        assert not features[positions < 2].any()  # items without a look contribute nothing
    again = ModalityProfile(**json.loads(json.dumps(block.settings))).restore(block.arrays())
    assert np.array_equal(again.encode(past), rows)


def test_scale_and_offset_of_the_vectors_do_not_matter(looks, look_task):
    plain = looks.catalogues["films"].modalities["look"] / SCALE
    other = looks.with_modalities({"films": {"look": plain}})
    past = histories(look_task.interactions, np.arange(120))
    rows = [
        ModalityProfile("films", "look").fit(task).encode(past)
        for task in (look_task, bridge_world.task_of(other))
    ]
    assert np.allclose(np.abs(rows[0]), np.abs(rows[1]), atol=1e-3)


def test_explanations_of_a_bridge_with_looks_add_up(look_task):
    candidates = scenario_candidates("cold", look_task)
    scorer = candidates["item_bridge:r10-t1-look=1"].fit(look_task)
    items = np.array([3, 0, 17, 39])
    for user in (0, 9, 27, 118):
        past = histories(look_task.interactions, np.array([user]))
        parts = scorer.parts(past, items)
        assert np.abs(parts.total() - scorer.score(past)[0, items].numpy()).max() < 1e-4


def test_candidates_with_looks_are_made_again_from_their_settings(look_task):
    for scenario in ("cold", "time"):
        found = {n: s for n, s in scenario_candidates(scenario, look_task).items() if "look=" in n}
        assert found
        for name, scorer in found.items():
            again = make(kind_of(name), json.loads(json.dumps(scorer.settings)))
            assert again.settings == scorer.settings
            facts, arrays = scorer.fit(look_task).state()
            past = histories(look_task.interactions, np.arange(40))
            assert torch.equal(again.restore(facts, arrays).score(past), scorer.score(past))


def test_each_modality_is_tried_alone_and_all_together(looks):
    both = looks.with_modalities(
        {"films": {"look": np.ones((50, 3), np.float32), "sound": np.ones((50, 2), np.float32)}}
    )
    names = set(scenario_candidates("cold", bridge_world.task_of(both)))
    scales = {"look=0.3", "look=1", "sound=0.3", "sound=1", "look+sound=0.3", "look+sound=1"}
    assert {name.removeprefix("item_bridge:r10-t1-") for name in names if "=" in name} == scales
    # The target has none of its own: what comes next is read from its history and text, as before.
    assert not any("=" in n for n in scenario_candidates("time", bridge_world.task_of(both)) if "next" in n)


def test_a_world_without_modalities_has_the_candidates_it_had(world):
    for vectors in ({}, {"films": {"look": np.zeros((50, 3), np.float32)}}):
        task = bridge_world.task_of(world.with_modalities(vectors))
        for scenario in ("cold", "time"):
            assert not any("=" in name for name in scenario_candidates(scenario, task))


def test_a_twin_reads_no_looks_of_the_sources(look_task):
    for scenario in ("cold", "time"):
        for scorer in scenario_candidates(scenario, look_task.twin()).values():
            if isinstance(scorer, RidgeBridge):
                assert scorer.domains == ("books",)


def test_a_missing_modality_says_what_to_do(look_task):
    with pytest.raises(ValueError, match="films has no vectors of sound: materialise item_modalities"):
        ModalityProfile("films", "sound").fit(look_task)


def test_looks_reach_users_of_whom_the_target_knows_nothing(looks):
    """Taste is planted in looks alone: their block finds what text and popularity do not."""
    log = looks.interactions["books"]
    hidden = np.arange(120) % 5 == 0
    cold = bridge_world.task_of(looks.with_interactions(books=log.of_users(~hidden)))
    users = np.flatnonzero(hidden & (log.counts() > 0) & (looks.interactions["films"].counts() > 2))
    truth = log.matrix(np.ones(len(log)))[users].toarray() > 0

    def hits(scorer):
        top = scorer.fit(cold).score(histories(cold.interactions, users)).topk(8, dim=1).indices.numpy()
        return np.take_along_axis(truth, top, axis=1).sum()

    by_looks = RidgeBridge([(ModalityProfile("films", "look", 6), 1.0)], ridge=2.0)
    assert hits(by_looks) > 1.5 * hits(Popularity())


@pytest.mark.slow
@pytest.mark.parametrize("told", [True, False])
def test_selection_decides_and_what_is_served_loads_again(told, monkeypatch, tmp_path):
    monkeypatch.setattr(choosing, "FEWEST_USERS", 15)
    # In many worlds a factorisation alone is as good; this is one in which looks add to it.
    world = with_looks(bridge_world.snapshot(4, users=220), told)
    settings = TrainSettings(k=5, cold_user_fraction=0.3, horizon=12 * DAY, seed=0, device="cpu")
    said: list[str] = []
    found = train(world, "books", ["films", "tools"], settings, said.append)
    assert any("look=1" in line for line in said)
    found.save(tmp_path / "t")
    again = Training.load(tmp_path / "t").candidates["bridge"]
    users = world.users[:30].tolist()
    assert again.recommend(users, 5, explain=True).equals(
        found.candidates["bridge"].recommend(users, 5, explain=True)
    )
    chosen = found.selection["cohorts"]["cold"]["bridge"]
    share = sum(weight for name, weight in chosen.items() if "look=" in name)
    assert share > 0 if told else share < 0.5, chosen
    assert found.selection["as_of"] == AS_OF
