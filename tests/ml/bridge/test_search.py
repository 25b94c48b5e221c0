"""What a search may set, what a scorer alone is worth, and what was found as candidates of a training."""

import json
from dataclasses import replace

import bridge_world
import numpy as np
import pytest
import torch
from bridge_world import DAY, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bridge.histories import histories
from ml.bridge.protocol import Protocol
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.union import UnionALS
from ml.bridge.select import choose as choosing
from ml.bridge.select.blend import Pool
from ml.bridge.select.candidates import kind_of, make, scenario_candidates
from ml.bridge.select.choose import try_all
from ml.bridge.select.search import worth
from ml.bridge.select.search_space import SPACE, OneOf, found_candidates, made, space
from ml.bridge.train import Training, TrainSettings, protocol_of, train

WORLD = snapshot()
TASK = bridge_world.task_of(WORLD)
SCENARIOS = ("cold", "time")
FOUND = {
    "cold": [("item_bridge:f4-r10-t0.3", {"rank": 4, "ridge": 10.0, "text": 0.3})],
    "time": [("item_knn:n12-s2-tau3", {"neighbours": 12, "shrink": 2.0, "tau": 3.0})],
}


@st.composite
def drawn(draw, sources=("films", "tools"), scenarios=SCENARIOS):
    """A scenario, a family and settings of its own."""
    scenario = draw(st.sampled_from(scenarios))
    families = space(scenario, TASK.reading(sources))
    family = draw(st.sampled_from(sorted(families)))
    found = {}
    for key, what in families[family].items():
        if isinstance(what, OneOf):
            found[key] = draw(st.sampled_from(what.values))
        else:
            exponent = draw(st.floats(np.log(what.low), np.log(what.high)))
            found[key] = what.rounded(float(np.exp(exponent)))
            assert what.low <= found[key] <= what.high
    return scenario, family, found


@given(drawn())
@settings(max_examples=25, deadline=None)
def test_any_settings_of_the_space_make_a_scorer_that_can_be_saved(case):
    _, family, chosen = case
    name, scorer = made(family, chosen, TASK)
    assert name.startswith(f"{family}:")
    past = histories(TASK.interactions, np.arange(30))
    scores = scorer.fit(replace(TASK, memo={})).score(past)
    assert scores.shape == (30, bridge_world.SIZES["books"])
    assert scores.isfinite().all()
    again = make(kind_of(name), json.loads(json.dumps(scorer.settings)))
    assert torch.equal(again.restore(*scorer.state()).score(past), scores)


@given(drawn(), drawn())
@settings(max_examples=200, deadline=None)
def test_a_name_tells_settings_apart(one, other):
    """Candidates are known by their names: two of one name must be one."""
    names, facts = zip(*((made(f, s, TASK)[0], (f, s)) for _, f, s in (one, other)), strict=True)
    assert (names[0] == names[1]) == (facts[0] == facts[1])


def test_built_in_names_mean_the_same_settings():
    """A found candidate that has a built-in one's name takes its place: it must be the same."""
    for scenario, family, chosen in (
        ("cold", "item_knn", {"neighbours": 1000, "shrink": 100.0}),
        ("cold", "ease", {"ridge": 1000.0}),
        ("time", "ease", {"ridge": 100.0, "tau": 3.0}),
        ("time", "next_items", {"tau": 3.0, "ridge": 20.0}),
    ):
        name, scorer = made(family, chosen, TASK)
        assert scenario_candidates(scenario, TASK)[name].settings == scorer.settings


def test_the_space_is_what_the_task_can_use():
    textless = bridge_world.task_of(WORLD.with_vectors({}))
    assert set(space("time", TASK)) == set(SPACE)
    assert set(space("cold", TASK)) == set(SPACE) - {"next_items"}
    assert space("cold", TASK.twin()) == {}
    assert set(space("time", TASK.twin())) == {"union_als", "item_knn", "ease", "next_items"}
    assert "tau" not in space("cold", TASK)["ease"]
    assert "tau" in space("time", TASK)["ease"]
    for family, keys in space("time", textless).items():
        assert "text" not in keys
        assert "text" in SPACE[family] or keys == SPACE[family]


def split_of(monkeypatch, scenario="cold", world=None):
    monkeypatch.setattr(choosing, "FEWEST_USERS", 10)
    protocol = Protocol(world or snapshot(1, users=220), "books", ("films",), 0.4, 12 * DAY, 0, "cpu")
    return getattr(protocol, scenario)("choose")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_worth_is_what_selection_would_say_of_the_scorer_alone(monkeypatch, scenario):
    split = split_of(monkeypatch, scenario)
    name, k = "joint_svd:f64", 5
    found = worth(split, scenario_candidates(scenario, split.task)[name], k)
    for cohort, tried in try_all(split, k, str).items():
        pool: Pool = tried.pool
        # Selection keeps scores in half precision, which may swap two neighbours of a list.
        assert found.values[cohort] == pytest.approx(float(pool.value(pool.scores[name], k).mean()), abs=5e-3)
        assert found.users[cohort] == len(pool.relevant_count)
    assert found.mean == pytest.approx(np.mean(list(found.values.values())))


def test_worth_orders_what_knows_the_taste_above_what_does_not(monkeypatch):
    split = split_of(monkeypatch)
    knowing, popular = (worth(split, scorer, 5) for scorer in (UnionALS(6, 5.0, 5.0), Popularity()))
    assert knowing.values["cold"] > 1.2 * popular.values["cold"]
    assert 0 <= popular.ndcg["cold"] <= 1
    assert split.task.memo == {}  # nothing of a trial stays in memory


def test_nobody_to_ask_is_said(monkeypatch):
    split = split_of(monkeypatch)
    monkeypatch.setattr(choosing, "FEWEST_USERS", 10_000)
    with pytest.raises(ValueError, match="too few validation users"):
        worth(split, Popularity(), 5)


def test_found_settings_are_the_twins_too_where_they_need_no_source():
    task = replace(TASK, found={**FOUND, "time": [*FOUND["time"], *FOUND["cold"]]})
    assert set(found_candidates("time", task)) == {"item_knn:n12-s2-tau3", "item_bridge:f4-r10-t0.3"}
    assert set(found_candidates("time", task.twin())) == {"item_knn:n12-s2-tau3"}
    assert found_candidates("cold", task.twin()) == {}
    assert found_candidates("cold_items", task) == {}


def train_settings(**found):
    return TrainSettings(k=5, cold_user_fraction=0.3, horizon=12 * DAY, device="cpu", **found)


@pytest.mark.slow
def test_found_candidates_compete_are_chosen_and_survive_the_files(monkeypatch, tmp_path):
    """The world has four tastes: four factors tell them better than the 64 of the built-in grid."""
    monkeypatch.setattr(choosing, "FEWEST_USERS", 15)
    world, said = snapshot(1, users=220), []
    training = train(world, "books", ["films"], train_settings(found=FOUND), said.append)
    for name in ("item_bridge:f4-r10-t0.3", "item_knn:n12-s2-tau3", "item_knn:n12-s2-tau3@target"):
        assert any(f"trying {name} " in line for line in said), name
    assert "item_bridge:f4-r10-t0.3" in training.selection["cohorts"]["cold"]["bridge"]
    assert training.selection["train_settings"]["found"]["cold"][0][0] == "item_bridge:f4-r10-t0.3"
    training.save(tmp_path)
    again = Training.load(tmp_path)
    expected = training.candidates["bridge"].recommend(world.users, 5)
    assert again.candidates["bridge"].recommend(world.users, 5).equals(expected)


def test_without_a_search_a_training_says_nothing_of_one(tmp_path):
    few = snapshot(0, users=40)
    written = []
    for number, asked in enumerate((train_settings(), train_settings(found={}))):
        train(few, "books", ["films"], asked).save(tmp_path / str(number))
        written.append((tmp_path / str(number) / "selection.json").read_bytes())
    assert written[0] == written[1]
    assert b"found" not in written[0]


def test_the_search_asks_the_users_that_training_asks():
    protocol, _ = protocol_of(WORLD, "books", ["tools", "films"], train_settings(found=FOUND))
    expected = Protocol(WORLD, "books", ("films", "tools"), 0.3, 12 * DAY, 0, "cpu")
    for scenario in SCENARIOS:
        mine, theirs = (getattr(p, scenario)("choose") for p in (protocol, expected))
        assert np.array_equal(mine.users, theirs.users)
        assert mine.task.found == FOUND
