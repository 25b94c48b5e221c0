"""Operators against the dense matrices they stand for."""

import numpy as np
import pytest
import torch
from scipy import sparse

from ml.factorize.kernel_svd import KernelRoot
from ml.factorize.operators import Product, norm_by_products
from ml.factorize.sparse import SparseOperator
from ml.factorize.svd import svd_of_operator

CPU = torch.device("cpu")


def dense(m, n, seed=0):
    return np.random.default_rng(seed).standard_normal((m, n))


def rooted(n, rank=12, seed=0):
    """Identity plus low rank, and its entries."""
    features = dense(n, rank, seed).astype(np.float32)
    root = KernelRoot(features, 2.0, CPU)
    return root, np.eye(n) + root.low.double().numpy() @ root.low.double().numpy().T


def entries(m, n, seed=0):
    matrix = sparse.random(m, n, density=0.2, random_state=np.random.default_rng(seed), format="csr")
    return SparseOperator(matrix, CPU), matrix.toarray()


def root(m, n):
    return rooted(n)


def multiplied(m, n):
    (a, A), (b, B) = entries(m, 12, seed=3), entries(12, n, seed=4)
    return Product(a, b), A @ B


def nested(m, n):
    """Two matrices of entries with a kernel's root between them."""
    (a, A), (middle, M), (b, B) = entries(m, 12, seed=3), rooted(12, seed=7), entries(12, n, seed=4)
    return Product(Product(a, middle), b), A @ M @ B


@pytest.fixture(params=[entries, root, multiplied, nested], ids=lambda make: make.__name__)
def pair(request):
    """An operator of 20 columns and its entries."""
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
    none, wide = (SparseOperator(sparse.csr_matrix(shape), CPU) for shape in ((0, 4), (4, 6)))
    assert (none.squared_norm(), Product(none, wide).squared_norm()) == (0, 0)


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
    full = [sparse.csr_matrix(np.full(shape, v)) for shape, v in (((9, 2), value), ((2, 7), 1e3))]
    operator = Product(*(SparseOperator(matrix, CPU) for matrix in full))
    with pytest.raises(ValueError, match="product with the operator holds NaN or infinite values"):
        svd_of_operator(operator, 2)


def test_shapes_that_do_not_fit_are_named():
    wide, _ = entries(4, 6)
    with pytest.raises(ValueError, match=r"\(4, 6\) and \(4, 6\) cannot be multiplied"):
        Product(wide, wide)
