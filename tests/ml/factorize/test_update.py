"""An updated SVD against the full solve: bounds, ten windows of a growing world, what could be missed."""

import numpy as np
import pytest
from scipy import sparse

from ml.factorize.svd import truncated_svd
from ml.factorize.update import lost_energy, placed, update
from ml.factorize.weighting import weighting

TASTES, RANK = 8, 8


class World:
    """Users and items of TASTES tastes that come one after the other; entries arrive in random order.

    A user's items are mostly of his taste, by popularity. Every fifth entry is hidden from all matrices.
    """

    def __init__(self, users=600, items=400, entries=14_000, seed=0):
        random = np.random.default_rng(seed)
        taste = random.integers(TASTES, size=users), random.integers(TASTES, size=items)
        who = random.integers(users, size=4 * entries)
        what = random.choice(items, 4 * entries, p=self._popularity(items, random))
        kept = (taste[0][who] == taste[1][what]) | (random.random(len(who)) < 0.03)
        pairs = np.unique(np.stack([who[kept], what[kept]], 1), axis=0)
        arrival = np.maximum(pairs[:, 0] / users, pairs[:, 1] / items) + 0.6 * random.random(len(pairs))
        self.pairs, self.shape = pairs[np.argsort(arrival, kind="stable")], (users, items)
        self.hidden = random.random(len(pairs)) < 0.2

    @staticmethod
    def _popularity(items, random):
        weights = random.permutation(np.arange(1, items + 1) ** -0.6)
        return weights / weights.sum()

    def plain(self, share, hidden=False):
        """What the first `share` of the log holds, or what is hidden of all of it."""
        end = len(self.pairs) if hidden else int(share * len(self.pairs))
        users, items = self.pairs[:end][self.hidden[:end] == hidden].T
        return sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), self.shape)

    def weighted(self, share):
        plain = self.plain(share)
        return weighting(plain, "degree", smoothing=5).of_users(plain)

    def recall(self, v):
        """recall@10 of the hidden entries among unseen items."""
        scores = (self.weighted(1) @ v) @ v.T
        scores[self.plain(1).nonzero()] = -np.inf
        top = np.argpartition(-scores, 10, axis=1)[:, :10]
        relevant = self.plain(1, hidden=True).toarray() > 0
        counts = relevant.sum(1)
        return (np.take_along_axis(relevant, top, 1).sum(1)[counts > 0] / counts[counts > 0]).mean()


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def after_ten(world):
    """Ten windows, each a twentieth of the log, on factors of its first half."""
    found = truncated_svd(world.weighted(0.5), RANK)
    for share in np.linspace(0.55, 1, 10):
        found = update(world.weighted(share), found.v, RANK)
    return found


def test_ten_windows_keep_recall_within_one_percent_of_the_full_solve(world, after_ten):
    full = world.recall(truncated_svd(world.weighted(1), RANK, tolerance=1e-4).v)
    start = world.recall(truncated_svd(world.weighted(0.5), RANK).v)
    assert full > 1.1 * start  # the windows matter: factors of the first half are far worse
    assert world.recall(after_ten.v) >= 0.99 * full


def test_ten_windows_lose_less_than_a_thousandth_of_the_energy(world, after_ten):
    exact = np.linalg.svd(world.weighted(1).toarray(), compute_uv=False)[:RANK]
    lost = 1 - np.square(after_ten.s).sum() / np.square(exact).sum()
    assert lost < 1e-3
    assert lost_energy(after_ten) <= lost + 1e-6  # what it says is lost is lost indeed


@pytest.mark.parametrize("steps", [1, 2])
def test_the_distance_from_the_full_solve_is_bounded_by_the_residuals(world, steps):
    matrix = world.weighted(1)
    found = update(matrix, truncated_svd(world.weighted(0.5), RANK).v, RANK, steps=steps)
    dense, u, v = matrix.toarray().astype(float), found.u.astype(float), found.v.astype(float)
    np.testing.assert_allclose(dense @ v, u * found.s, atol=1e-5)
    gap = dense.T @ u - v * found.s
    np.testing.assert_allclose(np.linalg.norm(gap, axis=0), found.residuals, atol=1e-5)
    exact = np.linalg.svd(dense, compute_uv=False)
    assert (found.s <= exact[:RANK] + 1e-6).all()  # Cauchy: projections never exceed
    # Weyl and Kahan: all of them lie within |gap| of different true values.
    nearest = np.abs(exact[:, None] - found.s).min(0)
    assert nearest.max() <= np.linalg.norm(gap, 2) + 1e-6
    np.testing.assert_allclose(u.T @ u, np.eye(RANK), atol=1e-5)
    np.testing.assert_allclose(v.T @ v, np.eye(RANK), atol=1e-5)
    assert found.energy == pytest.approx(np.square(found.s).sum() / np.square(dense).sum(), rel=1e-5)


def test_more_steps_come_nearer(world):
    start = truncated_svd(world.weighted(0.5), RANK).v
    energies = [np.square(update(world.weighted(1), start, RANK, steps=n).s).sum() for n in (1, 2, 4)]
    assert energies == sorted(energies)


def test_an_island_of_new_users_and_items_is_found():
    # No product with A'A leads from the old items to the new ones.
    old = np.zeros((60, 50))
    old[:40, :30] = 1
    new = old.copy()
    new[40:, 30:] = 2
    found = update(sparse.csr_matrix(new), truncated_svd(sparse.csr_matrix(old), 2).v, 2)
    expected = np.linalg.svd(new, compute_uv=False)[:2]
    np.testing.assert_allclose(found.s, expected, rtol=1e-5)


def test_the_rank_may_grow_and_shrink(world):
    matrix = world.weighted(1)
    start = truncated_svd(matrix, 6, tolerance=1e-4).v
    exact = np.linalg.svd(matrix.toarray(), compute_uv=False)
    np.testing.assert_allclose(update(matrix, start, 3).s, exact[:3], rtol=1e-3)
    np.testing.assert_allclose(update(matrix, start, 8, steps=4).s, exact[:8], rtol=5e-3)
    assert update(matrix, np.zeros((matrix.shape[1], 0)), RANK, steps=8).s == pytest.approx(
        exact[:8], rel=0.02
    )


def test_unchanged_matrix_unchanged_factors(world):
    matrix = world.weighted(1)
    solved = truncated_svd(matrix, RANK, tolerance=1e-5)
    again = update(matrix, solved.v, RANK)
    np.testing.assert_allclose(again.s, solved.s, rtol=1e-5)
    np.testing.assert_allclose(again.v, solved.v, atol=1e-3)
    assert lost_energy(again) < 1e-6


def test_the_seed_decides_every_bit_and_the_largest_entry_is_positive(world):
    start = truncated_svd(world.weighted(0.5), RANK).v
    one, two = (update(world.weighted(1), start, RANK, seed=3) for _ in range(2))
    assert np.array_equal(one.u, two.u)
    assert np.array_equal(one.v, two.v)
    assert (one.v[np.abs(one.v).argmax(0), np.arange(RANK)] > 0).all()


def test_empty_rows_and_columns_have_zero_factors(world):
    matrix = world.weighted(1).tolil()
    matrix[7], matrix[:, 5] = 0, 0
    start = truncated_svd(world.weighted(0.5), RANK).v.copy()
    start[5] = 0
    found = update(matrix.tocsr(), start, RANK)
    np.testing.assert_allclose(found.u[7], 0, atol=1e-6)
    np.testing.assert_allclose(found.v[5], 0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (3, 40), (30, 20)])
def test_small_and_empty_matrices(shape):
    matrix = sparse.csr_matrix(np.random.default_rng(0).random(shape))
    found = update(matrix, np.zeros((shape[1], 2)), 50)
    np.testing.assert_allclose((found.u * found.s) @ found.v.T, matrix.toarray(), atol=1e-5)
    nothing = update(sparse.csr_matrix(shape), np.zeros((shape[1], 2)), 2)
    assert not nothing.s.any()
    assert (nothing.energy, lost_energy(nothing)) == (0, 0)


def test_placed_by_hand():
    factors = np.array([[1.0], [2], [3]])
    found = placed(factors, np.array(["a", "c", "d"]), np.array(["d", "b", "a"]))
    assert found.tolist() == [[3], [0], [1]]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"steps": 0}, "at least 1"),
        ({"rank": 0}, "at least 1"),
        ({"item_factors": np.zeros((5, 2))}, "place them by their ids"),
        ({"item_factors": np.full((4, 2), np.nan)}, "NaN or infinite"),
    ],
)
def test_faults_say_what_is_wrong(keys, message):
    good = {"item_factors": np.zeros((4, 2)), "rank": 2}
    with pytest.raises(ValueError, match=message):
        update(sparse.identity(4, format="csr"), **{**good, **keys})
