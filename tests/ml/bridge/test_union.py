"""The union's scorers against their formulas in dense numpy float64."""

import bridge_world
import numpy as np
import pytest

from ml.bridge.histories import histories
from ml.bridge.scorers.union import JointSVD, UnionALS


def union(task, users):
    """(u, n) the domains side by side, the target's 40 columns last."""
    logs = [task.interactions[d].matrix().toarray() for d in ("films", "tools", "books")]
    return np.hstack(logs)[users].astype(np.float64)


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_joint_svd_scores_by_its_formula(task, beta):
    """score = (x E_i^-1/2 V) V' D_i^beta with R = E_u^-1/2 X E_i^-1/2 = U S V', E = D + 1."""
    users = np.arange(120)
    X = union(task, users)
    du, di = X.sum(axis=1, keepdims=True), X.sum(axis=0)
    inverse = (di + 1) ** -0.5
    V = np.linalg.svd((du + 1) ** -0.5 * X * inverse)[2][:6].T
    expected = (X * inverse) @ V @ V.T * di**beta
    scores = JointSVD(6, beta).fit(task).score(histories(task.interactions, users))
    assert np.allclose(scores, expected[:, -40:], atol=1e-3)


def test_union_als_folds_in_by_its_normal_equations(task):
    """x = (Y'Y + lambda + alpha sum_i v_i y_i y_i')^-1 sum_i (1 + alpha v_i) y_i over all domains' items."""
    users = np.array([0, 7, 118])
    scorer = UnionALS(6, 5.0, 3.0).fit(task)
    Y = scorer.state()[1]["items"].astype(np.float64)
    scores = scorer.score(histories(task.interactions, users))
    for row, history in zip(scores, union(task, users), strict=True):
        weights = np.where(history > 0, 1 + 5.0 * history, 0)
        A = Y.T @ Y + 3.0 * np.eye(6) + (Y.T * (5.0 * history)) @ Y
        assert np.allclose(row, Y[-40:] @ np.linalg.solve(A, Y.T @ weights), atol=1e-4)


def test_a_union_of_the_target_alone_is_its_own_twin(task):
    past = histories(task.interactions, np.arange(60))
    alone = bridge_world.task_of(bridge_world.snapshot(), sources=())
    for make in (lambda: JointSVD(6), lambda: UnionALS(6, 5.0, 3.0)):
        assert np.allclose(make().fit(task.twin()).score(past), make().fit(alone).score(past), atol=1e-5)
