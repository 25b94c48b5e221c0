"""The joint SVD with a text kernel against its formula, and what it does for items nobody has touched."""

from __future__ import annotations

from dataclasses import replace

import bridge_world
import numpy as np
import pytest
from scipy import linalg

from ml.bridge.histories import histories
from ml.bridge.scorers.kernel_svd import KernelJointSVD
from ml.bridge.scorers.union import JointSVD
from ml.bridge.select.candidates import kernel_candidates, make, scenario_candidates
from ml.factorize.kernel import TextKernel, stacked

USERS = np.arange(120)
ORDER = ("films", "tools", "books")


def union(task):
    return np.hstack([task.interactions[d].matrix().toarray() for d in ORDER]).astype(np.float64)


@pytest.fixture(scope="module")
def past(task):
    return histories(task.interactions, USERS)


def test_scores_by_its_formula(task, past, monkeypatch):
    """score = (x (D_i + 1)^-1/2 F) F' D_i^power, F = (I + beta K)^1/2 V, R (I + beta K)^1/2 = U S V'."""
    monkeypatch.setattr("ml.bridge.scorers.kernel_svd.SVD_TOLERANCE", 1e-4)
    X = union(task)
    du, di = X.sum(axis=1, keepdims=True), X.sum(axis=0)
    R = (du + 1) ** -0.5 * X * (di + 1) ** -0.5
    Z = TextKernel().of(stacked([task.catalogues[d].vectors for d in ORDER], [50, 30, 40]))
    M = linalg.sqrtm(np.eye(120) + 0.5 * Z.astype(np.float64) @ Z.T).real
    F = M @ np.linalg.svd(R @ M)[2][:6].T
    expected = (X * (di + 1) ** -0.5) @ F @ F.T * np.where(di > 0, di, 1) ** 0.7
    scores = KernelJointSVD(6, 0.5).fit(task).score(past)
    assert np.allclose(scores, expected[:, -40:], atol=2e-3 * np.abs(expected).max())


def test_without_the_kernel_it_is_the_joint_svd(task, past, world):
    plain = JointSVD(6).fit(task).score(past)
    assert np.allclose(KernelJointSVD(6, 0.0).fit(task).score(past), plain, atol=1e-6)
    bare = bridge_world.task_of(world.with_vectors({}))
    unread = KernelJointSVD(6).fit(bare)
    assert np.allclose(unread.score(past), plain, atol=1e-6)
    assert unread.choice.beta == 0


def test_a_domain_without_text_leaves_the_others_their_kernel(world, past):
    vectors = {d: world.catalogues[d].vectors for d in ("books", "films")}
    some = bridge_world.task_of(world.with_vectors(vectors))
    scores = KernelJointSVD(6, 1.0).fit(some).score(past)
    assert not np.allclose(scores, JointSVD(6).fit(some).score(past), atol=1e-3)


def untouched(task, items):
    """The task with all interactions of some of the target's items gone."""
    log = task.interactions["books"]
    kept = log.select(~np.isin(log.items, items))
    return replace(task, interactions={**task.interactions, "books": kept}, memo={})


def test_cold_items_are_ranked_by_their_text(task):
    """Of ten items nobody has touched, users' favourites are found by their group's text alone."""
    cold = np.arange(10, 20)
    hidden = untouched(task, cold)
    past = histories(hidden.interactions, USERS)
    truth = task.interactions["books"].matrix()[:, cold].toarray() > 0
    asked = truth.any(axis=1) & (past.counts("films") > 2)

    def precision(scorer):
        scores = scorer.fit(hidden).score(past).numpy()[:, cold][asked]
        assert np.isfinite(scores).all()
        return truth[asked][np.arange(asked.sum()), scores.argmax(axis=1)].mean()

    chance = truth[asked].mean()
    assert precision(KernelJointSVD(8, 1.0)) > 1.5 * chance
    scores = KernelJointSVD(8, 0.0).fit(hidden).score(past).numpy()[:, cold]
    assert np.allclose(scores, 0, atol=1e-4)


def test_beta_is_chosen_inside_the_task_and_told(task):
    scorer = KernelJointSVD(8).fit(task)
    assert scorer.choice.beta in scorer.choice.betas
    assert scorer.choice.betas[0] == 0
    assert len(scorer.choice.ndcg) == len(scorer.choice.betas)
    assert 0 < scorer.choice.users < 40
    facts, arrays = scorer.state()
    again = make("kernel_svd", scorer.settings).restore(facts, arrays)
    assert again.choice == scorer.choice
    given = KernelJointSVD(8, scorer.choice.beta).fit(task)
    past = histories(task.interactions, USERS)
    assert np.allclose(given.score(past), scorer.score(past), atol=1e-6)


def test_it_may_be_chosen_for_cold_users_only(task):
    names = set(scenario_candidates("cold", task))
    assert set(kernel_candidates(task)) <= names
    assert not any(name.startswith("kernel_svd") for name in scenario_candidates("time", task))


def test_a_catalogue_without_text_has_no_kernel_candidate(world):
    assert kernel_candidates(bridge_world.task_of(world)) != {}
    assert kernel_candidates(bridge_world.task_of(world.with_vectors({}))) == {}
