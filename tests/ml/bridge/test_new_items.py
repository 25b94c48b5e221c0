"""Room for new items: the last places and no more, never what is seen or filtered, explained and measured."""

from dataclasses import replace

import cold_item_world
import numpy as np
import pytest
from cold_item_world import HORIZON
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ml.bridge import load
from ml.bridge.select import choose as choosing
from ml.bridge.serve.new_items import NEW, NewItems, given_room, without_listed
from ml.bridge.train import CANDIDATES, TrainSettings, train
from ml.metrics.report import evaluate
from ml.retrieval.filters import ItemAttributes, parse_filter

SLOTS, K = 2, 6
NEVER = np.arange(28, 36)


@pytest.fixture(scope="module")
def late():
    """Books 28 to 35 are new to whoever is served; the measured splits have new books of their own."""
    return cold_item_world.never_touched(cold_item_world.world(), NEVER)


@pytest.fixture(scope="module")
def training(late):
    asked = TrainSettings(K, 0.3, HORIZON, 0, "cpu", cold_item_slots=SLOTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "FEWEST_USERS", 15)
        return train(late, "books", ["films"], asked)


@pytest.fixture(scope="module")
def model(training):
    return training.candidates["bridge"]


def test_the_last_places_are_given_by_hand():
    ranked = np.array([[5, 3, 1, 0], [5, 3, -1, -1], [2, -1, -1, -1], [4, 3, 2, 1]])
    scores = np.where(ranked >= 0, [[4.0, 3.0, 2.0, 1.0]], -np.inf).astype(np.float32)
    new = np.array([[8, 9], [8, 9], [9, -1], [-1, -1]])
    worth = np.where(new >= 0, [[0.7, 0.6]], -np.inf).astype(np.float32)
    positions, values, is_new = given_room(ranked, scores, new, worth)
    assert positions.tolist() == [[5, 3, 8, 9], [5, 3, 8, 9], [2, 9, -1, -1], [4, 3, 2, 1]]
    assert is_new.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert values[0].tolist() == pytest.approx([4.0, 3.0, 0.7, 0.6])
    assert values[2].tolist() == pytest.approx([4.0, 0.7, -np.inf, -np.inf])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8), st.integers(1, 7))
def test_nothing_is_lost_but_the_last_places(seed, k, slots):
    rng = np.random.default_rng(seed)
    held, count = rng.integers(0, k + 1), min(rng.integers(0, slots + 1), k - 1)
    ranked, new = np.full((1, k), -1), np.full((1, min(slots, k - 1)), -1)
    items = rng.permutation(30)
    ranked[0, :held], new[0, :count] = items[:held], items[held : held + count]
    positions, _, is_new = given_room(ranked, ranked * 1.0, new, new * 1.0)
    kept = min(held, k - count)
    expected = [*items[:kept], *items[held : held + count]]
    assert positions[0].tolist() == expected + [-1] * (k - len(expected))
    assert is_new[0].sum() == count


def test_the_first_place_is_never_given_away():
    assert [NewItems(np.ones(3, bool), 5).room(k) for k in (1, 2, 6, 10)] == [0, 1, 5, 5]
    with pytest.raises(ValueError, match="at least 1"):
        NewItems(np.ones(3, bool), 0)


def test_what_is_listed_and_what_is_seen_do_not_come_again():
    seen = sparse.csr_matrix(np.array([[0.0, -2.0, 0.0, 0.0]]))
    ranked = np.array([[2, -1]])
    assert without_listed(seen, ranked, True).indices.tolist() == [1, 2]
    assert without_listed(seen, ranked, False).indices.tolist() == [2]


def test_lists_end_with_new_items_that_nobody_has_touched(model, late):
    users = late.users[:120]
    with_room = model.recommend(users, K).to_pylist()
    without = {u: [] for u in users}
    for row in replace(model, new_items=None).recommend(users, K).to_pylist():
        without[row["user_id"]].append(row["item_id"])
    log, never = late.interactions["books"], {f"books-{i:03d}" for i in NEVER}
    assert not np.isin(log.items, NEVER).any()
    for user in users:
        mine = [row for row in with_room if row["user_id"] == user]
        new = [row["item_id"] for row in mine if row["reason"] == NEW]
        assert [row["rank"] for row in mine] == list(range(1, len(mine) + 1))
        assert set(new) <= never
        assert len(new) <= SLOTS
        listed = [row["item_id"] for row in mine]
        assert len(set(listed)) == len(listed) == K
        assert listed == without[user][: K - len(new)] + new
    assert sum(row["reason"] == NEW for row in with_room) > 100


def test_users_of_whom_nothing_is_known_get_no_new_item(model, late):
    lists = model.recommend([late.users[-1], "a stranger"], K)
    assert not any(reason.startswith("new item") for reason in lists["reason"].to_pylist())
    assert len(lists) == 2 * K


def test_reasons_name_what_a_new_item_is_like_and_sum_to_its_score(model, late):
    lists = model.recommend(late.users[:40], K, explain=True).to_pylist()
    new = [row for row in lists if row["reason"].startswith("new item")]
    assert any(row["reason"].startswith("new item like “") for row in new)
    for row in new[:20]:
        total = model.explain(row["user_id"], [row["item_id"]], as_new=True).total()[0]
        assert abs(total - row["score"]) < 1e-4


def test_filters_hold_for_new_items_too(model, late):
    gone = np.isin(np.arange(40), NEVER[:6])
    known = replace(model, attributes=ItemAttributes(40, available=~gone))
    ids = {f"books-{i:03d}" for i in NEVER[:6]}
    assert not ids & set(known.recommend(late.users[:60], K)["item_id"].to_pylist())
    everything = known.recommend(late.users[:60], K, only=parse_filter([], include_unavailable=True))
    assert ids & set(everything["item_id"].to_pylist())


def test_a_saved_model_gives_the_same_places(model, late, tmp_path):
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.new_items.slots == SLOTS
    assert again.recommend(late.users, K).equals(model.recommend(late.users, K))


def test_cold_items_are_measured_apart_and_do_not_count_in_all(training):
    report = evaluate(training.lists, 40, K)
    cold = {r.candidate: r for r in report.rows if (r.cohort, r.metric) == ("cold_items", "recall")}
    assert set(cold) == set(CANDIDATES)
    assert cold["twin"].mean > cold["popularity"].mean
    users = {r.cohort: r.users for r in report.rows if (r.candidate, r.metric) == ("bridge", "recall")}
    assert users["all"] == sum(users.get(cohort, 0) for cohort in ("cold", "sparse", "warm"))
    assert set(training.selection["cohorts"]["cold_items"]) >= {"bridge", "twin", "gain"}
    rows = training.lists.to_pylist()
    listed = [row for row in rows if row["cohort"] == "cold_items" and row["candidate"] == "bridge"]
    # Books 4 to 15 came out in the measured horizon, 28 to 35 never did; all the others were known.
    assert {item for row in listed for item in row["items"]} <= {*range(4, 16), *NEVER}
    assert {item for row in listed for item in row["relevant"]} <= set(range(4, 16))


def test_lists_are_also_measured_as_users_see_them(training):
    key = ("scenario", "cohort", "candidate", "user_id")
    plain = {tuple(row[n] for n in key): row["items"] for row in training.lists.to_pylist()}
    shown = {tuple(row[n] for n in key): row["items"] for row in training.reranked.to_pylist()}
    assert set(shown) == {name for name in plain if name[2] in CANDIDATES}
    changed = [name for name in shown if shown[name] != plain[name]]
    assert changed
    assert {name[0] for name in changed} >= {"time"}
    assert all(name[2] != "popularity" for name in changed)
    for name in changed:
        assert shown[name][: K - SLOTS] == plain[name][: K - SLOTS]


def test_without_slots_a_model_carries_nothing_for_new_items(late):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "FEWEST_USERS", 15)
        found = train(late, "books", [], TrainSettings(K, 0.3, HORIZON, 0, "cpu"))
    model = found.candidates["twin"]
    assert model.new_items is None
    assert not any(name.startswith(("text_neighbours", "carried")) for name in model.members)
    assert found.reranked is None
    assert "cold_items" in found.selection["cohorts"]
