"""Held-out values: chance does not pass for a gain, a real one stays, and nobody judges the own choice."""

import numpy as np
import pytest
import torch

from ml.bridge.select.blend import Blend, Pool, choose_blend, standardise
from ml.bridge.select.cross_fit import FOLDS, blended, held_out_values, part_of


def pool_of(users, candidates, seed, told=0.0):
    """Candidates of pure noise about 40 items, `told` of the truth in each; "floor" knows nothing either."""
    rng = np.random.default_rng(seed)
    relevant = rng.random((users, 40)) < 0.1
    relevant[:, 0] = True
    draw = {"floor": rng.standard_normal((users, 40))}
    draw |= {f"n{i}": rng.standard_normal((users, 40)) + told * relevant for i in range(candidates)}
    scores = {name: standardise(torch.from_numpy(s).float()) for name, s in draw.items()}
    return Pool(scores, torch.from_numpy(relevant), torch.from_numpy(relevant.sum(axis=1)))


def gains(seed, told):
    """(in-sample gain over the floor, held-out gain over the floor)."""
    pool = pool_of(45, 25, seed, told)
    floor = choose_blend(pool, ["floor"], 5)[1]
    return (
        (choose_blend(pool, list(pool.scores), 5)[1] - floor).mean(),
        (held_out_values(pool, list(pool.scores), 5) - held_out_values(pool, ["floor"], 5)).mean(),
    )


def test_the_best_of_many_noises_gains_nothing_on_users_who_had_no_say():
    seen, held = np.mean([gains(seed, 0.0) for seed in range(8)], axis=0)
    assert seen > 0.05
    assert abs(held) < 0.02


def test_a_real_gain_stays():
    assert gains(0, 1.5)[1] > 0.2


def test_a_users_value_is_that_of_the_blend_the_others_chose():
    pool = pool_of(20, 4, 1, told=0.5)
    names, found = list(pool.scores), held_out_values(pool, list(pool.scores), 5)
    users = torch.arange(20)
    for fold in range(FOLDS):
        others, mine = users[users % FOLDS != fold], users[users % FOLDS == fold]
        blend, values = choose_blend(part_of(pool, others), names, 5)
        whole = pool.value(blended(pool, blend), 5).numpy()
        assert np.allclose(whole[others], values, atol=1e-6)
        assert np.array_equal(found[mine], whole[mine])


def test_one_candidate_has_nothing_to_choose():
    pool = pool_of(10, 1, 2)
    assert np.allclose(held_out_values(pool, ["floor"], 5), choose_blend(pool, ["floor"], 5)[1])


@pytest.mark.parametrize("users", [1, FOLDS - 1])
def test_with_fewer_users_than_folds_nothing_is_said(users):
    assert held_out_values(pool_of(users, 2, 3), ["floor", "n0"], 5).tolist() == [0.0] * users


def test_a_blend_is_the_weighted_sum():
    pool = pool_of(4, 2, 4)
    expected = 0.25 * pool.scores["n0"] + 0.75 * pool.scores["n1"]
    assert torch.allclose(blended(pool, Blend({"n0": 0.25, "n1": 0.75})), expected)
