"""A reused map: its closed form and likelihood, that no link to the target enters it, and taste that crosses
to a domain nobody is known in."""

from dataclasses import replace
from math import log

import bridge_world
import numpy as np
import pytest
from bridge_world import DAY, snapshot
from scipy import optimize, sparse

from ml.bridge.controls import opened_lately, shuffled_links, unlinked
from ml.bridge.histories import histories
from ml.bridge.protocol import Protocol
from ml.bridge.scorers import reused_map
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.reused_map import ReusedMap, likeliest, log_popularity, reusable
from ml.bridge.scorers.transferred_text import TransferredText
from ml.bridge.select.candidates import scenario_candidates

EVERYWHERE = ("books", "films", "tools")


def recall(scorer, split, k=8):
    """Mean share of a user's hidden items among the k best."""
    truth = split.truth.matrix()[split.users].toarray() > 0
    top = scorer.fit(split.task).score(split.past).topk(k, dim=1).indices.numpy()
    return (np.take_along_axis(truth, top, axis=1).sum(axis=1) / truth.sum(axis=1)).mean()


def apart(world, sources=("films", "tools")):
    """Cold users of books, whom training takes for other people than those of the sources."""
    split = Protocol(world, "books", sources, 0.4, 12 * DAY, 0, "cpu").cold("measure")
    return unlinked(split, sources_linked=True)


@pytest.fixture(scope="module")
def strangers():
    """A world in which people have one taste in all three domains."""
    return apart(snapshot(2, users=300, tastes=EVERYWHERE))


def test_beta_by_hand():
    """Two items alike but for a score of 1 and 0, taken three times and once: exp(beta) = 3."""
    scores, base = np.tile([1.0, 0.0], (4, 1)).astype(np.float32), np.zeros(2, np.float32)
    taken = sparse.csr_matrix(np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32))
    assert likeliest([(scores, base, taken)]) == pytest.approx(log(3), abs=1e-4)
    # What is popular explains as much: with odds of 3 to 1 to begin with, texts have nothing to add.
    assert likeliest([(scores, np.log([3.0, 1.0]), taken)]) == pytest.approx(0, abs=1e-4)
    assert likeliest([(-scores, base, taken)]) == 0
    assert likeliest([]) == 0


def test_the_map_is_the_ridge_of_one_domain_on_the_other(strangers):
    """Against the stacked least squares, written out with the users as they are in the logs."""
    task = strangers.task
    scorer = ReusedMap(2.0, 6).fit(task)
    arrays = scorer.state()[1]
    spaces = {d: arrays[f"map.{d}"] for d in ("films", "tools")}
    tastes = {}
    for domain, Z in spaces.items():
        total = task.interactions[domain].matrix().toarray() @ Z
        known = np.linalg.norm(total, axis=1) > 0
        total[known] /= np.linalg.norm(total[known], axis=1, keepdims=True)
        total[known] -= total[known].mean(axis=0)
        tastes[domain] = np.where(known[:, None], total, np.nan)
    both = ~np.isnan(tastes["films"] + tastes["tools"]).any(axis=1)
    X = np.vstack([tastes["films"][both], tastes["tools"][both]])
    Y = np.vstack([tastes["tools"][both], tastes["films"][both]])
    ridge = np.sqrt(2.0 * np.square(X).sum() / X.shape[1])
    W = np.linalg.lstsq(
        np.vstack([X, ridge * np.eye(X.shape[1])]), np.vstack([Y, np.zeros((X.shape[1],) * 2)]), rcond=None
    )[0]
    target = reused_map.text_space(task, 6, 0.05)["books"]
    found, expected = arrays["map"].ravel(), (W @ target.T).ravel()
    beta = found @ expected / (expected @ expected)
    assert beta > 0
    assert np.allclose(found, beta * expected, atol=1e-4 * beta)


def test_beta_is_the_likeliest(strangers):
    """Against a search of the likelihood itself."""
    rng = np.random.default_rng(3)
    log_of_books = strangers.task.interactions["books"]
    taken = log_of_books.matrix().sign()[:60]
    scores = (taken.toarray() + rng.standard_normal(taken.shape)).astype(np.float32)
    base = log_popularity(log_of_books)

    def loss(beta):
        logits = base + beta * scores.astype(np.float64)
        return -(taken.multiply(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))).sum()

    assert likeliest([(scores, base, taken)]) == pytest.approx(optimize.minimize_scalar(loss).x, abs=1e-3)


def test_of_the_target_no_link_is_read(strangers):
    """The target's log given to other users: the model is the same to the last bit."""
    task = strangers.task
    books = task.interactions["books"]
    moved = np.roll(np.arange(books.n_users), 7)[books.users].astype(np.int32)
    order = np.argsort(moved, kind="stable")
    others = {**task.interactions, "books": replace(books.select(order), users=moved[order])}
    mine, theirs = (
        ReusedMap(2.0, 6).fit(replace(task, interactions=logs, memo={})).state()[1]
        for logs in (task.interactions, others)
    )
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


def test_taste_crosses_to_a_domain_in_which_nobody_is_known(strangers):
    floor = recall(Popularity(), strangers)
    assert recall(ReusedMap(1.0, 6), strangers) > 1.5 * floor


def test_a_target_that_has_just_opened_has_the_map_already(strangers):
    """What is learned inside the target needs its users; what is learned elsewhere does not."""
    few = opened_lately(strangers, 0.03)
    assert len(few.task.interactions["books"]) > 0
    assert recall(ReusedMap(1.0, 6), few) > 1.2 * recall(TransferredText(1.0, 6), few)


def test_where_sources_have_nothing_in_common_texts_are_not_believed():
    """Of the sources' users everybody is taken for somebody else: beta falls to next to nothing."""
    world = snapshot(2, users=300, tastes=EVERYWHERE)
    lost = apart(shuffled_links(world, "tools", 5))
    said, honest = (
        ReusedMap(1.0, 6).fit(split.task).score(split.past).std(dim=0).mean()
        for split in (lost, apart(world))
    )
    assert said < 0.3 * honest
    assert recall(ReusedMap(1.0, 6), lost) > 0.8 * recall(Popularity(), lost)


def test_with_too_few_shared_users_what_is_left_is_popularity(task, monkeypatch):
    monkeypatch.setattr(reused_map, "LEAST_SHARED", 10_000)
    assert not reusable(task)
    scores = ReusedMap(1.0, 6).fit(task).score(histories(task.interactions, np.arange(20))).numpy()
    assert np.allclose(scores, log_popularity(task.interactions["books"]), atol=1e-6)


def test_without_a_source_that_has_text_what_is_left_is_popularity(world, task):
    bare = bridge_world.task_of(world.with_vectors({"books": task.catalogues["books"].vectors}))
    scores = ReusedMap(1.0, 6).fit(bare).score(histories(bare.interactions, np.arange(5))).numpy()
    assert np.allclose(scores, log_popularity(bare.interactions["books"]), atol=1e-6)


def test_it_is_a_candidate_where_two_sources_share_users_and_have_text(task, world):
    def offered(of, scenario="cold"):
        return any(name.startswith("reused_map") for name in scenario_candidates(scenario, of))

    assert offered(task)
    assert not offered(task, "time")
    assert not offered(task.twin())
    assert not offered(task.reading(("films",)))
    assert not offered(unlinked(Protocol(world, "books", ("films", "tools"), 0.4, DAY).cold("measure")).task)
    silent = {d: task.catalogues[d].vectors for d in ("books", "films")}
    assert not offered(bridge_world.task_of(world.with_vectors(silent)))


def test_a_ridge_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        ReusedMap(0.0)
