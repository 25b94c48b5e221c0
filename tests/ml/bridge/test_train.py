"""End to end on the tiny world: choose, measure, refit, save; and targets with little to learn from."""

import json
from dataclasses import replace

import bridge_world
import numpy as np
import pytest
from bridge_world import AS_OF, DAY, snapshot

from ml.bridge.lists import LISTS_SCHEMA
from ml.bridge.measure import blends_of
from ml.bridge.protocol import Protocol, hash_fractions
from ml.bridge.select import choose as choosing
from ml.bridge.select.blend import Blend
from ml.bridge.select.choose import Choice
from ml.bridge.train import CANDIDATES, Training, TrainSettings, train
from ml.metrics.report import evaluate

SETTINGS = TrainSettings(
    k=5, cold_user_fraction=0.3, horizon=12 * DAY, seed=0, device="cpu", subsets={"cold": [("films",)]}
)


@pytest.fixture(scope="module")
def plenty():
    return snapshot(1, users=220)


@pytest.fixture(scope="module")
def training(plenty):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "FEWEST_USERS", 15)
        said = []
        found = train(plenty, "books", ["tools", "films"], SETTINGS, said.append)
    assert any("measuring" in line for line in said)
    assert any("@from-films" in line for line in said)  # what transferability would have it try
    return found


def lists_of(training, candidate, scenario):
    return [
        row
        for row in training.lists.to_pylist()
        if row["candidate"] == candidate and row["scenario"] == scenario
    ]


def test_lists_follow_the_schema_and_measure_the_same_users_for_every_candidate(training):
    assert training.lists.schema == LISTS_SCHEMA
    assert set(training.candidates) == set(CANDIDATES)
    for scenario, cohorts in (("cold", {"cold"}), ("time", {"sparse", "warm"})):
        bridge, twin, popularity = (lists_of(training, name, scenario) for name in CANDIDATES)
        assert bridge
        assert {row["cohort"] for row in bridge} == cohorts
        facts = [
            [(r["user_id"], r["cohort"], r["relevant"]) for r in rows] for rows in (bridge, twin, popularity)
        ]
        assert facts[0] == facts[1] == facts[2]


def test_cold_lists_ask_hidden_users_for_their_whole_target_history(training, plenty):
    log = plenty.interactions["books"]
    fractions = hash_fractions(plenty.users)
    rows = {row["user_id"]: row for row in lists_of(training, "bridge", "cold")}
    asked = {str(u) for u, f, n in zip(plenty.users, fractions, log.counts(), strict=True) if f < 0.3 and n}
    assert set(rows) == asked
    for user, row in rows.items():
        position = np.searchsorted(plenty.users, user)
        assert row["relevant"] == sorted(log.items[log.users == position].tolist())
        assert len(row["items"]) == 5


def test_time_lists_ask_for_what_comes_after_the_cut(training, plenty):
    log, cut = plenty.interactions["books"], AS_OF - SETTINGS.horizon
    rows = lists_of(training, "bridge", "time")
    for row in rows:
        mine = log.users == np.searchsorted(plenty.users, row["user_id"])
        assert row["relevant"] == sorted(log.items[mine & (log.times >= cut)].tolist())
        assert not set(row["items"]) & set(log.items[mine & (log.times < cut)].tolist())


@pytest.mark.slow
def test_the_measured_models_have_not_seen_the_hidden_history(training, plenty):
    """The cold lists are the same when the test users' hidden history is another one altogether."""
    protocol = Protocol(plenty, "books", ("films", "tools"), 0.3, SETTINGS.horizon, 0, "cpu")
    hidden = protocol.cold("measure").users
    log = plenty.interactions["books"]
    mine = np.isin(log.users, hidden)
    items = log.items.copy()
    items[mine] = (items[mine] + 7) % log.n_items
    moved = plenty.with_interactions(books=replace(log, items=items))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "FEWEST_USERS", 15)
        # The time scenario does ask some of these users: only the cold one is compared.
        other = train(moved, "books", ["tools", "films"], SETTINGS)
    assert other.selection["cohorts"]["cold"] == training.selection["cohorts"]["cold"]
    for name in CANDIDATES:
        found, expected = (
            {r["user_id"]: r["items"] for r in lists_of(one, name, "cold")} for one in (other, training)
        )
        assert found == expected


def test_selection_is_json_and_says_what_was_chosen(training, plenty):
    selection = json.loads(json.dumps(training.selection))
    assert selection["sources"] == ["films", "tools"]
    assert selection["train_settings"]["cold_user_fraction"] == 0.3
    assert selection["data_digest"] == plenty.digest
    assert "cold" in selection["cohorts"]
    assert selection["train_settings"]["subsets"] == {"cold": [["films"]]}
    assert [rung["candidate"] for rung in selection["ladder"]["cold"]] == ["bridge", "popularity"]
    assert selection["ladder"]["cold"][0]["blend"] == selection["cohorts"]["cold"]["bridge"]
    for cohort in selection["cohorts"].values():
        assert sum(cohort["bridge"].values()) == pytest.approx(1)
        assert all(name == "popularity" or name.endswith("@target") for name in cohort["twin"])


def test_the_planted_taste_reaches_cold_users(training):
    assert training.selection["cohorts"]["cold"]["sources_earned_their_place"]
    lifts = {
        (lift.cohort, lift.metric): lift
        for lift in evaluate(training.lists, bridge_world.SIZES["books"], 5).lifts
    }
    assert lifts["cold", "recall"].low > 0


def test_what_is_served_has_seen_the_test_users(training, plenty):
    log = plenty.interactions["books"]
    hidden = hash_fractions(plenty.users) < 0.3
    user = int(np.flatnonzero(hidden & (log.counts() > 4))[0])
    ids = plenty.catalogues["books"].item_ids[log.items[log.users == user]]
    for model in training.candidates.values():
        listed = model.recommend([plenty.users[user]], 40)["item_id"].to_pylist()
        assert set(listed) == set(plenty.catalogues["books"].item_ids) - set(ids)


def test_the_twin_carries_nothing_of_the_sources(training):
    assert set(training.candidates["twin"].logs) == {"books"}
    assert set(training.candidates["popularity"].logs) == {"books"}
    assert "films" in training.candidates["bridge"].logs


def test_a_training_that_is_loaded_is_the_one_saved(training, plenty, tmp_path):
    training.save(tmp_path / "t")
    again = Training.load(tmp_path / "t")
    assert again.lists.equals(training.lists)
    assert again.selection == json.loads(json.dumps(training.selection))
    users = [*plenty.users[:25].tolist(), "nobody"]
    for name in CANDIDATES:
        assert (
            again.candidates[name].recommend(users, 5).equals(training.candidates[name].recommend(users, 5))
        )
    training.save(tmp_path / "t")
    assert {p.name for p in (tmp_path / "t").iterdir()} == {*CANDIDATES, "lists.parquet", "selection.json"}


def test_a_folder_without_a_training_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="materialise `bridge`"):
        Training.load(tmp_path)


@pytest.mark.slow
def test_training_twice_gives_the_same(training, plenty, monkeypatch):
    monkeypatch.setattr(choosing, "FEWEST_USERS", 15)
    again = train(plenty, "books", ["films", "tools"], SETTINGS)
    assert again.lists.equals(training.lists)
    assert again.selection == training.selection
    for name in CANDIDATES:
        first, second = (t.candidates[name].recommend(plenty.users[:30], 5) for t in (training, again))
        assert first.equals(second)


def test_too_few_users_fall_to_popularity():
    few = snapshot(0, users=40)
    found = train(few, "books", ["films"], SETTINGS)
    assert found.selection["cohorts"] == {}
    lists = {name: lists_of(found, name, "cold") for name in CANDIDATES}
    assert [r["items"] for r in lists["bridge"]] == [r["items"] for r in lists["popularity"]]
    popular = found.candidates["popularity"].recommend(few.users, 5)
    for name in ("bridge", "twin"):
        assert found.candidates[name].recommend(few.users, 5).equals(popular)


def test_a_cohort_without_evidence_falls_down_the_ladder():
    warm, twin = Blend({"joint_svd:f64": 1.0}), Blend({"joint_svd:f64@target": 1.0})
    chosen = {"warm": Choice(warm, twin, {})}
    assert blends_of("bridge", chosen) == {"warm": warm, "sparse": warm}
    assert blends_of("twin", chosen) == {"warm": twin, "sparse": twin}
    assert blends_of("bridge", {"sparse": Choice(warm, twin, {})}) == {"sparse": warm}
    assert set(blends_of("popularity", chosen)) == {"cold", "sparse", "warm"}


def late(world, domain):
    """The domain opened two days before as-of: no cut of the time scenario sees anything of it."""
    return world.with_interactions(**{domain: world.interactions[domain].since(AS_OF - 2 * DAY)})


def one_item(world):
    log = world.interactions["books"]
    return world.with_interactions(books=log.select(log.items == log.items[0]))


POOR = {
    "no sources": (lambda w: w, []),
    "no text": (lambda w: w.with_vectors({}), ["films"]),
    "a source without interactions": (lambda w: bridge_world.without(w, "films"), ["films"]),
    "a source that has just opened": (lambda w: late(w, "films"), ["films"]),
    "a target without interactions": (lambda w: bridge_world.without(w, "books"), ["films"]),
    "a target that has just opened": (lambda w: late(w, "books"), ["films"]),
    "a target with one item": (one_item, ["films"]),
    "a single source user": (
        lambda w: w.with_interactions(
            films=w.interactions["films"].select(w.interactions["films"].users < 2)
        ),
        ["films"],
    ),
}


@pytest.mark.parametrize("case", sorted(POOR))
def test_a_poor_target_is_served_all_the_same(case, monkeypatch, tmp_path):
    monkeypatch.setattr(choosing, "FEWEST_USERS", 3)
    spoil, sources = POOR[case]
    world = spoil(snapshot(3, users=60))
    found = train(world, "books", sources, SETTINGS)
    found.save(tmp_path / "t")
    log = world.interactions["books"]
    for name, model in Training.load(tmp_path / "t").candidates.items():
        table = model.recommend([*world.users, "nobody"], 3)
        assert len(table) == 3 * 61, name
        assert np.isfinite(table["score"].to_numpy()).all()
        explained = model.recommend(world.users[:5], 3, explain=True)
        assert explained["item_id"].equals(table["item_id"].slice(0, 15))
    assert found.lists.schema == LISTS_SCHEMA
    if not len(log):
        assert found.selection["cohorts"] == {}
        assert len(found.lists) == 0


def test_no_horizon_of_the_past_is_needed(monkeypatch):
    """A horizon longer than the whole log leaves the time scenario without users, and training goes on."""
    settings = TrainSettings(k=5, cold_user_fraction=0.3, horizon=2 * AS_OF, device="cpu")
    found = train(snapshot(0, users=40), "books", ["films"], settings)
    assert set(found.lists["scenario"].to_pylist()) == {"cold", "new_users"}
