"""Item-kNN against its formula in plain loops, and by hand."""

import itertools

import bridge_world
import numpy as np
import pytest
from bridge_world import log_of

from ml.bridge.contract import Task
from ml.bridge.histories import histories
from ml.bridge.scorers import item_knn as module
from ml.bridge.scorers.item_knn import ItemKNN


def dense(task, users):
    return np.hstack([task.interactions[d].matrix().toarray() for d in task.domains])[users].astype(float)


def by_loops(task, neighbours, shrink, tf_idf):
    """(n, n_target) similarities: cosine with shrinkage, the largest of each domain kept for each item."""
    X = dense(task, slice(None))
    if tf_idf:
        items = X.shape[1]
        held = (X > 0).sum(axis=1)
        X = X * np.log1p(items / np.maximum(held, 1))[:, None]
        X = X / np.maximum(np.linalg.norm(X, axis=0), 1e-12)
    sizes = [task.interactions[d].n_items for d in task.domains]
    starts = np.cumsum([0, *sizes])
    S = np.zeros((X.shape[1], sizes[-1]))
    for j in range(sizes[-1]):
        target = starts[-2] + j
        for first, last in itertools.pairwise(starts):
            found = []
            for i in range(first, last):
                length = np.linalg.norm(X[:, i]) * np.linalg.norm(X[:, target])
                if i != target and X[:, i] @ X[:, target] > 0:
                    found.append((-(X[:, i] @ X[:, target]) / (length + shrink), i))
            for value, i in sorted(found)[:neighbours]:
                S[i, j] = -value
    return S


@pytest.mark.parametrize("similarity", ["cosine", "tf_idf"])
@pytest.mark.parametrize("neighbours, shrink", [(3, 0.0), (1000, 4.0)])
def test_scores_by_the_formula(task, similarity, neighbours, shrink):
    users = np.arange(120)
    scores = ItemKNN(neighbours, shrink, similarity).fit(task).score(histories(task.interactions, users))
    expected = dense(task, users) @ by_loops(task, neighbours, shrink, similarity == "tf_idf")
    assert np.allclose(scores, expected, atol=1e-4)


def tiny(*rows, n_items=3):
    log = log_of([(u, t, i, 1.0) for t, (u, i) in enumerate(rows)], 4, n_items)
    return Task("books", (), {"books": log}, {}, device="cpu")


def test_by_hand():
    """Items 0 and 1 share both of their users, items 0 and 2 one of two."""
    task = tiny((0, 0), (1, 0), (0, 1), (1, 1), (1, 2), (2, 2), (3, 2))
    past = histories(tiny((0, 0)).interactions, np.array([0]))
    scores = ItemKNN(10, 0.0).fit(task).score(past)[0].tolist()
    assert scores == pytest.approx([0, 2 / 2, 1 / 6**0.5])
    shrunk = ItemKNN(10, 2.0).fit(task).score(past)[0].tolist()
    assert shrunk == pytest.approx([0, 2 / 4, 1 / (6**0.5 + 2)])
    assert ItemKNN(1, 0.0).fit(task).score(past)[0, 1] == pytest.approx(1)


def test_with_tau_the_latest_items_count_most():
    """User 0 took item 0, then item 1; both go with item 2, which user 1 took with them."""
    task = tiny((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))
    past = histories(tiny((0, 0), (0, 1)).interactions, np.array([0]))
    score = ItemKNN(10, 0.0, tau=2.0).fit(task).score(past)[0, 2]
    assert score == pytest.approx((1 + np.exp(-1 / 2)) / 2**0.5)


def test_an_item_nobody_took_is_nobodys_neighbour():
    scores = (
        ItemKNN(5, 0.0)
        .fit(tiny((0, 0), (0, 1)))
        .score(histories(tiny((0, 0), (0, 2)).interactions, np.array([0])))
    )
    assert scores[0].tolist() == pytest.approx([0, 1, 0])


def test_memory_blocks_change_nothing(task, monkeypatch):
    past = histories(task.interactions, np.arange(120))
    whole = ItemKNN(4, 1.0).fit(task).score(past)
    monkeypatch.setattr(module, "CHUNK_NUMBERS", 7 * sum(bridge_world.SIZES.values()))
    assert np.array_equal(ItemKNN(4, 1.0).fit(task).score(past), whole)


@pytest.mark.parametrize(
    "settings", [{"neighbours": 0}, {"shrink": -1.0}, {"similarity": "jaccard"}, {"tau": -1.0}]
)
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(ValueError, match="expected neighbours >= 1, shrink >= 0"):
        ItemKNN(**settings)
