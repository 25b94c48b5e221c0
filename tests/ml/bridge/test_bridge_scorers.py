"""The contract every scorer keeps: what a blend, an evaluation and an explanation rely on."""

import json

import bridge_world
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from ml.bridge.histories import histories
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.select.candidates import kind_of, make, scenario_candidates

USERS = np.arange(120)
KIND = {
    "Popularity": "popularity",
    "UnionALS": "union_als",
    "JointSVD": "joint_svd",
    "ItemKNN": "item_knn",
    "EASE": "ease",
    "KernelJointSVD": "kernel_svd",
    "RidgeBridge": "ridge",
    "Mapper": "mapper",
    "MetaMapper": "meta_mapper",
    "TextNeighbours": "text_neighbours",
    "CarriedByText": "carried",
    "TextSimilarity": "text_similarity",
    "TransferredText": "transferred_text",
    "ReusedMap": "reused_map",
}


def restored(scorer, folder):
    """Through the files: settings and facts as JSON, arrays as safetensors."""
    facts, arrays = scorer.state()
    save_file({key: np.ascontiguousarray(a) for key, a in arrays.items()}, folder / "arrays.safetensors")
    (folder / "facts.json").write_text(json.dumps({"settings": scorer.settings, "facts": facts}))
    held = json.loads((folder / "facts.json").read_text())
    again = make(KIND[type(scorer).__name__], held["settings"])
    return again.restore(held["facts"], load_file(folder / "arrays.safetensors"))


def test_scores_every_target_item_for_every_user(make_scorer, task):
    scores = make_scorer().fit(task).score(histories(task.interactions, USERS))
    assert scores.shape == (len(USERS), bridge_world.SIZES["books"])
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()


def test_a_seed_gives_one_model(make_scorer, task):
    past = histories(task.interactions, USERS)
    first, second = (
        make_scorer().fit(bridge_world.task_of(bridge_world.snapshot())).score(past) for _ in range(2)
    )
    assert torch.equal(first, second)


def test_a_user_is_scored_alike_alone_and_in_company(make_scorer, task):
    scorer = make_scorer().fit(task)
    together = scorer.score(histories(task.interactions, USERS))
    for user in (0, 7, 119):
        alone = scorer.score(histories(task.interactions, np.array([user])))[0]
        assert torch.allclose(alone, together[user], atol=1e-5)


def test_parts_sum_to_the_score_and_name_items_of_the_history(make_scorer, task):
    scorer = make_scorer().fit(task)
    items = np.array([3, 0, 17, 39])
    asked = [*range(0, 120, 9), 118, 119]
    known = {d: log.counts()[asked] > 0 for d, log in task.interactions.items()}
    # The users asked about must include those that lack a domain: their parts are empty there.
    assert all(k.any() and not k.all() for k in known.values())
    for user in asked:
        past = histories(task.interactions, np.array([user]))
        parts = scorer.parts(past, items)
        assert np.abs(parts.total() - scorer.score(past)[0, items].numpy()).max() < 1e-4
        for domain, (positions, values) in parts.by_domain.items():
            assert values.shape == (len(positions), len(items))
            assert set(positions) <= set(past.weights[domain].indices)


def test_state_and_restore_through_files_change_nothing(make_scorer, task, tmp_path):
    scorer = make_scorer().fit(task)
    again = restored(scorer, tmp_path)
    past = histories(task.interactions, USERS)
    assert torch.equal(again.score(past), scorer.score(past))
    assert again.settings == scorer.settings
    one = past.rows(slice(7, 8))
    assert np.array_equal(
        again.parts(one, np.array([1, 5])).total(), scorer.parts(one, np.array([1, 5])).total()
    )


def test_domains_name_all_that_is_read(make_scorer, task):
    scorer = make_scorer().fit(task)
    past = histories(task.interactions, USERS)
    kept = histories({d: task.interactions[d] for d in scorer.domains}, USERS)
    assert torch.equal(scorer.score(kept), scorer.score(past))


def test_fitting_again_forgets_the_first_fit(make_scorer, task):
    other = bridge_world.task_of(bridge_world.snapshot(seed=5, users=90))
    scorer = make_scorer().fit(other).fit(task)
    past = histories(task.interactions, USERS)
    assert torch.equal(scorer.score(past), make_scorer().fit(task).score(past))


@pytest.mark.parametrize("scenario", ["cold", "time", "cold_items"])
@pytest.mark.parametrize("sources", [(), ("films", "tools")])
def test_every_candidate_can_be_made_again_from_its_settings(world, scenario, sources):
    for name, scorer in scenario_candidates(scenario, bridge_world.task_of(world, sources=sources)).items():
        settings = json.loads(json.dumps(scorer.settings))
        again = make(kind_of(name), settings)
        assert type(again) is type(scorer)
        assert again.settings == scorer.settings


def test_without_text_no_candidate_reads_text(world):
    bare = bridge_world.task_of(world.with_vectors({}))
    for scenario in ("cold", "time", "cold_items"):
        for scorer in scenario_candidates(scenario, bare).values():
            if isinstance(scorer, RidgeBridge):
                assert all(block.kind != "text_profile" for block, _ in scorer.blocks)


def test_a_twin_reads_nothing_of_the_sources(task):
    """With sources of NaN weights and vectors every candidate of the twin fits and scores as before."""
    nan = {d: np.full_like(task.catalogues[d].vectors, np.nan) for d in task.sources}
    poisoned = bridge_world.snapshot().with_vectors({**nan, "books": task.catalogues["books"].vectors})
    for domain in task.sources:
        poisoned.interactions[domain].weights[:] = np.nan
    sick = bridge_world.task_of(poisoned)
    past = histories({"books": task.interactions["books"]}, USERS)
    assert sick.twin().sources == ()
    assert set(sick.twin().interactions) == {"books"}
    for scenario in ("cold", "time", "cold_items"):
        healthy = scenario_candidates(scenario, task.twin())
        for name, scorer in scenario_candidates(scenario, sick.twin()).items():
            expected = healthy[name].fit(task.twin()).score(past)
            assert torch.equal(scorer.fit(sick.twin()).score(past), expected), name


def test_a_bridge_finds_the_planted_taste(task):
    """Users of whom the target knows nothing are ranked items of their group, which only films can tell."""
    log = task.interactions["books"]
    hidden = np.arange(120) % 5 == 0
    seen = {**task.interactions, "books": log.of_users(~hidden)}
    cold = bridge_world.task_of(bridge_world.snapshot().with_interactions(**seen))
    users = np.flatnonzero(hidden & (log.counts() > 0) & (task.interactions["films"].counts() > 2))
    truth = log.matrix(np.ones(len(log)))[users].toarray() > 0

    def hits(scorer):
        top = scorer.fit(cold).score(histories(cold.interactions, users)).topk(8, dim=1).indices.numpy()
        return np.take_along_axis(truth, top, axis=1).sum()

    baseline = hits(Popularity())
    for name in ("union_als", "joint_svd", "item_knn", "svd_to_items", "text_to_items", "als_to_factors"):
        assert hits(bridge_world.SCORERS[name]()) > 1.5 * baseline, name
