"""Blocks of a few vectors: what their bases and inner products promise."""

import numpy as np
import pytest
import torch

from ml.factorize.dense import SUMMED, gram, orthonormal, orthonormal_columns


def test_orthonormal_directions_give_the_block_back():
    block = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 30)))
    directions, coefficients = orthonormal(block.clone(), 0.0)
    np.testing.assert_allclose(directions @ directions.T, np.eye(6), atol=1e-13)
    np.testing.assert_allclose(coefficients.T @ directions, block, atol=1e-12)
    dependent = torch.cat([block, block[:2] + block[2:4], torch.zeros(1, 30, dtype=torch.float64)])
    directions, coefficients = orthonormal(dependent.clone(), 1e-6)
    assert directions.shape == (6, 30)
    np.testing.assert_allclose(coefficients.T @ directions, dependent, atol=1e-12)


@pytest.mark.parametrize("n", [40, SUMMED, 3 * SUMMED + 5, 64 * SUMMED + 1])
def test_inner_products_however_they_are_cut(n):
    block = torch.from_numpy(np.random.default_rng(0).standard_normal((n, 5), dtype=np.float32))
    exact = block.double().T @ block.double()
    np.testing.assert_allclose(gram(block), exact, atol=1e-6 * n)
    assert gram(block).dtype == torch.float64


def test_nearly_dependent_rows_are_summed_in_double():
    """A direction of a ten-thousandth: products in float32 would round its square, 1e-8, away."""
    random = np.random.default_rng(0)
    row, other = np.linalg.qr(random.standard_normal((5000, 2)))[0].T
    block = torch.from_numpy(np.stack([row, row + 1e-4 * other]).astype(np.float32))
    directions, coefficients = orthonormal(block.clone(), 1e-5)
    assert directions.shape == (2, 5000)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-2)
    np.testing.assert_allclose(coefficients.T @ directions.double(), block, atol=1e-6)
    np.testing.assert_allclose(coefficients.norm(dim=1).min(), 1e-4 / 2**0.5, rtol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_orthonormal_basis_stays_as_it_is(dtype):
    basis = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).standard_normal((400, 12)))[0]).to(dtype)
    found, R = orthonormal_columns(basis.clone())
    assert torch.equal(found, basis)
    np.testing.assert_array_equal(R, np.eye(12))
