"""Cold items: what scores them keeps the contract, agrees with independent sums, and finds planted taste."""

import json

import bridge_world
import cold_item_world
import numpy as np
import pytest
import torch
from cold_item_world import HORIZON, LATE
from safetensors.numpy import load_file, save_file

from ml.bridge.blocks.profiles import TextProfile
from ml.bridge.histories import histories
from ml.bridge.scorers.cold_items import DOUBT, CarriedByText, TextNeighbours
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.scorers.union import UnionALS
from ml.bridge.select import choose as choosing
from ml.bridge.select.candidates import kind_of, make, scenario_candidates
from ml.bridge.select.choose import choose
from ml.factorize.kernel import cosine, stacked
from ml.retrieval.exact import top_k_scores
from ml.text.alignment.whitening import whitened

USERS = np.arange(400)


@pytest.fixture(scope="module")
def late():
    return cold_item_world.world()


@pytest.fixture(scope="module")
def split(late):
    return cold_item_world.protocol_of(late).cold_items("measure")


@pytest.fixture(params=["text_neighbours:p4", "carried:union_als", "carried:text"])
def named(request, split):
    return request.param, scenario_candidates("cold_items", split.task)[request.param]


def test_the_split_asks_for_untouched_items_alone(late):
    protocol = cold_item_world.protocol_of(late)
    asked = {}
    for stage, end in (("choose", bridge_world.AS_OF - HORIZON), ("measure", bridge_world.AS_OF)):
        split = protocol.cold_items(stage)
        known = protocol.time(stage).task.interactions["books"]
        assert max(known.times) < end - HORIZON
        assert not set(np.flatnonzero(split.allowed)) & set(known.items)
        # Item 0 was never touched, and has no text to be found by.
        assert split.allowed.sum() == len(np.setdiff1d(np.arange(2, 40), known.items))
        assert set(split.truth.items) <= set(LATE[end - HORIZON])
        assert ((split.truth.times >= end - HORIZON) & (split.truth.times < end)).all()
        assert (split.truth.counts()[split.users] > 0).all()
        asked[stage] = set(split.users)
        assert len(asked[stage]) > 30
    assert not asked["choose"] & asked["measure"]
    # Users whom the target does not know yet are asked too, where a source knows them.
    assert (split.task.interactions["books"].counts()[split.users] == 0).any()


def test_without_text_nobody_is_asked(late):
    protocol = cold_item_world.protocol_of(late.with_vectors({}))
    assert len(protocol.cold_items("choose").users) == 0
    assert choose(protocol.cold_items("choose"), 5, print) == {}


def test_parts_sum_to_the_score_and_name_items_of_the_history(named, split):
    scorer = named[1].fit(split.task)
    items = np.array([4, 9, 15, 0, 30])
    for user in [*split.users[:12], *USERS[-2:]]:
        past = histories(split.task.interactions, np.array([user]))
        parts = scorer.parts(past, items)
        assert np.abs(parts.total() - scorer.score(past)[0, items].numpy()).max() < 1e-4
        for domain, (positions, values) in parts.by_domain.items():
            assert values.shape == (len(positions), len(items))
            assert set(positions) <= set(past.weights[domain].indices)


def test_state_and_restore_through_files_change_nothing(named, split, tmp_path):
    name, scorer = named
    facts, arrays = scorer.fit(split.task).state()
    save_file({key: np.ascontiguousarray(a) for key, a in arrays.items()}, tmp_path / "arrays.safetensors")
    held = json.loads(json.dumps({"settings": scorer.settings, "facts": facts}))
    again = make(kind_of(name), held["settings"])
    again.restore(held["facts"], load_file(tmp_path / "arrays.safetensors"))
    past = histories(split.task.interactions, USERS)
    assert torch.equal(again.score(past), scorer.score(past))
    assert again.settings == scorer.settings
    assert tuple(again.domains) == tuple(scorer.domains)


def test_neighbours_are_worth_the_sum_over_the_past(split):
    """Against loops over the past items of a user."""
    task = split.task
    scorer = TextNeighbours(3.0, rank=6, floor=0.5).fit(task)
    together = stacked([task.catalogues[d].vectors for d in task.domains], [50, 40])
    texts = cosine(whitened(together, 6, 0.5)).astype(np.float64)
    first = {"films": 0, "books": 50}
    for user in split.users[:5]:
        past = histories(task.interactions, np.array([user]))
        expected = np.zeros(40)
        for domain, start in first.items():
            row = past.weights[domain]
            for item, weight in zip(row.indices, row.data, strict=True):
                for new in np.flatnonzero(split.allowed):
                    expected[new] += weight * max(texts[start + item] @ texts[50 + new], 0) ** 3
        assert np.abs(scorer.score(past)[0].numpy() - expected).max() < 1e-4
        assert not expected[~split.allowed].any()


def test_carried_scores_are_those_of_the_columns_of_a_bridge_learned_from_text(split):
    """A ridge of B's columns on the items' text, solved as least squares with rows for the penalty."""
    task = split.task
    bridge = RidgeBridge([(TextProfile("films", 6), 1.0)], ridge=2.0)
    scorer = CarriedByText(bridge, "ridge", ridge=0.5, rank=6).fit(task)
    arrays = bridge.state()[1]
    B = np.vstack([arrays["map0"], arrays["constant"][None]]).astype(np.float64)
    counts = np.bincount(task.interactions["books"].items, minlength=40)
    has = task.catalogues["books"].has_vector
    trust = np.where(has, counts / (counts + DOUBT), 0)
    Z = whitened(task.catalogues["books"].vectors, 6, 0.05).astype(np.float64)
    Z = np.where(has[:, None], Z - trust @ Z / trust.sum(), 0)
    penalty = 0.5 * np.mean(np.linalg.eigvalsh((Z * trust[:, None]).T @ Z))
    root = np.sqrt(trust)[:, None]
    learned = np.linalg.lstsq(
        np.vstack([root * Z, np.sqrt(penalty) * np.eye(6)]), np.vstack([root * B.T, np.zeros((6, len(B)))])
    )[0]
    past = histories(task.interactions, split.users)
    features = np.hstack([bridge.blocks[0][0].encode(past), np.ones((len(past), 1))])
    assert np.abs(scorer.score(past).numpy() - features @ learned.T @ Z.T).max() < 1e-4


def test_each_finds_the_planted_taste(split):
    small = {
        "neighbours": TextNeighbours(),
        "factors": CarriedByText(UnionALS(6, 5.0, 5.0), "union_als"),
        "text": scenario_candidates("cold_items", split.task)["carried:text"],
    }
    chance = hits(torch.zeros((len(split.users), 40)), split)
    for name, scorer in small.items():
        assert hits(scorer.fit(split.task).score(split.past), split) > 1.4 * chance, name


def hits(scores, split, k=4):
    ranked = top_k_scores(scores, k, allowed=split.allowed)[0]
    truth = split.truth.matrix()[split.users].toarray() > 0
    return np.take_along_axis(truth, ranked, axis=1).sum()


def test_selection_finds_more_where_texts_tell_taste_than_where_they_are_noise(late, monkeypatch):
    monkeypatch.setattr(choosing, "FEWEST_USERS", 15)
    found = choose(cold_item_world.protocol_of(late).cold_items("choose"), 4, lambda line: None)
    assert set(found) == {"cold_items"}
    choice = found["cold_items"]
    assert choice.evidence["twin_value"] > 0
    assert any(name != "popularity" for name in choice.bridge.weights)
    noise = cold_item_world.protocol_of(cold_item_world.meaningless(late)).cold_items("choose")
    by_noise = choose(noise, 4, lambda line: None)["cold_items"]
    assert by_noise.evidence["twin_value"] < choice.evidence["twin_value"]
