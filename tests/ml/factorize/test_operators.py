"""Operators against the dense matrices they stand for."""

import numpy as np
import pytest
import torch
from scipy import sparse

from ml.factorize.operators import LowRank, Product, Sum, norm_by_products
from ml.factorize.sparse import SparseOperator
from ml.factorize.svd import svd_of_operator

CPU = torch.device("cpu")


def dense(m, n, seed=0):
    return np.random.default_rng(seed).standard_normal((m, n))


def low_rank(m, n, rank=3, seed=0):
    left, right = dense(m, rank, seed), dense(n, rank, seed + 1)
    return LowRank(torch.from_numpy(left), torch.from_numpy(right)), left @ right.T


def entries(m, n, seed=0):
    matrix = sparse.random(m, n, density=0.2, random_state=np.random.default_rng(seed), format="csr")
    return SparseOperator(matrix, CPU), matrix.toarray()


def summed(m, n):
    (a, A), (b, B) = low_rank(m, n), entries(m, n)
    return Sum(a, b), A + B


def multiplied(m, n):
    (a, A), (b, B) = entries(m, 12, seed=3), low_rank(12, n)
    return Product(a, b), A @ B


def nested(m, n):
    """A history of low rank, plus a window, through a kernel's root (identity plus low rank)."""
    (history, H), (window, W) = low_rank(m, n), entries(m, n)
    (root, R), eye = low_rank(n, n, 2, seed=7), sparse.identity(n, format="csr")
    return Product(Sum(history, window), Sum(SparseOperator(eye, CPU), root)), (H + W) @ (np.eye(n) + R)


@pytest.fixture(params=[low_rank, entries, summed, multiplied, nested], ids=lambda make: make.__name__)
def pair(request):
    """An operator (30, 20) and its entries."""
    return request.param(30, 20)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-4), (torch.float64, 1e-11)])
def test_products_are_those_of_the_dense_matrix(pair, dtype, close):
    operator, matrix = pair
    for way, other in ((operator, matrix), (operator.transposed, matrix.T)):
        operand = torch.from_numpy(dense(way.shape[1], 5, seed=9)).to(dtype)
        before = operand.clone()
        result = way.matmul(operand)
        assert (way.shape, result.dtype) == (other.shape, dtype)
        np.testing.assert_allclose(result, other @ before.numpy(), atol=close * np.abs(other).sum())
        assert torch.equal(operand, before)
        assert torch.equal(way.matmul(operand), result)  # no product is summed into an operand


def test_transposing_twice_is_the_operator(pair):
    operator, matrix = pair
    operand = torch.eye(20, dtype=torch.float64)
    np.testing.assert_allclose(operator.transposed.transposed.matmul(operand), matrix, atol=1e-11)


def test_the_squared_norm_is_that_of_the_entries(pair):
    operator, matrix = pair
    for way in (operator, operator.transposed):
        assert way.squared_norm() == pytest.approx((matrix**2).sum(), rel=1e-5)


@pytest.mark.parametrize("width", [1, 7, 20, 256])
def test_the_norm_by_products_needs_no_width(pair, width):
    operator, matrix = pair
    assert norm_by_products(operator, width) == pytest.approx((matrix**2).sum(), rel=1e-5)


def test_the_norm_of_values_whose_squares_float32_cannot_hold():
    operator, matrix = entries(30, 20)
    large = SparseOperator(operator.csr * 1e25, CPU)
    assert norm_by_products(large) == pytest.approx((matrix**2).sum() * 1e50, rel=1e-5)


def test_the_norm_of_nothing_is_zero():
    nothing = LowRank(torch.zeros(0, 2), torch.zeros(4, 2))
    assert (nothing.squared_norm(), Sum(nothing, nothing).squared_norm()) == (0, 0)


def test_the_svd_of_an_operator_is_that_of_its_entries(pair):
    operator, matrix = pair
    rank = min(6, np.linalg.matrix_rank(matrix))
    found = svd_of_operator(operator, rank, tolerance=1e-5)
    U, s, Vt = np.linalg.svd(matrix)
    np.testing.assert_allclose(found.s, s[:rank], rtol=1e-5)
    np.testing.assert_allclose(np.abs(found.u.T @ U[:, :rank]), np.eye(rank), atol=1e-3)
    np.testing.assert_allclose(np.abs(found.v.T @ Vt[:rank].T), np.eye(rank), atol=1e-3)
    assert found.energy == pytest.approx((s[:rank] ** 2).sum() / (s**2).sum(), rel=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_products_that_are_no_numbers_are_an_error(value):
    operator = LowRank(torch.full((9, 2), value), torch.full((7, 2), 1e3))
    with pytest.raises(ValueError, match="product with the operator holds NaN or infinite values"):
        svd_of_operator(operator, 2)


def test_shapes_that_do_not_fit_are_named():
    (wide, _), (tall, _) = low_rank(4, 6), low_rank(6, 4)
    with pytest.raises(ValueError, match=r"\(4, 6\) and \(6, 4\) cannot be added"):
        Sum(wide, tall)
    with pytest.raises(ValueError, match=r"\(4, 6\) and \(4, 6\) cannot be multiplied"):
        Product(wide, wide)
    with pytest.raises(ValueError, match=r"\(4, 2\) and right \(6, 3\): ranks differ"):
        LowRank(torch.zeros(4, 2), torch.zeros(6, 3))
