"""EASE: its closed form in float64, both sides of the solve, and what the bound on items leaves out."""

import bridge_world
import numpy as np
import pytest
from bridge_world import log_of

from ml.bridge.contract import Task
from ml.bridge.histories import histories
from ml.bridge.scorers.ease import EASE

USERS = np.arange(120)


def binary(task, users=slice(None)):
    logs = [task.interactions[d].matrix().toarray() > 0 for d in task.domains]
    return np.hstack(logs)[users].astype(np.float64)


def closed_form(X, ridge):
    P = np.linalg.inv(X.T @ X + ridge * np.eye(X.shape[1]))
    B = -P / np.diag(P)
    np.fill_diagonal(B, 0)
    return B


@pytest.mark.parametrize("side", ["items", "users"])
@pytest.mark.parametrize("ridge", [0.5, 30.0])
def test_scores_by_the_closed_form(task, side, ridge):
    X = binary(task)
    scores = EASE(ridge, side=side).fit(task).score(histories(task.interactions, USERS))
    assert np.allclose(scores, (X @ closed_form(X, ridge))[USERS, -40:], atol=2e-4)


def test_the_closed_form_is_the_least_loss_with_a_zero_diagonal(task):
    """An independent reference: each column by least squares on all other columns."""
    X, ridge = binary(task), 5.0
    B = closed_form(X, ridge)
    for item in (0, 3, 119):
        others = np.delete(np.arange(X.shape[1]), item)
        rest = np.vstack([X[:, others], np.sqrt(ridge) * np.eye(len(others))])
        wanted = np.concatenate([X[:, item], np.zeros(len(others))])
        assert np.allclose(np.linalg.lstsq(rest, wanted, rcond=None)[0], B[others, item], atol=1e-8)


def test_both_sides_give_one_map(task):
    past, one = histories(task.interactions, USERS), histories(task.interactions, np.array([7]))
    items, users = (EASE(10.0, side=side).fit(task) for side in ("items", "users"))
    assert np.abs(items.score(past) - users.score(past)).max() < 1e-5
    asked = np.arange(40)
    assert np.abs(items.parts(one, asked).total() - users.parts(one, asked).total()).max() < 1e-5


def test_an_item_says_nothing_of_itself(task):
    """The diagonal is exactly 0: with one item in the history that item scores nothing."""
    n = task.interactions["books"].n_items
    single = log_of([(i, 0, i, 1.0) for i in range(n)], n, n)
    nothing = {d: log_of([], n, task.interactions[d].n_items) for d in task.sources}
    past = histories({**nothing, "books": single}, np.arange(n))
    scores = EASE(3.0, side="items").fit(task).score(past)
    assert (scores.diagonal() == 0).all()
    assert (scores != 0).any()
    assert EASE(3.0, side="users").fit(task).score(past).diagonal().abs().max() < 1e-6


def test_the_smaller_side_is_solved(task):
    assert "map" in EASE().fit(task).state()[1]  # 118 users, 117 items
    few = bridge_world.task_of(bridge_world.snapshot(users=60))
    assert "inverse" in EASE().fit(few).state()[1]
    assert "map" in EASE(most=30).fit(few).state()[1]  # neither fits: the most popular items take part


def test_a_bound_on_items_solves_for_the_most_popular_and_leaves_the_others_at_0(task):
    X, most = binary(task), 50
    order = np.argsort(-X.sum(axis=0), kind="stable")
    kept = np.sort(order[:most])
    expected = np.zeros_like(X)
    expected[:, kept] = X[:, kept] @ closed_form(X[:, kept], 10.0)
    scorer = EASE(10.0, most=most).fit(task)
    assert np.allclose(scorer.score(histories(task.interactions, USERS)), expected[USERS, -40:], atol=1e-4)
    one = histories(task.interactions, np.array([7]))
    assert np.allclose(scorer.parts(one, np.arange(40)).total(), expected[7, -40:], atol=1e-4)


@pytest.mark.parametrize("side", ["items", "users"])
def test_with_tau_the_latest_items_count_most(task, side):
    scorer = EASE(5.0, side=side, tau=2.0).fit(task)
    past = histories(task.interactions, USERS)
    X = np.hstack(
        [np.exp(-past.recency[d].toarray() / 2) * (past.weights[d].toarray() > 0) for d in task.domains]
    )
    expected = X @ closed_form(binary(task), 5.0)[:, -40:]
    assert np.allclose(scorer.score(past), expected, atol=1e-4)
    one = past.rows(slice(0, 1))
    assert np.allclose(scorer.parts(one, np.arange(40)).total(), expected[0], atol=1e-4)


def test_nobody_took_anything():
    empty = {"books": log_of([], 5, 4)}
    scorer = EASE().fit(Task("books", (), empty, {}, device="cpu"))
    past = histories(empty, np.arange(5))
    assert scorer.score(past).tolist() == [[0.0] * 4] * 5
    assert scorer.parts(past.rows(slice(0, 1)), np.array([1])).total().tolist() == [0.0]


@pytest.mark.parametrize(
    "settings", [{"ridge": 0.0}, {"ridge": float("nan")}, {"most": 0}, {"side": "both"}, {"tau": 0.0}]
)
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(ValueError, match="expected ridge > 0, most >= 1"):
        EASE(**settings)
