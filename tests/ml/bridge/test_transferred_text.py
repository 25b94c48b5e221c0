"""Semantic transfer: its closed form, that no link enters it, and taste found without one shared user."""

from dataclasses import replace

import bridge_world
import numpy as np
import pytest
from bridge_world import DAY, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ml.bridge.controls import random_text, shuffled_links, unlinked
from ml.bridge.histories import histories
from ml.bridge.protocol import Protocol
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.transferred_text import TransferredText, halves
from ml.bridge.select.candidates import scenario_candidates


def recall(scorer, split, k=8):
    """Mean share of a user's hidden items among the k best."""
    truth = split.truth.matrix()[split.users].toarray() > 0
    top = scorer.fit(split.task).score(split.past).topk(k, dim=1).indices.numpy()
    return (np.take_along_axis(truth, top, axis=1).sum(axis=1) / truth.sum(axis=1)).mean()


@pytest.fixture(scope="module")
def apart():
    """Cold users of books; nobody is known to be the same in films and books."""
    return unlinked(
        Protocol(snapshot(2, users=300), "books", ("films",), 0.4, 12 * DAY, 0, "cpu").cold("measure")
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 9), st.integers(0, 99))
def test_halves_part_every_row_of_two_or_more(users, items, seed):
    rng = np.random.default_rng(seed)
    whole = sparse.csr_matrix(np.where(rng.random((users, items)) < 0.5, rng.random((users, items)) + 1, 0))
    first, second = halves(whole, seed)
    kept = whole[np.diff(whole.indptr) > 1]
    assert np.allclose((first + second).toarray(), kept.toarray())
    assert first.multiply(second).nnz == 0
    sizes = np.diff(first.indptr) - np.diff(second.indptr)
    assert set(sizes.tolist()) <= {0, 1}


def test_the_map_is_the_ridge_of_one_half_on_the_other(task):
    """Against the normal equations written out: the gradient of the loss is zero at the map."""
    scorer = TransferredText(2.0, 6).fit(task)
    log = task.interactions["books"]
    liked = histories({"books": log}, np.arange(log.n_users)).liked("books", None)
    first, second = (half.toarray() for half in halves(liked, task.seed))
    past, future = np.vstack([first, second]), np.vstack([second, first]) > 0
    X = past @ scorer.state()[1]["map.books"]
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    X = X / np.where(norms > 0, norms, 1)
    X, Y = X - X.mean(axis=0), future - future.mean(axis=0)
    B = scorer.state()[1]["map"].astype(np.float64)
    ridge = 2.0 * np.square(X).sum() / X.shape[1]
    assert np.abs(X.T @ (X @ B - Y) + ridge * B).max() < 1e-3
    assert np.allclose(scorer.state()[1]["constant"], future.mean(axis=0), atol=1e-6)


def test_no_link_is_read(task):
    """Source logs given to other users: the model is the same to the last bit."""
    moved = shuffled_links(bridge_world.snapshot(), "films", 4)
    other = bridge_world.task_of(moved)
    mine, theirs = (TransferredText(2.0, 6).fit(t).state()[1] for t in (task, other))
    assert all(np.allclose(mine[name], theirs[name], atol=1e-6) for name in mine)


def test_the_usual_user_of_a_source_is_told_what_is_popular(task):
    """Profiles average to their centre, so scores average to the constant."""
    scorer = TransferredText(2.0, 6).fit(task)
    logs = {d: (log if d == "films" else log.before(-1)) for d, log in task.interactions.items()}
    users = np.flatnonzero(
        (logs["films"].matrix() @ task.catalogues["films"].has_vector.astype(np.float32)) > 0
    )
    mean = scorer.score(histories(logs, users)).mean(dim=0).numpy()
    assert np.allclose(mean, scorer.state()[1]["constant"], atol=1e-5)


def test_taste_crosses_without_a_shared_user_and_not_without_text(apart):
    floor = recall(Popularity(), apart)
    assert recall(TransferredText(1.0, 6), apart) > 1.5 * floor
    noise = random_text(snapshot(2, users=300), 5).catalogues
    deaf = replace(apart, task=replace(apart.task, catalogues=noise, memo={}))
    assert recall(TransferredText(1.0, 6), deaf) < 1.2 * floor


def test_a_target_nobody_knows_gives_what_is_popular(task):
    """No user with two items: nothing to learn from, so every user gets the target's own counts."""
    log = task.interactions["books"].first(1)
    alone = replace(task, interactions={**task.interactions, "books": log}, memo={})
    found = TransferredText().fit(alone).score(histories(alone.interactions, np.arange(20))).numpy()
    expected = np.bincount(log.items, minlength=log.n_items) / log.n_users
    assert np.allclose(found, expected, atol=1e-6)


def test_it_is_a_candidate_for_cold_users_where_both_sides_have_text(task, world):
    def offered(scenario, of):
        return any(name.startswith("transferred_text") for name in scenario_candidates(scenario, of))

    assert offered("cold", task)
    assert not offered("time", task)
    assert not offered("cold", task.twin())
    for silent in ("books", "films"):
        vectors = {d: task.catalogues[d].vectors for d in task.domains if d not in (silent, "tools")}
        assert not offered("cold", bridge_world.task_of(world.with_vectors(vectors)))


def test_a_ridge_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        TransferredText(0.0)
