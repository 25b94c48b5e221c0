"""Blends and their selection: by hand, and against the metrics on full scores."""

import numpy as np
import pytest
import torch
from bridge_world import SCORERS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ml.bridge.histories import histories
from ml.bridge.select.blend import SELECTION_DEPTH, Blend, Pool, choose_blend, standardise
from ml.metrics.ranking import ndcg_at_k
from ml.retrieval.exact import top_k_scores


def drawn(seed, users=12, items=60, names=("a", "b", "c")):
    """Candidates with distinct random scores, what users have seen, and a truth among the unseen."""
    rng = np.random.default_rng(seed)
    scores = {name: standardise(torch.from_numpy(rng.standard_normal((users, items)))) for name in names}
    seen = rng.random((users, items)) < 0.1
    truth = (rng.random((users, items)) < 0.06) & ~seen
    truth[:, 0], seen[:, 0] = True, False
    return scores, sparse.csr_matrix(seen.astype(np.float32)), sparse.csr_matrix(truth.astype(np.float32))


def test_standardised_rows_have_mean_zero_and_deviation_one_and_flat_rows_are_silent():
    rows = standardise(torch.tensor([[1.0, 3.0], [7.0, 7.0], [-2.0, 4.0]]))
    assert rows.tolist() == [[-1, 1], [0, 0], [-1, 1]]


def test_a_blend_is_the_weighted_sum_of_standardised_scores_and_its_parts_sum_to_it(task):
    names = ("popularity", "union_als", "all_to_items", "next_items")
    members = {name: SCORERS[name]().fit(task) for name in names}
    blend = Blend(dict(zip(names, (0.1, 0.3, 0.4, 0.2), strict=True)))
    items = np.array([0, 5, 39])
    for user in (0, 7, 40, 118, 119):
        past = histories(task.interactions, np.array([user]))
        scores = blend.score(members, past)
        by_hand = np.zeros(scores.shape[1])
        for name, weight in blend.weights.items():
            row = members[name].score(past)[0].double().numpy()
            by_hand += weight * (row - row.mean()) / row.std() if row.std() > 1e-9 else 0
        assert np.allclose(scores[0], by_hand, atol=1e-5)
        assert np.allclose(blend.parts(members, past, items).total(), by_hand[items], atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 10]))
def test_a_pool_values_lists_as_ranking_the_whole_catalogue_does(seed, k):
    scores, seen, truth = drawn(seed)
    # Deep enough that no blend's list can need an item that the pool does not hold.
    pool = Pool.gather(scores, seen, truth, depth=60)
    whole = 0.5 * scores["a"] + 0.5 * scores["b"]
    depth = SELECTION_DEPTH * k
    short, long = (ndcg_at_k(top_k_scores(whole, d, exclude=seen)[0], truth) for d in (k, depth))
    value = pool.value(0.5 * pool.scores["a"] + 0.5 * pool.scores["b"], k)
    assert np.allclose(value, (short + long) / 2, atol=1e-9)


def test_a_shallow_pool_holds_each_candidates_best_and_no_seen_item():
    scores, seen, truth = drawn(3)
    pool = Pool.gather(scores, seen, truth, depth=5)
    for row in range(12):
        held = pool.scores["a"][row].isfinite()
        expected = {i for s in scores.values() for i in top_k_scores(s, 5, exclude=seen)[0][row].tolist()}
        assert int(held.sum()) == len(expected)
        hits = sum(int(truth[row, i] > 0) for i in expected)
        assert int(pool.relevant[row].sum()) == hits
    assert pool.relevant_count.tolist() == np.diff(truth.indptr).tolist()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_chosen_blend_is_never_worse_than_its_best_candidate(seed):
    scores, seen, truth = drawn(seed)
    pool = Pool.gather(scores, seen, truth, depth=30)
    blend, values = choose_blend(pool, list(scores), k=3)
    best = max(float(pool.value(pool.scores[name], 3).mean()) for name in scores)
    assert values.mean() >= best - 1e-9
    assert sum(blend.weights.values()) == pytest.approx(1)
    total = sum(weight * pool.scores[name] for name, weight in blend.weights.items())
    assert np.allclose(pool.value(total, 3), values)


def by_hand(**scores):
    """Two users, three items; item 0 is the one relevant item of both."""
    truth = sparse.csr_matrix(np.array([[1, 0, 0], [1, 0, 0]], np.float32))
    seen = sparse.csr_matrix((2, 3), dtype=np.float32)
    return Pool.gather({name: torch.tensor(rows) for name, rows in scores.items()}, seen, truth, depth=3)


def test_forward_selection_adds_what_helps_and_leaves_out_what_does_not():
    """`left` serves user 0, `right` user 1; together both are first. `noise` is never any use."""
    pool = by_hand(
        left=[[2.0, 0.0, 0.5], [0.0, 0.3, 1.0]],
        right=[[0.0, 1.0, 0.4], [2.0, 0.5, 0.0]],
        noise=[[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]],
    )
    blend, values = choose_blend(pool, ["left", "right", "noise"], k=1)
    assert blend.weights == {"left": 0.5, "right": 0.5}
    assert values.tolist() == [1, 1]


def test_a_tie_goes_to_the_first_name():
    rows = [[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]
    pool = by_hand(one=rows, two=rows)
    assert choose_blend(pool, ["two", "one"], k=1)[0].weights == {"two": 1.0}
    assert choose_blend(pool, ["one", "two"], k=1)[0].weights == {"one": 1.0}
