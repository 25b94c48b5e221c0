"""Review blocks: by hand, additive, blind to hidden users, of use where only reviews tell the taste."""

from __future__ import annotations

from dataclasses import replace

import bridge_world
import numpy as np
import pytest

from ml.bridge import TrainSettings, load, train
from ml.bridge.blocks.profiles import TextProfile
from ml.bridge.blocks.reviews import ReviewedText, ReviewProfile, fused
from ml.bridge.histories import histories, past_and_next
from ml.bridge.protocol import Protocol
from ml.bridge.select.candidates import scenario_candidates
from ml.data import Interactions, Snapshot
from ml.reviews import Reviews

# user 0: item 0 (weight 2, liked), item 2 (weight 1, half liked); user 1: item 1, disliked.
LOG = replace(
    bridge_world.log_of([(0, 1, 0, 2.0), (0, 2, 2, 1.0), (1, 3, 1, 1.0)], 3, 3),
    reviews=Reviews(
        np.array([1, 0.5, 0], np.float32),
        np.array([1, 0, 1], np.int32),
        np.array(["p", "q"], object),
        np.array([[1, 0], [0, 1]], np.float32),
        "key",
    ),
)
PAST = histories({"d": LOG}, np.arange(3))
DAYS = bridge_world.DAY


def reviewed(world: Snapshot, domain: str = "films", seed: int = 1) -> Snapshot:
    """The world with reviews of three in four interactions of `domain`, coloured by the user's taste."""
    log, rng = world.interactions[domain], np.random.default_rng(seed)
    users = len(world.users)
    colours = np.random.default_rng(0).integers(bridge_world.GROUPS, size=users)[log.users]
    vectors = np.eye(bridge_world.WIDTH)[colours] + 0.3 * rng.standard_normal((len(log), bridge_world.WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.where(rng.random(len(log)) < 0.75, np.arange(len(log)), -1).astype(np.int32)
    taste = np.where(rows < 0, 1, rng.choice([0, 0.5, 1], len(log))).astype(np.float32)
    hashes = np.array([f"h{i}" for i in range(len(log))], object)
    reviews = Reviews(taste, rows, hashes, vectors.astype(np.float32), "key")
    return world.with_interactions(**{domain: replace(log, reviews=reviews)})


@pytest.fixture(scope="module")
def said(world: Snapshot) -> Snapshot:
    return reviewed(world)


def test_a_users_reviews_by_hand() -> None:
    block = ReviewProfile("d").restore({"mean": np.zeros(2, np.float32), "map": np.eye(2, dtype=np.float32)})
    row = np.array([0.5, 2])  # item 2's review is text 0 at half of weight 1, item 0's is text 1
    assert np.allclose(block.encode(PAST), [row / np.linalg.norm(row), [0, 0], [0, 0]])
    decayed = ReviewProfile("d", tau=1.0).restore(block.arrays())
    row = np.array([0.5, 2 * np.exp(-1)])
    assert np.allclose(decayed.encode(PAST)[0], row / np.linalg.norm(row))
    nobody = histories({"d": replace(LOG, reviews=None)}, np.arange(3))
    assert not block.encode(nobody).any()
    assert block.items(nobody.rows(slice(0, 1)))[1].shape == (0, 2)


def test_the_text_of_a_disliked_item_is_no_taste() -> None:
    block = TextProfile("d").restore({"map": np.array([[1, 0], [1, 1], [0, 1]], np.float32)})
    assert np.allclose(block.encode(PAST)[0], np.array([2, 0.5]) / np.hypot(2, 0.5))
    assert not block.encode(PAST)[1].any()
    unsaid = histories({"d": replace(LOG, reviews=None)}, np.arange(3))
    assert np.allclose(block.encode(unsaid)[1], np.array([1, 1]) / np.sqrt(2))


def test_items_are_described_by_documents_and_reviews_by_hand() -> None:
    documents = np.array([[1, 0], [1, 0], [0, 0]], np.float32)
    expected = np.array([[3, 2], [3, 0], [0.5, 0]])  # item 1's only review is a complaint
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(fused(LOG, documents, 3.0), expected)
    assert np.allclose(fused(LOG, None, 3.0), [[0, 1], [0, 0], [1, 0]])
    with pytest.raises(ValueError, match="review_embeddings"):
        fused(replace(LOG, reviews=None), documents, 3.0)


def test_a_cut_history_knows_what_was_said_before_the_cut() -> None:
    users, past, _ = past_and_next(LOG, 1.0, 100, "d")
    assert users.tolist() == [0]
    assert past.taste["d"].toarray().tolist() == [[1, 0, 0]]
    assert past.reviews["d"].toarray().tolist() == [[2, 0, 0]]
    block = ReviewProfile("d").restore({"mean": np.zeros(2, np.float32), "map": np.eye(2, dtype=np.float32)})
    assert block.encode(past).tolist() == [[0, 1]]


@pytest.mark.parametrize("tau", [None, 2.0])
@pytest.mark.parametrize("kind", [ReviewProfile, ReviewedText])
def test_item_features_sum_to_the_users_row_and_arrays_restore(kind, tau, said: Snapshot) -> None:
    task = bridge_world.task_of(said)
    block = kind("films", rank=6, tau=tau).fit(task)
    past = histories(task.interactions, np.arange(120))
    rows = block.encode(past)
    assert rows.dtype == np.float32
    assert rows.shape == (120, 6)
    for user in range(0, 120, 7):
        positions, features = block.items(past.rows(slice(user, user + 1)))
        assert features.shape == (len(positions), 6)
        assert np.allclose(features.sum(axis=0), rows[user], atol=1e-5)
    again = kind(**block.settings).restore(block.arrays())
    assert np.array_equal(again.encode(past), rows)


def test_one_review_is_too_few_to_whiten() -> None:
    one = replace(LOG, reviews=replace(LOG.reviews, rows=np.array([0, -1, -1], np.int32)))
    task = bridge_world.Task("t", ("d",), {"d": one, "t": LOG}, {})
    assert not ReviewProfile("d").fit(task).encode(histories({"d": one}, np.arange(3))).any()
    silent = replace(task, interactions={"d": replace(LOG, reviews=None), "t": LOG})
    with pytest.raises(ValueError, match="materialise review_embeddings"):
        ReviewProfile("d").fit(silent)


@pytest.mark.parametrize("scenario", ["cold", "time"])
@pytest.mark.parametrize("stage", ["choose", "measure"])
def test_the_reviews_of_hidden_interactions_are_not_read(scenario, stage, said: Snapshot) -> None:
    """A loud text in a direction of its own in place of every hidden review moves nothing that is fitted."""

    def planted(where: np.ndarray) -> Snapshot:
        vectors = log.reviews.vectors.copy()
        vectors[log.reviews.rows[where & log.reviews.embedded]] = 9 * np.eye(bridge_world.WIDTH)[-1]
        taste = np.where(where, 1, log.reviews.taste).astype(np.float32)
        return said.with_interactions(
            films=replace(log, reviews=replace(log.reviews, vectors=vectors, taste=taste))
        )

    def fitted(world: Snapshot) -> tuple[dict[str, np.ndarray], Interactions]:
        protocol = Protocol(world, "films", ("books",), 0.2, 10 * DAYS)
        task = getattr(protocol, scenario)(stage).task
        blocks = [kind("films", rank=6).fit(task) for kind in (ReviewProfile, ReviewedText)]
        arrays = {f"{b.kind}.{name}": array for b in blocks for name, array in b.arrays().items()}
        return arrays, task.interactions["films"]

    log = said.interactions["films"]
    before, visible = fitted(said)
    assert 0 < len(visible) < len(log)
    seen = set(zip(visible.users.tolist(), visible.items.tolist(), strict=True))
    pairs = list(zip(log.users.tolist(), log.items.tolist(), strict=True))
    hidden = np.array([pair not in seen for pair in pairs])
    after, _ = fitted(planted(hidden))
    assert all(np.array_equal(before[name], after[name]) for name in before)
    seen_too, _ = fitted(planted(~hidden))
    assert not any(np.allclose(before[name], seen_too[name]) for name in before)


def test_candidates_read_reviews_only_where_there_are_some(world: Snapshot, said: Snapshot) -> None:
    for scenario in ("cold", "time"):
        plain = scenario_candidates(scenario, bridge_world.task_of(world))
        more = scenario_candidates(scenario, bridge_world.task_of(said))
        assert plain.keys() < more.keys()
        assert all("reviews" in name for name in more.keys() - plain.keys())
        assert {n: s.settings for n, s in plain.items()} == {n: more[n].settings for n in plain}
    task = bridge_world.task_of(reviewed(world, "books")).twin()
    assert [name for name in scenario_candidates("time", task) if "reviews" in name]


@pytest.fixture(scope="module")
def trained():
    """Users' books follow their taste, their films do not: only what they write about films tells it."""
    world = reviewed(bridge_world.snapshot(seed=0, users=500, tastes=("books",)), "films")
    return world, train(world, "books", ["films"], TrainSettings(k=5, horizon=10 * DAYS, device="cpu"))


def test_what_users_write_carries_their_taste_to_another_domain(trained) -> None:
    _, training = trained
    chosen = training.selection["cohorts"]["cold"]
    assert chosen["sources_earned_their_place"]
    assert any("reviews" in name for name in chosen["bridge"])
    assert training.selection["review_encoder"] == "key"


def test_a_saved_model_reads_the_same_reviews(trained, tmp_path) -> None:
    world, training = trained
    model = training.candidates["bridge"]
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    users = world.users[:60].tolist()
    lists = model.recommend(users, k=5)
    assert again.recommend(users, k=5).equals(lists)
    assert again.logs["films"].reviews.hashes is None
    parts = again.explain(users[3], lists["item_id"].to_pylist()[15:20])
    assert np.allclose(parts.total(), lists["score"].to_numpy()[15:20], atol=1e-4)
    assert model.at(world).recommend(users, k=5).equals(lists)


def test_a_newer_snapshot_brings_newer_reviews(trained) -> None:
    world, training = trained
    model, log = training.candidates["bridge"], world.interactions["films"]
    colours = np.roll(log.reviews.vectors, 2, axis=1)  # everybody writes of another taste now
    changed = world.with_interactions(films=replace(log, reviews=replace(log.reviews, vectors=colours)))
    cold = [
        user
        for user, count in zip(world.users, world.interactions["books"].counts(), strict=True)
        if not count
    ]
    assert not model.at(changed).recommend(cold, k=5).equals(model.recommend(cold, k=5))
    silent = world.with_interactions(films=replace(log, reviews=replace(log.reviews, vectors=None)))
    assert len(model.at(silent).recommend(cold, k=5)) == 5 * len(cold)
