"""Weighted ALS against a dense reference in numpy that forms every weight and solves every row exactly."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import sparse

from ml.factorize import als_solve
from ml.factorize.als import ALSFactors, WeightedALS
from ml.factorize.normalise import bm25, degree, tf_idf
from ml.factorize.shards import MatrixShards, transpose_shards, write_shards


def interactions(m=60, n=40, seed=0):
    random = np.random.default_rng(seed)
    taste = random.standard_normal((m, 3)) @ random.standard_normal((3, n))
    observed = taste + random.standard_normal((m, n)) > 2.2
    observed[3] = False
    return sparse.csr_matrix(observed * random.integers(1, 4, (m, n)).astype(np.float32))


def dense_loss(matrix, users, items, alpha, regularisation):
    values = matrix.toarray()
    weights, target = 1 + alpha * values, (values > 0).astype(float)
    fit = (weights * (target - users @ items.T) ** 2).sum()
    return fit + regularisation * ((users**2).sum() + (items**2).sum())


def reference_rows(values, fixed, alpha, regularisation):
    """Each row's normal equations, written out."""
    eye = regularisation * np.eye(fixed.shape[1])
    rows = []
    for row in values:
        weights = np.diag(1 + alpha * row)
        rows.append(
            np.linalg.solve(fixed.T @ weights @ fixed + eye, fixed.T @ weights @ (row > 0).astype(float))
        )
    return np.array(rows)


def reference_als(matrix, rank, alpha, regularisation, iterations, seed):
    values = matrix.toarray().astype(float)
    items = np.random.default_rng(seed).standard_normal((values.shape[1], rank))
    for _ in range(iterations):
        users = reference_rows(values, items, alpha, regularisation)
        items = reference_rows(values.T, users, alpha, regularisation)
    return users, items


@pytest.mark.parametrize("solver", ["cg", "cholesky"])
@pytest.mark.parametrize("alpha, regularisation", [(10.0, 10.0), (2.0, 1.0)])
def test_reaches_the_loss_of_the_dense_reference(solver, alpha, regularisation):
    matrix = interactions()
    model = WeightedALS(5, alpha, regularisation, iterations=60, solver=solver)
    found = model.loss(matrix, model.fit(matrix))
    best = min(
        dense_loss(matrix, *reference_als(matrix, 5, alpha, regularisation, 60, seed), alpha, regularisation)
        for seed in range(3)
    )
    assert found == pytest.approx(best, rel=5e-3)


@pytest.mark.parametrize("solver", ["cg", "cholesky"])
def test_the_loss_never_rises(solver):
    matrix = interactions()
    models = [WeightedALS(6, iterations=i, solver=solver) for i in range(1, 12)]
    losses = [model.loss(matrix, model.fit(matrix)) for model in models]
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(losses))
    assert losses[-1] < 0.99 * losses[0]


def test_the_loss_is_that_of_all_pairs():
    matrix, random = interactions(), np.random.default_rng(1)
    users, items = random.standard_normal((60, 4)), random.standard_normal((40, 4))
    model = WeightedALS(4, alpha=3.0, regularisation=7.0)
    found = model.loss(matrix, ALSFactors(users, items))
    assert found == pytest.approx(dense_loss(matrix, users, items, 3.0, 7.0), rel=1e-10)


@pytest.mark.parametrize("numbers", [1 << 18, 100])
@pytest.mark.parametrize("rank", [3, 30])  # rows with more entries than factors, and with fewer
def test_fold_in_solves_the_normal_equations(monkeypatch, numbers, rank):
    monkeypatch.setitem(als_solve.BLOCK_NUMBERS, "cpu", numbers)  # the small one forces blocks of few rows
    matrix = interactions()
    model = WeightedALS(rank, alpha=4.0, regularisation=3.0)
    items = model.fit(matrix).items
    expected = reference_rows(matrix.toarray().astype(float), items.astype(float), 4.0, 3.0)
    found = model.fold_in(items, matrix)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found[3] == 0).all()  # no history


def test_a_new_item_is_folded_in_as_the_normal_equations_say():
    matrix = interactions()
    model = WeightedALS(8, alpha=4.0, regularisation=3.0)
    users, new = model.fit(matrix[:, :30]).users, matrix[:, 30:]
    expected = reference_rows(new.toarray().T.astype(float), users.astype(float), 4.0, 3.0)
    np.testing.assert_allclose(model.fold_in_items(users, new), expected, atol=1e-5)


def test_an_item_without_users_is_folded_in_as_zeros():
    users = np.ones((3, 2), np.float32)
    assert not WeightedALS(2).fold_in_items(users, sparse.csr_matrix((3, 4))).any()
    assert WeightedALS(2).fold_in_items(users, sparse.csr_matrix((3, 0))).shape == (0, 2)


def test_contributions_sum_to_the_folded_in_factor():
    matrix = interactions()
    model = WeightedALS(8, alpha=4.0, regularisation=3.0)
    items = model.fit(matrix).items
    for user in (0, 3, 17):
        positions, vectors = model.item_contributions(items, matrix[user])
        assert positions.tolist() == matrix[user].indices.tolist()
        np.testing.assert_allclose(vectors.sum(axis=0), model.fold_in(items, matrix[user])[0], atol=1e-5)


def test_an_observed_value_of_zero_is_still_observed():
    matrix = sparse.csr_matrix((np.array([0.0, 1.0]), ([0, 1], [0, 1])), shape=(2, 2))
    model = WeightedALS(2, regularisation=1.0)
    items = np.array([[1.0, 0.0], [0.0, 1.0]])
    # By hand: item 0 weighs 1 + 10 * 0 with target 1: (1 + 0 + 1) x = 1.
    np.testing.assert_allclose(model.fold_in(items, matrix)[0], [0.5, 0.0], atol=1e-6)


@pytest.mark.parametrize("bounds", ["BLOCK_NUMBERS", "BLOCK_ENTRIES"])
def test_blocks_of_rows_change_nothing(monkeypatch, bounds):
    matrix = interactions()
    whole = WeightedALS(6).fit(matrix)
    monkeypatch.setitem(getattr(als_solve, bounds), "cpu", 42)
    np.testing.assert_allclose(WeightedALS(6).fit(matrix).users, whole.users, atol=1e-4)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    matrix, threads = interactions(), torch.get_num_threads()
    monkeypatch.setitem(als_solve.BLOCK_NUMBERS, "cpu", 42)
    try:
        torch.set_num_threads(1)
        one = WeightedALS(6).fit(matrix)
        torch.set_num_threads(3)
        three = WeightedALS(6).fit(matrix)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(one.items, three.items)


@pytest.mark.parametrize("weighting", [lambda x: degree(x).matrix, lambda x: tf_idf(x).matrix, bm25])
def test_any_weighting_is_factorised_as_its_dense_objective_says(weighting):
    matrix = weighting(interactions())
    model = WeightedALS(5, 10.0, 2.0, iterations=60, solver="cholesky")
    best = min(dense_loss(matrix, *reference_als(matrix, 5, 10.0, 2.0, 60, s), 10.0, 2.0) for s in range(3))
    assert model.loss(matrix, model.fit(matrix)) == pytest.approx(best, rel=5e-3)


@dataclass(frozen=True)
class Pieces:
    """A matrix in memory that can only be read some rows at a time."""

    matrix: sparse.csr_matrix
    size: int

    @property
    def shape(self):
        return self.matrix.shape

    def __iter__(self):
        for first in range(0, self.matrix.shape[0], self.size):
            yield first, self.matrix[first : first + self.size]


@pytest.mark.parametrize("solver", ["cg", "cholesky"])
def test_shards_with_factors_on_disk_give_what_memory_gives(tmp_path, solver):
    matrix = interactions()
    model = WeightedALS(6, solver=solver)
    whole = model.fit(matrix)
    shards = Pieces(matrix, 7), Pieces(matrix.T.tocsr(), 9)
    streamed = model.fit(*shards, workspace=tmp_path / "als")
    np.testing.assert_allclose(streamed.users, whole.users, atol=1e-4)
    np.testing.assert_allclose(streamed.items, whole.items, atol=1e-4)
    np.testing.assert_allclose(np.load(tmp_path / "als" / "items.npy"), whole.items, atol=1e-4)
    assert sorted(path.name for path in (tmp_path / "als").iterdir()) == ["items.npy", "users.npy"]
    assert model.loss(shards[0], streamed) == pytest.approx(model.loss(matrix, whole), rel=1e-5)


def test_parquet_shards_give_what_memory_gives(tmp_path):
    matrix = interactions()
    rows = write_shards(tmp_path / "rows.parquet", MatrixShards(matrix, 50))
    columns = transpose_shards(rows, tmp_path / "columns.parquet", 50)
    np.testing.assert_allclose(
        WeightedALS(6).fit(rows, columns).items, WeightedALS(6).fit(matrix).items, atol=1e-4
    )


def test_shards_need_their_transpose_and_all_rows():
    matrix = interactions()
    columns = matrix.T.tocsr()
    with pytest.raises(ValueError, match="there are none"):
        WeightedALS(2).fit(Pieces(matrix, 7))
    with pytest.raises(ValueError, match=r"of shape \(60, 40\)"):
        WeightedALS(2).fit(matrix, matrix)

    class Torn(Pieces):
        def __iter__(self):
            return itertools.islice(super().__iter__(), 2)

    with pytest.raises(ValueError, match="end at row 14 of 60"):
        WeightedALS(2).fit(Torn(matrix, 7), columns)

    class Shuffled(Pieces):
        def __iter__(self):
            return reversed(list(super().__iter__()))

    with pytest.raises(ValueError, match="expected row 0"):
        WeightedALS(2).fit(Shuffled(matrix, 7), columns)


def test_a_bad_value_in_a_late_shard_is_named():
    matrix = interactions().tolil()
    matrix[50, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        WeightedALS(2).fit(Pieces(matrix.tocsr(), 7), matrix.T.tocsr())


def test_rows_and_columns_without_entries_get_zero_factors():
    matrix = interactions().tolil()
    matrix[:, 4] = 0
    factors = WeightedALS(6).fit(matrix.tocsr())
    np.testing.assert_allclose(factors.users[3], 0, atol=1e-6)
    np.testing.assert_allclose(factors.items[4], 0, atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (4, 3)])
def test_a_matrix_without_entries_gives_zeros(shape):
    factors = WeightedALS(2).fit(sparse.csr_matrix(shape))
    assert factors.users.shape == (shape[0], 2)
    assert factors.items.shape == (shape[1], 2)
    assert not factors.users.any()


def test_the_seed_decides_every_bit():
    matrix = interactions()
    one, two, other = (WeightedALS(6, seed=seed).fit(matrix) for seed in (0, 0, 1))
    assert np.array_equal(one.items, two.items)
    assert not np.allclose(one.items, other.items)


@pytest.mark.parametrize("value, message", [(np.nan, "NaN"), (-1.0, "negative")])
def test_bad_values_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        WeightedALS(2).fit(sparse.csr_matrix(np.array([[1.0, value]])))


def test_bad_settings_and_shapes_are_named():
    with pytest.raises(ValueError, match="regularisation"):
        WeightedALS(2, regularisation=0)
    with pytest.raises(ValueError, match="3 columns"):
        WeightedALS(2).fold_in(np.ones((4, 2)), sparse.csr_matrix((1, 3)))
    with pytest.raises(ValueError, match="expected cg or cholesky"):
        WeightedALS(2, solver="lu")


@pytest.mark.parametrize("seed", range(3))
def test_as_many_steps_as_factors_are_the_exact_solution(seed):
    matrix, random = interactions(seed=seed), np.random.default_rng(seed)
    whitened = torch.from_numpy(random.standard_normal((40, 8), dtype=np.float32) / 4)
    [block] = als_solve.blocks(matrix, 0, 8, torch.device("cpu"))
    start = torch.from_numpy(random.standard_normal((60, 8), dtype=np.float32))
    exact = als_solve.solve(block, whitened, 4.0)
    np.testing.assert_allclose(als_solve.approach(block, whitened, 4.0, start, 9), exact, atol=1e-3)
    rough = als_solve.approach(block, whitened, 4.0, start, 1)
    assert 0 < (rough - exact).norm() < (start - exact).norm()


def test_a_solved_row_stays_as_it_is():
    whitened = torch.eye(3)
    [block] = als_solve.blocks(sparse.csr_matrix([[0.0, 2.0, 0.0], [0, 0, 0]]), 0, 3, torch.device("cpu"))
    # By hand: (1 + 4 * 2) z_1 = 1 + 4 * 2, and a row without entries is 0.
    solved = torch.tensor([[0.0, 1.0, 0.0], [0, 0, 0]])
    np.testing.assert_allclose(als_solve.solve(block, whitened, 4.0), solved, atol=1e-6)
    np.testing.assert_allclose(als_solve.approach(block, whitened, 4.0, solved, 3), solved, atol=1e-6)
