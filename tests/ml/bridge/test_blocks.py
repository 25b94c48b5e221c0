"""The blocks of a ridge bridge, worked by hand."""

import math

import bridge_world
import numpy as np
import pytest
from scipy import sparse

from ml.bridge.blocks.profiles import ALSUserFactors, SVDFactors, TargetHistory, TextProfile, item_projection
from ml.bridge.contract import Task
from ml.bridge.histories import histories

# user 0: item 0 (weight 2), then item 2 (weight 1); user 1: nothing.
LOG = bridge_world.log_of([(0, 1, 0, 2.0), (0, 2, 2, 1.0)], 2, 3)
PAST = histories({"d": LOG}, np.array([0, 1]))
BLOCKS = {
    "svd": lambda: SVDFactors("films", 8),
    "svd_decayed": lambda: SVDFactors("films", 8, tau=2.0),
    "text": lambda: TextProfile("films", 5),
    "text_decayed": lambda: TextProfile("films", tau=2.0),
    "target_history": lambda: TargetHistory("books", least=4),
    "als": lambda: ALSUserFactors("films", **bridge_world.ALS),
}


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_item_features_sum_to_the_users_row(name, task):
    block = BLOCKS[name]().fit(task)
    past = histories(task.interactions, np.arange(120))
    rows = block.encode(past)
    rows = rows.toarray() if sparse.issparse(rows) else rows
    assert rows.dtype == np.float32
    for user in [*range(0, 120, 7), 119]:
        positions, features = block.items(past.rows(slice(user, user + 1)))
        assert features.shape == (len(positions), rows.shape[1])
        assert np.allclose(features.sum(axis=0), rows[user], atol=1e-5)
    assert not rows[119].any()  # of user 119 nothing is known


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_arrays_restore_a_block(name, task):
    block = BLOCKS[name]().fit(task)
    again = type(block)(**block.settings).restore(block.arrays())
    past = histories(task.interactions, np.arange(30))
    assert abs(block.encode(past) - again.encode(past)).max() == 0


def test_a_linear_block_projects_and_normalises():
    block = SVDFactors("d", 2, tau=1.0).restore({"map": np.array([[1, 0], [9, 9], [0, 3]], np.float32)})
    row = np.array([2 * math.exp(-1), 3.0])
    assert np.allclose(block.encode(PAST), [row / np.linalg.norm(row), [0, 0]])


def test_target_history_has_a_column_for_every_item_seen_often_enough():
    often = bridge_world.log_of([(u, u, i, 1.0) for u, i in [(0, 0), (1, 0), (1, 2), (2, 2), (2, 1)]], 3, 3)
    block = TargetHistory("d", tau=1.0, least=2).fit(Task("d", (), {"d": often}, {}))
    assert block.arrays()["columns"].tolist() == [0, 2]
    assert np.allclose(block.encode(PAST).toarray(), [[2 * math.exp(-1), 1], [0, 0]])
    assert TargetHistory("d", least=1, most=1).fit(Task("d", (), {"d": often}, {})).encode(PAST).shape == (
        2,
        1,
    )
    nothing = TargetHistory("d", least=3).fit(Task("d", (), {"d": often}, {}))
    assert nothing.encode(PAST).shape == (2, 0)
    assert nothing.items(PAST.rows(slice(0, 1)))[1].shape == (0, 0)


def test_als_factor_by_hand():
    """x = c y / (y^2 + lambda + alpha v y^2) = 21 / (1 + 10 + 20) with c = 1 + 10 * 2, over a scale of 2."""
    block = ALSUserFactors("d", rank=1, alpha=10.0, regularisation=10.0)
    block.restore({"items": np.array([[1], [0], [0]], np.float32), "scale": np.array([2], np.float32)})
    assert np.allclose(block.encode(PAST), [[21 / 31 / 2], [0]])


def test_als_factors_of_the_users_have_mean_square_one(task):
    block = ALSUserFactors("films", **bridge_world.ALS).fit(task)
    users = np.flatnonzero(task.interactions["films"].counts())
    mean_square = np.square(block.encode(histories(task.interactions, users))).sum(axis=1).mean()
    assert mean_square == pytest.approx(1, rel=0.05)


def test_item_projection_by_hand():
    """Three users, two items, all ones: v = (1, 1) / sqrt 2, (D_i + 1)^-1/2 v = 1 / (2 sqrt 2)."""
    task = Task("d", (), {}, {}, device="cpu")
    assert np.allclose(item_projection(sparse.csr_matrix(np.ones((3, 2))), 1, task), 8**-0.5)


def test_a_lone_pair_has_no_factor_of_its_own():
    """Three users share three items, one user has another alone: the shared lead, 3 / 4 > 1 / 2."""
    matrix = sparse.block_diag([np.ones((3, 3)), np.ones((1, 1))], format="csr")
    projection = item_projection(matrix, 1, Task("d", (), {}, {}, device="cpu"))
    assert np.allclose(projection, [[12**-0.5]] * 3 + [[0]])


def test_a_catalogue_without_embeddings_says_what_to_do(world):
    with pytest.raises(ValueError, match="films has no text embeddings: materialise item_embeddings"):
        TextProfile("films").fit(bridge_world.task_of(world.with_vectors({})))
