"""The ridge bridge against the conditions its closed form must meet, in numpy float64."""

import bridge_world
import numpy as np
import pytest
from scipy import sparse

from ml.bridge.blocks.profiles import SVDFactors, TargetHistory, TextProfile
from ml.bridge.contract import Task
from ml.bridge.histories import Histories, histories, past_and_next
from ml.bridge.scorers import ridge
from ml.bridge.scorers.ridge import RidgeBridge
from ml.factorize.als import WeightedALS


def profile_rows(task, domains):
    """Users with target history and any history in `domains`: features' histories and 0/1 targets."""
    log = task.interactions[task.target]
    known = sum(task.interactions[d].counts() for d in domains) > 0
    users = np.flatnonzero((log.counts() > 0) & known)
    return histories({d: task.interactions[d] for d in domains}, users), log.matrix(np.ones(len(log)))[users]


def next_rows(task):
    _, past, targets = past_and_next(task.interactions[task.target], 2.0, 10_000)
    return Histories({task.target: past.weights[""]}, {task.target: past.recency[""]}), targets


def dense(block, past):
    rows = block.encode(past)
    return (rows.toarray() if sparse.issparse(rows) else rows).astype(np.float64)


def assert_optimal(bridge, past, Y):
    """Zero gradient of |Yc - Ac B|^2 + sum_b ridge / scale_b^2 |B_b|^2, and the mean row is met exactly."""
    _, arrays = bridge.state()
    kept = [i for i, (_, scale) in enumerate(bridge.blocks) if scale]
    features = [dense(bridge.blocks[i][0], past) for i in kept]
    A, B = np.hstack(features), np.vstack([arrays[f"map{i}"] for i in kept]).astype(np.float64)
    penalty = np.concatenate(
        [
            np.full(f.shape[1], bridge.ridge / bridge.blocks[i][1] ** 2)
            for f, i in zip(features, kept, strict=True)
        ]
    )
    centred, rest = A - A.mean(axis=0), Y - Y.mean(axis=0)
    gradient = centred.T @ (centred @ B - rest) + penalty[:, None] * B
    assert np.abs(gradient).max() < 1e-4 * np.abs(centred.T @ rest).max()
    assert np.abs(B).max() > 1e-3
    assert np.allclose(arrays["constant"] + A.mean(axis=0) @ B, Y.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.3, 1.0), (2.0, 0.1)])
@pytest.mark.parametrize("wide", [False, True])
def test_profile_bridge_is_the_optimum(task, scales, wide):
    second = TargetHistory("books", least=2) if wide else SVDFactors("tools", 5)
    bridge = RidgeBridge([(TextProfile("films"), scales[0]), (second, scales[1])], ridge=3.0).fit(task)
    past, targets = profile_rows(task, ("films", second.domain))
    assert_optimal(bridge, past, targets.toarray().astype(np.float64))


def test_next_bridge_is_the_optimum(task):
    blocks = [(TargetHistory("books", 2.0, least=2), 1.0), (TextProfile("books", tau=2.0), 0.5)]
    bridge = RidgeBridge(blocks, ridge=4.0, rows="next", tau_next=2.0).fit(task)
    past, targets = next_rows(task)
    assert_optimal(bridge, past, targets.toarray().astype(np.float64))


def test_factor_bridge_is_the_optimum_for_the_targets_factors(task):
    bridge = RidgeBridge([(SVDFactors("films", 6), 1.0)], ridge=1.0, als=bridge_world.ALS).fit(task)
    past, targets = profile_rows(task, ("films",))
    factors = WeightedALS(**bridge_world.ALS, seed=task.seed, device="cpu").fit(targets)
    assert_optimal(bridge, past, factors.users.astype(np.float64))
    assert np.array_equal(bridge.state()[1]["out"], factors.items)


def test_scale_zero_drops_a_block(task):
    both = RidgeBridge([(SVDFactors("films", 6), 1.0), (TextProfile("films"), 0.0)], ridge=2.0).fit(task)
    alone = RidgeBridge([(SVDFactors("films", 6), 1.0)], ridge=2.0).fit(task)
    past = histories(task.interactions, np.arange(60))
    assert np.allclose(both.score(past), alone.score(past), atol=1e-5)
    assert not both.state()[1]["map1"].any()


def test_a_user_without_history_gets_the_constant(task):
    bridge = RidgeBridge([(SVDFactors("films", 6), 1.0)], ridge=2.0).fit(task)
    nobody = histories(task.interactions, np.array([119]))
    assert np.array_equal(bridge.score(nobody)[0].numpy(), bridge.state()[1]["constant"])


def apart(task):
    """No user of the target has any history in films."""
    known = task.interactions["books"].counts() > 0
    films = task.interactions["films"].of_users(~known)
    return Task("books", ("films",), {**task.interactions, "films": films}, task.catalogues, device="cpu")


@pytest.mark.parametrize("als", [None, bridge_world.ALS])
def test_without_a_shared_user_a_bridge_says_nothing(task, als):
    bridge = RidgeBridge([(SVDFactors("films", 6), 1.0), (TextProfile("films"), 1.0)], ridge=2.0, als=als)
    scores = bridge.fit(apart(task)).score(histories(apart(task).interactions, np.arange(120)))
    assert not scores.any()


def test_a_log_without_a_sequence_teaches_nothing_of_what_comes_next(task):
    log = task.interactions["books"]
    first = log.select(np.append(True, log.users[1:] != log.users[:-1]))
    once = Task("books", (), {"books": first}, task.catalogues, device="cpu")
    bridge = RidgeBridge([(TargetHistory("books", least=1), 1.0)], ridge=2.0, rows="next").fit(once)
    assert not bridge.score(histories(once.interactions, np.arange(120))).any()


def test_a_history_without_columns_leaves_the_mean(task):
    bridge = RidgeBridge([(TargetHistory("books", least=10_000), 1.0)], ridge=2.0).fit(task)
    past, targets = profile_rows(task, ("books",))
    assert np.allclose(bridge.score(past), np.asarray(targets.mean(axis=0)), atol=1e-6)
    one = past.rows(slice(0, 1))
    assert np.allclose(bridge.parts(one, np.array([3])).total(), bridge.score(one)[0, [3]])


def wide_task():
    """1100 items, each seen by somebody: their map onto themselves is wide enough to be stored sparse."""
    rng = np.random.default_rng(0)
    shuffles = [rng.permutation(1100).reshape(220, 5) for _ in range(2)]
    rows = [
        (220 * part + user, place, int(item), 1.0)
        for part, shuffle in enumerate(shuffles)
        for user, items in enumerate(shuffle)
        for place, item in enumerate(items)
    ]
    return Task("d", (), {"d": bridge_world.log_of(rows, 440, 1100)}, {}, device="cpu")


def test_a_wide_map_keeps_the_largest_entries_of_each_row(monkeypatch):
    monkeypatch.setattr(ridge, "KEPT_PER_ROW", 7)
    task = wide_task()
    bridge = RidgeBridge([(TargetHistory("d", least=1), 1.0)], ridge=5.0).fit(task)
    facts, arrays = bridge.state()
    kept = sparse.csr_matrix(
        (arrays["map0.data"], arrays["map0.indices"], arrays["map0.indptr"]), (1100, 1100)
    )
    assert (np.diff(kept.indptr) == 7).all()
    past, targets = profile_rows(task, ("d",))
    A, Y = dense(bridge.blocks[0][0], past), targets.toarray()
    A, Y = A - A.mean(axis=0), Y - Y.mean(axis=0)
    whole = np.linalg.solve(A.T @ A + 5.0 * np.eye(1100), A.T @ Y)
    held = kept.toarray()
    assert np.allclose(held[held != 0], whole[held != 0], atol=1e-5)
    least = np.abs(np.where(held != 0, held, np.inf)).min(axis=1)
    assert (least + 1e-5 >= np.abs(np.where(held != 0, 0, whole)).max(axis=1)).all()
    past = histories(task.interactions, np.arange(5))
    again = RidgeBridge([(TargetHistory("d", least=1), 1.0)], ridge=5.0).restore(facts, arrays)
    assert np.array_equal(again.score(past), bridge.score(past))
    one, items = past.rows(slice(2, 3)), np.arange(0, 1100, 50)
    assert np.allclose(bridge.parts(one, items).total(), bridge.score(one)[0, items], atol=1e-5)
