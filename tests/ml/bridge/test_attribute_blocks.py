"""Attributes in the bridge: blocks by hand and under contract, noise left out, switches, serving."""

from __future__ import annotations

import json
from dataclasses import replace

import bridge_world
import numpy as np
import pytest
import torch
from scipy import sparse

from ml.bridge import Blocks, TrainSettings, load, train
from ml.bridge.blocks.association import LEVEL, association
from ml.bridge.blocks.attributes import ItemAttributeProfile, UserAttributeBlock, categories_of
from ml.bridge.blocks.profiles import TextProfile
from ml.bridge.blocks.switches import CATEGORY, p_values, switched, telling
from ml.bridge.contract import Task
from ml.bridge.histories import histories, past_and_next
from ml.bridge.protocol import Protocol
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.select.attribute_candidates import attribute_candidates
from ml.bridge.select.candidates import kind_of, make, scenario_candidates
from ml.bridge.serve.reasons import Support, because, by_block
from ml.data import Snapshot
from ml.retrieval.filters import ItemAttributes, Labels
from ml.user_attributes import UserAttributes

DAY = bridge_world.DAY
REGIONS = ("east", "north", "south", "west")
SETTINGS = TrainSettings(k=5, horizon=10 * DAY, device="cpu")
# Everything that changes what a block reads, none at its default.
ALL_OFF = Blocks(False, False, False, False, False)


def described(world: Snapshot, told: bool, domain: str = "films", seed: int = 1) -> Snapshot:
    """The world with a region and a gender of the users in `domain`: their taste's group, or nothing's."""
    users, rng = len(world.users), np.random.default_rng(seed)
    groups = np.random.default_rng(0).integers(bridge_world.GROUPS, size=users)
    drawn = rng.integers(bridge_world.GROUPS, size=users)
    region = np.where(rng.random(users) < 0.9, groups, drawn) if told else drawn
    known = (world.interactions[domain].counts() > 0) & (rng.random(users) < 0.95)
    names = (("gender", "f"), ("gender", "m"), *(("region", name) for name in REGIONS))
    cells = np.stack([rng.integers(2, size=users), 2 + region], axis=1)[known]
    pointers = np.concatenate([[0], np.cumsum(2 * known)])
    held = sparse.csr_matrix((np.ones(cells.size, np.float32), cells.ravel(), pointers), shape=(users, 6))
    log = replace(world.interactions[domain], attributes=UserAttributes(names, held))
    return world.with_interactions(**{domain: log})


def shelved(world: Snapshot, told: bool, domains: tuple[str, ...] = ("films",), seed: int = 2) -> Snapshot:
    """The world with item categories of the items' groups, or of nothing."""
    rng, catalogues = np.random.default_rng(seed), dict(world.catalogues)
    for domain in domains:
        n = len(catalogues[domain])
        groups = np.arange(n) % bridge_world.GROUPS if told else rng.integers(bridge_world.GROUPS, size=n)
        shelves = Labels.of([None, *(f"shelf {group}" for group in groups[1:])])
        catalogues[domain] = replace(catalogues[domain], attributes=ItemAttributes(n, category=shelves))
    return replace(world, catalogues=catalogues)


@pytest.fixture(scope="module")
def known() -> Snapshot:
    return shelved(described(bridge_world.snapshot(), told=True), told=True, domains=("films", "books"))


@pytest.fixture(scope="module")
def known_task(known: Snapshot) -> Task:
    return bridge_world.task_of(known)


@pytest.fixture(params=["users", "items", "both_to_factors", "target_next"])
def scorer(request) -> RidgeBridge:
    users, items = UserAttributeBlock("films"), ItemAttributeProfile("films", tau=2.0)
    return {
        "users": RidgeBridge([(users, 1.0)], 2.0),
        "items": RidgeBridge([(items, 1.0)], 2.0),
        "both_to_factors": RidgeBridge(
            [(items, 0.5), (users, 1.0), (TextProfile("tools"), 0.3)], 2.0, als=bridge_world.ALS
        ),
        "target_next": RidgeBridge([(ItemAttributeProfile("books", 2.0), 1.0)], 2.0, rows="next"),
    }[request.param]


def test_what_is_known_of_users_by_hand(known_task: Task) -> None:
    names = (("age", "30"), ("region", "north"), ("region", "south"))
    held = sparse.csr_matrix(np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]], np.float32))
    log = replace(bridge_world.log_of([(0, 1, 0, 2.0)], 3, 2), attributes=UserAttributes(names, held))
    block = UserAttributeBlock("d").fit(Task("d", (), {"d": log}, {}))
    past = histories({"d": log}, np.array([2, 0, 1]))
    half = np.sqrt(0.5)
    assert np.allclose(block.encode(past), [[0, 0, 0], [half, 0, half], [0, 1, 0]])
    labels, features = block.told(past.rows(slice(1, 2)))
    assert labels == ["age 30", "region south"]
    assert np.allclose(features, [[half, 0, 0], [0, 0, half]])
    # A newer file: another order, a value that the model does not know, one that is gone.
    newer = replace(log, attributes=UserAttributes((("region", "mars"), *names[:0:-1]), held))
    assert np.allclose(block.encode(histories({"d": newer}, np.arange(2))), [[0, 1, 0], [0, 0, 1]])
    assert not block.encode(histories({"d": replace(log, attributes=None)}, np.arange(3))).any()


def test_categories_of_past_items_by_hand() -> None:
    labels = Labels.of(["a"] * 5 + ["b"] * 6 + ["rare"] * 4 + [None])
    n = 16
    blank = np.full(n, None, object)
    catalogue = replace(
        bridge_world.snapshot().catalogues["books"],
        item_ids=blank,
        attributes=ItemAttributes(n, category=labels),
    )
    assert categories_of(catalogue).codes.tolist() == [0] * 5 + [1] * 6 + [-1] * 5
    log = bridge_world.log_of([(0, 1, 0, 3.0), (0, 2, 6, 1.0), (0, 3, 7, 3.0), (1, 4, 12, 1.0)], 2, n)
    block = ItemAttributeProfile("d").fit(Task("d", (), {"d": log}, {"d": catalogue}))
    assert np.allclose(block.encode(histories({"d": log}, np.arange(2))), [[0.6, 0.8], [0, 0]])
    assert (
        categories_of(replace(catalogue, attributes=ItemAttributes(n, category=Labels.of(["a"] * n)))) is None
    )


def test_parts_sum_to_the_score_and_name_what_is_known(scorer, known_task) -> None:
    scorer.fit(known_task)
    items = np.array([3, 0, 17, 39])
    for user in [*range(0, 120, 9), 118, 119]:
        past = histories(known_task.interactions, np.array([user]))
        parts = scorer.parts(past, items)
        assert np.abs(parts.total() - scorer.score(past)[0, items].numpy()).max() < 1e-4
        assert np.allclose(parts.constant + sum(by_block(parts).values()), parts.total())
        row = past.attributes["films"]
        held = {f"{a} {v}" for a, v in (past.attribute_names["films"][i] for i in row.indices)}
        reads = any(block.kind == "user_attributes" for block, _ in scorer.blocks)
        assert {label for _, label in parts.known} == (held if reads else set())


def test_a_scorer_survives_its_files_and_scores_a_user_alike_in_company(scorer, known_task) -> None:
    past = histories(known_task.interactions, np.arange(120))
    scores = scorer.fit(known_task).score(past)
    settings = json.loads(json.dumps(scorer.settings))
    again = make("ridge", settings).restore(*scorer.state())
    assert torch.equal(again.score(past), scores)
    assert again.settings == scorer.settings
    for user in (0, 7, 119):
        alone = scorer.score(histories(known_task.interactions, np.array([user])))[0]
        assert torch.allclose(alone, scores[user], atol=1e-5)
    read = histories({d: known_task.interactions[d] for d in scorer.domains}, np.arange(120))
    assert torch.equal(scorer.score(read), scores)


def test_a_missing_attribute_says_what_to_set(task: Task) -> None:
    with pytest.raises(ValueError, match=r"set domains\.films\.users"):
        UserAttributeBlock("films").fit(task)
    with pytest.raises(ValueError, match=r"set domains\.films\.items\.columns\.category"):
        ItemAttributeProfile("films").fit(task)


def test_a_cut_history_knows_its_user(known: Snapshot) -> None:
    log = known.interactions["films"]
    rows, past, _ = past_and_next(log, 2.0, 10_000, "films")
    assert (past.attributes["films"] != log.attributes.held[rows]).nnz == 0


def test_users_that_are_hidden_lose_their_attributes_too(known: Snapshot) -> None:
    protocol = Protocol(described(known, True, "books"), "books", ("films",), 0.3, 10 * DAY)
    split = protocol.cold("measure")
    assert not split.task.interactions["books"].attributes.known[split.users].any()
    assert split.task.interactions["films"].attributes.known[split.users].any()
    alone = attribute_candidates("cold", split.task.twin())
    assert alone == {}  # the target knows nothing of a cold user
    assert "attribute_bridge:r10" in attribute_candidates("time", split.task.twin())


def test_every_attribute_candidate_is_made_again_and_none_without_data(known_task: Task, task: Task) -> None:
    for scenario in ("cold", "time"):
        found = attribute_candidates(scenario, known_task)
        assert found.keys() <= scenario_candidates(scenario, known_task).keys()
        for name, candidate in found.items():
            assert make(kind_of(name), candidate.settings).settings == candidate.settings
        assert attribute_candidates(scenario, task) == {}
    assert set(attribute_candidates("cold", known_task)) == {
        "attribute_bridge:r10-sources",
        "item_bridge:r10-t1-user_attributes",
        "item_bridge:r10-t1-item_attributes",
    }
    assert set(attribute_candidates("time", known_task)) == {
        "attribute_bridge:r10",
        "next_items:tau3-r20-item_attributes",
    }


def test_the_test_of_association_is_exact_under_noise() -> None:
    """p-values of unrelated labels are at most `level` no more often than `level`; planted ones are found."""
    rng = np.random.default_rng(5)
    groups = rng.integers(3, size=60)
    liked = np.where(groups[:, None] == np.arange(12) % 3, 0.5, 0.2)
    taken = sparse.csr_matrix((rng.random((60, 12)) < liked).astype(np.float32))
    pointers = np.arange(61)

    def labels(codes):
        return sparse.csr_matrix((np.ones(60, np.float32), codes, pointers), shape=(60, 3))

    assert association(taken, labels(groups)) == LEVEL
    p = np.array([association(taken, labels(rng.permutation(groups)), seed) for seed in range(120)])
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() < level + 3 * np.sqrt(level * (1 - level) / 120)
    assert association(taken[:20], labels(groups)[:20]) == 1


def test_what_tells_nothing_is_not_offered(known: Snapshot) -> None:
    protocol = Protocol(shelved(known, False, ("tools",)), "books", ("films", "tools"), 0.2, 10 * DAY)
    p = p_values(protocol.cold("choose").task, known.as_of)
    assert p["films"]["region"] <= LEVEL < p["films"]["gender"]
    assert p["films"][CATEGORY] <= LEVEL < p["tools"][CATEGORY]
    seen = telling(protocol.snapshot, p)
    assert seen.interactions["films"].attributes.attributes == ("region",)
    assert seen.catalogues["tools"].attributes is None
    assert seen.catalogues["films"].attributes is not None
    assert p_values(protocol.cold("choose").task, 0)["films"] == {"gender": 1, "region": 1, CATEGORY: 1}


def test_the_tests_do_not_see_who_is_measured(known: Snapshot) -> None:
    """Whatever the test users took of the target, the p-values are the same."""

    def told(world: Snapshot):
        protocol = Protocol(world, "books", ("films",), 0.3, 10 * DAY)
        return p_values(protocol.cold("choose").task, world.as_of - 20 * DAY)

    protocol, log = Protocol(known, "books", ("films",), 0.3, 10 * DAY), known.interactions["books"]
    hidden = np.isin(log.users, protocol.cold("measure").users) | (log.times >= known.as_of - 10 * DAY)
    other = log.items.copy()
    other[hidden] = (other[hidden] + 1) % log.n_items
    assert told(known) == told(known.with_interactions(books=replace(log, items=other)))


def test_switches_take_the_data_away(known: Snapshot) -> None:
    log = known.interactions["films"]
    assert switched(known, Blocks()).interactions["films"].attributes.attributes == ("region",)
    both = switched(known, Blocks(sensitive=("gender",)))
    assert both.interactions["films"].attributes is log.attributes
    off = switched(known, ALL_OFF)
    assert off.interactions["films"].attributes is None
    assert all(c.attributes is None and c.vectors is None for c in off.catalogues.values())
    for scenario in ("cold", "time"):
        for name, candidate in scenario_candidates(scenario, bridge_world.task_of(off)).items():
            kinds = {block.kind for block, _ in getattr(candidate, "blocks", [])}
            assert not kinds & {"text_profile", "user_attributes", "item_attributes"}, name
    assert known.interactions["films"].attributes is log.attributes  # the snapshot itself is as it was


@pytest.fixture(scope="module")
def trained():
    """Users' books follow their taste; of their films only the users file of the films tells it."""
    world = described(bridge_world.snapshot(seed=0, users=500, tastes=("books",)), told=True)
    world = world.with_vectors({})
    return world, train(world, "books", ["films"], SETTINGS)


def test_an_attribute_that_decides_is_chosen_and_crosses(trained) -> None:
    _, training = trained
    chosen = training.selection["cohorts"]["cold"]
    assert chosen["sources_earned_their_place"]
    assert any("attribute" in name for name in chosen["bridge"])
    assert not any("attribute" in name for name in chosen["twin"])
    assert set(training.selection["attributes"]["films"]) == {"region"}  # gender was not asked for
    assert training.selection["attributes"]["films"]["region"] <= LEVEL


def test_a_saved_model_knows_the_same_of_its_users(trained, tmp_path) -> None:
    world, training = trained
    model = training.candidates["bridge"]
    model.save(tmp_path / "model")
    again, users = load(tmp_path / "model"), world.users[:60].tolist()
    lists = model.recommend(users, k=5, explain=True)
    assert again.recommend(users, k=5, explain=True).equals(lists)
    assert any("region" in reason for reason in lists["reason"].to_pylist())
    assert again.logs["films"].attributes.attributes == ("region",)
    assert model.at(world).recommend(users, k=5, explain=True).equals(lists)
    parts = again.explain(users[3], lists["item_id"].to_pylist()[15:20])
    assert np.allclose(parts.total(), lists["score"].to_numpy()[15:20], atol=1e-4)


def test_a_user_of_whom_only_attributes_are_known_is_no_stranger(trained) -> None:
    world, training = trained
    model, log = training.candidates["bridge"], world.interactions["films"]
    place = np.flatnonzero(log.attributes.known & (world.interactions["books"].counts() == 0))[0]
    mute = world.with_interactions(films=log.select(log.users != place))
    lists = model.at(mute).recommend([world.users[place]], k=5, explain=True)
    assert all("region" in reason for reason in lists["reason"].to_pylist())
    unsaid = replace(mute.interactions["films"], attributes=None)
    stranger = model.at(world.with_interactions(films=unsaid)).recommend([world.users[place]], k=5)
    assert "no history" in stranger["reason"][0].as_py()


def test_a_switch_of_the_settings_reaches_the_training(trained) -> None:
    world, _ = trained
    off = train(world, "books", ["films"], replace(SETTINGS, blocks=Blocks(user_attributes=False)))
    assert "attributes" not in off.selection
    assert not any("attribute" in n for c in off.selection["cohorts"].values() for n in c["bridge"])
    assert off.selection["train_settings"]["blocks"]["user_attributes"] is False


def test_noise_is_not_chosen() -> None:
    world = described(bridge_world.snapshot(seed=0, users=500, tastes=("books",)), told=False)
    said: list[str] = []
    found = train(world, "books", ["films"], SETTINGS, said.append)
    assert found.selection["attributes"]["films"]["region"] > LEVEL
    assert not any("attribute" in line for line in said)


def test_a_sentence_names_what_is_known_beside_past_items() -> None:
    support = Support(
        np.zeros(1),
        {"films": (np.array([4]), np.array([[1.0]]))},
        {("films", "region north"): np.array([3.0]), ("films", "age 30"): np.array([-1.0])},
    )
    sentence = because(support, 0, lambda domain, position: f"“{position}”", {"films": "watched"})
    assert sentence == "because of your region north in films: 75 %; you watched “4” in films: 25 %"
    assert np.allclose(support.crossed("books"), 1)
