"""Weighted ALS against a dense reference in numpy that forms every weight and solves every row exactly."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from ml.factorize import als as module
from ml.factorize.als import ALSFactors, WeightedALS, conjugate_gradients


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


@pytest.mark.parametrize("chunk", [1 << 26, 2000])
def test_fold_in_solves_the_normal_equations(monkeypatch, chunk):
    monkeypatch.setattr(module, "CHUNK_NUMBERS", chunk)  # the small one forces chunks of a row or two
    matrix = interactions()
    model = WeightedALS(8, alpha=4.0, regularisation=3.0)
    items = model.fit(matrix).items
    expected = reference_rows(matrix.toarray().astype(float), items.astype(float), 4.0, 3.0)
    found = model.fold_in(items, matrix)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found[3] == 0).all()  # no history


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


def test_blocks_of_rows_change_nothing(monkeypatch):
    matrix = interactions()
    whole = WeightedALS(6).fit(matrix)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    np.testing.assert_allclose(WeightedALS(6).fit(matrix).users, whole.users, atol=1e-4)


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


def test_conjugate_gradients_are_exact_after_as_many_steps_as_unknowns():
    import torch

    random = np.random.default_rng(0)
    half = random.standard_normal((10, 4, 4))
    A = torch.from_numpy(half @ half.transpose(0, 2, 1) + np.eye(4))
    rhs = torch.from_numpy(random.standard_normal((10, 4)))
    found = conjugate_gradients(lambda z: torch.einsum("rij,rj->ri", A, z), rhs, torch.zeros_like(rhs), 4)
    np.testing.assert_allclose(found, torch.linalg.solve(A, rhs), atol=1e-8)
