"""The peers beside every bridge: who is measured, on whom they are tuned, and what they list at worst."""

import json

import numpy as np
import pytest
import torch
from bridge_world import DAY, snapshot

from ml.bridge.histories import histories
from ml.bridge.lists import Asked
from ml.bridge.protocol import Protocol
from ml.bridge.scorers.ease import EASE
from ml.bridge.scorers.union import UnionALS
from ml.bridge.select import baselines as module
from ml.bridge.select import choose as choosing
from ml.bridge.select.baselines import choose_peers, peer_lists, peers, popular_row, rank, setting
from ml.bridge.select.candidates import fitted, kind_of, make, scenario_candidates
from ml.bridge.select.choose import choose
from ml.bridge.train import CANDIDATES, TrainSettings, train

ALONE = {"recent_popularity", "item_knn", "ease", "als"}
TEXTS = {"text_cosine", "text_euclidean"}  # read the sources as well
EMCDR = {"emcdr_linear", "emcdr_mlp"}
UNIONS = {"item_knn_union", "ease_union", "als_union", "joint_svd", *EMCDR, *TEXTS}


@pytest.fixture(scope="module")
def plenty():
    return snapshot(1, users=220)


@pytest.fixture(autouse=True)
def _few_users_are_enough(monkeypatch):
    monkeypatch.setattr(choosing, "FEWEST_USERS", 15)


def split_of(world, scenario, sources=("films",), stage="choose"):
    return getattr(Protocol(world, "books", sources, 0.4, 12 * DAY, 0, "cpu"), scenario)(stage)


@pytest.mark.parametrize("scenario", ["cold", "time"])
def test_every_peer_can_be_made_again_from_its_settings(task, scenario):
    for scorers in peers(scenario, task).values():
        for name, (scorer, _) in scorers.items():
            again = make(kind_of(name), json.loads(json.dumps(scorer.settings)))
            assert (type(again), again.settings) == (type(scorer), scorer.settings)


def test_peers_are_measured_on_the_target_and_with_sources_on_the_union(task):
    assert set(peers("time", task)) == ALONE | UNIONS
    assert set(peers("time", task.twin())) == ALONE
    for peer, scorers in peers("time", task).items():
        assert {of.sources for _, of in scorers.values()} == {task.sources if peer in UNIONS else ()}
        assert all(name.endswith("@target") != (peer in UNIONS) for name in scorers)


class Contrary(EASE):
    def score(self, past):
        return -super().score(past)


def test_the_setting_that_is_best_on_validation_users_is_picked(plenty, monkeypatch):
    settings = {"ease:r1": Contrary(10.0), "ease:r10": EASE(10.0)}
    monkeypatch.setattr(module, "_families", lambda scenario, items: {"ease": settings})
    said = []
    picked = choose_peers(split_of(plenty, "cold"), 5, said.append)
    assert picked["cold"]["ease_union"] == "ease:r10"
    assert set(picked["cold"]) == {"recent_popularity", "ease_union", "joint_svd", *EMCDR, *TEXTS}
    assert any("ease_union" in line for line in said)


def test_what_is_chosen_while_tuning_is_small_and_what_is_measured_is_not(task):
    tuned, measured = (
        {
            scorer.settings["most"]
            for made in found.values()
            for scorer, _ in made.values()
            if type(scorer) is EASE
        }
        for found in (peers("time", task, module.CHOOSING_ITEMS), peers("time", task))
    )
    assert (tuned, measured) == ({module.CHOOSING_ITEMS}, {module.EASE_ITEMS})


def test_peers_are_tuned_on_the_users_the_bridge_is_chosen_on(plenty):
    split = split_of(plenty, "time")
    assert set(choose_peers(split, 5, str)) == set(choose(split, 5, str))
    assert choose_peers(split_of(snapshot(0, users=20), "cold"), 5, str) == {}


def test_without_evidence_the_first_setting_is_measured_and_sparse_users_get_that_of_warm(task):
    made = peers("time", task)["als"]
    picked = {"warm": {"als": "union_als:f16-l30@target"}}
    assert list(made).index("union_als:f16-l30@target") > 0
    assert setting("als", made, "sparse", picked) == setting("als", made, "warm", picked) == list(made)[1]
    assert setting("als", made, "sparse", {}) == next(iter(made))
    assert setting("als", made, "sparse", {"sparse": {"als": "mine"}, **picked}) == "mine"


def test_every_cohort_is_measured_with_its_own_setting(plenty):
    asked = Asked.of(split_of(plenty, "time", stage="measure"))
    names = {"sparse": "ease:r500@target", "warm": "ease:r100@target"}
    picked = {cohort: {"ease": name} for cohort, name in names.items()}
    mixed = dict(zip(peers("time", asked.split.task), peer_lists(asked, picked, 5, str), strict=True))["ease"]
    popular = popular_row(asked.split.task)
    for cohort, name in names.items():
        scorer, of = peers("time", asked.split.task)["ease"][name]
        rows = np.flatnonzero(asked.cohorts == cohort)
        expected = rank(scorer.fit(of), popular, asked.past.rows(rows), "books", 5)
        assert len(rows)
        assert [mixed["items"][int(row)].as_py() for row in rows] == expected.tolist()


def test_what_a_candidate_and_a_peer_share_is_fitted_once(plenty, monkeypatch):
    made = []
    fit = UnionALS.fit
    monkeypatch.setattr(UnionALS, "fit", lambda self, task: made.append(task.domains) or fit(self, task))
    split = split_of(plenty, "time")
    choose(split, 5, str)
    before = len(made)
    assert before
    choose_peers(split, 5, str)
    assert len(made) == before
    alone = {n: s for n, s in scenario_candidates("time", split.task.twin()).items() if "als" in n}
    name, scorer = next(iter(alone.items()))
    assert fitted(name, scorer, split.task.twin()) is not scorer
    assert fitted(name, scorer, split_of(plenty, "cold").task.twin()) is scorer


@pytest.fixture(scope="module")
def trained(plenty):
    settings = TrainSettings(k=5, cold_user_fraction=0.3, horizon=12 * DAY, device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "FEWEST_USERS", 15)
        return train(plenty, "books", ["films"], settings)


def lists_of(training, candidate, scenario):
    rows = training.lists.to_pylist()
    return [r for r in rows if (r["candidate"], r["scenario"]) == (candidate, scenario)]


@pytest.mark.parametrize("scenario", ["cold", "time"])
def test_every_peer_is_measured_on_the_same_users_with_whole_lists(trained, scenario):
    expected = [(r["user_id"], r["cohort"], r["relevant"]) for r in lists_of(trained, "bridge", scenario)]
    assert set(trained.lists["candidate"].to_pylist()) == {*CANDIDATES, *ALONE, *UNIONS}
    for name in ALONE | UNIONS:
        rows = lists_of(trained, name, scenario)
        assert [(r["user_id"], r["cohort"], r["relevant"]) for r in rows] == expected
        assert all(len(set(r["items"])) == 5 for r in rows)


def test_a_peer_of_the_target_alone_lists_what_is_popular_to_cold_users(trained):
    popular = [r["items"] for r in lists_of(trained, "popularity", "cold")]
    for name in ("item_knn", "ease", "als"):
        assert [r["items"] for r in lists_of(trained, name, "cold")] == popular
    for name in UNIONS:
        assert [r["items"] for r in lists_of(trained, name, "cold")] != popular


def test_a_user_of_whom_a_peer_knows_nothing_gets_what_is_popular(trained, plenty):
    """Cold users of films alone have no line in it either: the tie-break is all that speaks."""
    films = plenty.interactions["films"].counts()
    rows = {r["user_id"]: r["items"] for r in lists_of(trained, "popularity", "cold")}
    unknown = [u for u in rows if films[np.searchsorted(plenty.users, u)] == 0]
    assert unknown
    for name in UNIONS - EMCDR:  # what a map says of nobody is its mean
        found = {r["user_id"]: r["items"] for r in lists_of(trained, name, "cold")}
        assert all(found[u] == rows[u] for u in unknown)


def test_the_union_carries_planted_taste_to_cold_users(trained):
    hits = {
        name: np.mean([len({*r["items"]} & {*r["relevant"]}) for r in lists_of(trained, name, "cold")])
        for name in ("popularity", *UNIONS)
    }
    # A joint SVD of more factors than the tiny world has items gives back what it was given.
    assert all(hits[name] > 1.3 * hits["popularity"] for name in UNIONS - {"joint_svd"}), hits


def test_peers_are_recorded_and_not_served(trained):
    assert set(trained.selection["peers"]["cold"]) == {"recent_popularity", *UNIONS}
    for model in trained.candidates.values():
        assert all(kind_of(name) not in ("ease", "item_knn") for name in model.members)
        assert json.loads(json.dumps(dict(model.settings)))["peers"] == trained.selection["peers"]


def test_popularity_orders_only_what_a_peer_leaves_level(task):
    """Lexicographic by hand: the peer's score, then popularity, then the lower position."""

    class Rough:
        def score(self, past):
            return torch.from_numpy(np.round(rough[: len(past)], 1) * 1e4)

    rough = np.random.default_rng(5).random((100, 40)).astype(np.float32)
    rough[:3] = 0.7
    past = histories(task.interactions, np.arange(100))
    popular = popular_row(task)
    found = rank(Rough(), popular, past, "books", 40)
    for user, row in enumerate(found):
        fresh = np.setdiff1d(np.arange(40), past.weights["books"][user].indices)
        keys = zip(-np.round(rough[user, fresh], 1), -popular[0, fresh].numpy(), fresh, strict=True)
        assert row[row >= 0].tolist() == [item for *_, item in sorted(keys)]


def test_memory_blocks_change_no_list(task, monkeypatch):
    past, popular = histories(task.interactions, np.arange(100)), popular_row(task)
    scorer = make("ease", {"ridge": 10.0}).fit(task)
    whole = rank(scorer, popular, past, "books", 5)
    monkeypatch.setattr(module, "CHUNK_SCORES", 7 * 40)
    assert np.array_equal(rank(scorer, popular, past, "books", 5), whole)


def test_a_world_without_sources_has_peers_too():
    settings = TrainSettings(k=5, cold_user_fraction=0.3, horizon=12 * DAY, device="cpu")
    found = train(snapshot(3, users=60), "books", [], settings)
    assert set(found.lists["candidate"].to_pylist()) == {*CANDIDATES, *ALONE}
