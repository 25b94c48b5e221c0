"""The choice of beta: what is hidden, and that no text is what chance leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from ml.factorize.kernel_beta import choose_beta, hold_out

USERS, ITEMS = 60, 40


@pytest.fixture
def matrix():
    found = sparse.random(USERS, ITEMS, density=0.15, random_state=np.random.default_rng(0)).tolil()
    found[0, :20] = 0  # nothing outside
    found[1, 20:] = 0  # nothing inside
    return sparse.csr_matrix(found)


def test_a_held_out_user_loses_all_columns_asked_about_and_nothing_else(matrix):
    held = hold_out(matrix, slice(20, ITEMS), share=1.0)
    assert not {0, 1} & set(held.users)
    visible, before = held.visible.toarray(), matrix.toarray()
    assert not visible[held.users, 20:].any()
    visible[held.users, 20:] = before[held.users, 20:]
    np.testing.assert_array_equal(visible, before)
    np.testing.assert_array_equal(held.hidden[:, 20:].toarray(), before[held.users, 20:] > 0)
    assert not held.hidden[:, :20].nnz
    assert len(held.users) > 40


def test_of_a_lone_domain_half_of_each_users_entries_is_hidden(matrix):
    held = hold_out(matrix, slice(0, ITEMS), share=1.0)
    counts = np.diff(matrix.indptr)
    np.testing.assert_array_equal(held.users, np.flatnonzero(counts >= 2))
    np.testing.assert_array_equal(np.diff(held.hidden.indptr), counts[held.users] // 2)
    assert held.visible.nnz + held.hidden.nnz == matrix.nnz
    assert not held.visible[held.users].multiply(held.hidden).nnz


def test_share_most_and_seed(matrix):
    columns = slice(20, ITEMS)
    assert len(hold_out(matrix, columns, share=1.0, most=7).users) == 7
    few = hold_out(matrix, columns, share=0.1).users
    assert 1 <= len(few) <= 6
    np.testing.assert_array_equal(few, hold_out(matrix, columns, share=0.1).users)
    drawn = {tuple(hold_out(matrix, columns, seed=seed).users) for seed in range(5)}
    assert len(drawn) > 1


def test_nobody_to_ask_is_no_error():
    alone = sparse.csr_matrix(np.eye(5))
    held = hold_out(alone, slice(0, 2))
    assert len(held.users) == 0
    choice = choose_beta(lambda beta: torch.zeros(0, 2), held.hidden[:, :2], held.hidden[:, :2])
    assert choice.beta == 0
    assert choice.users == 0


def scores_of(hidden, strength, seed=0):
    """Noise, and `strength(beta)` of the truth."""
    noise = np.random.default_rng(seed).standard_normal(hidden.shape)
    return lambda beta: torch.from_numpy(noise + strength(beta) * hidden.toarray()).float()


def test_what_helps_is_taken_what_is_chance_is_not():
    hidden = sparse.random(200, ITEMS, density=0.1, random_state=np.random.default_rng(1)).tocsr() > 0
    seen = sparse.csr_matrix(hidden.shape)
    best = choose_beta(scores_of(hidden, lambda beta: beta if beta <= 1 else 0), hidden, seen)
    assert best.beta == 1.0
    assert best.betas == (0.0, 0.1, 0.3, 1.0, 3.0)
    assert best.ndcg[3] == max(best.ndcg) > best.ndcg[0]
    assert best.users == (np.diff(hidden.indptr) > 0).sum() < 200
    flat = choose_beta(scores_of(hidden, lambda beta: 0.001 * beta), hidden, seen, [1.0])
    assert flat.beta == 0.0
    assert flat.betas == (0.0, 1.0)


def test_what_is_seen_is_not_ranked():
    """Beta 1 scores only the seen item high: without it the two betas give one list."""
    hidden = sparse.csr_matrix(np.tile([False, True, False], (50, 1)))
    seen = sparse.csr_matrix(np.tile([1.0, 0, 0], (50, 1)))
    lists = {0.0: [0.0, 1, 2], 1.0: [9.0, 1, 2]}
    choice = choose_beta(lambda beta: torch.tensor([lists[beta]] * 50), hidden, seen, [1.0])
    assert choice.ndcg[0] == choice.ndcg[1] == pytest.approx(1 / np.log2(3))
    assert choice.beta == 0.0
