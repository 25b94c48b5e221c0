"""Sparse products against scipy's, over every cut of the matrix, and what is refused as a matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ml.factorize import sparse as module
from ml.factorize.sparse import SparseOperator, check_matrix, sampled

CPU = torch.device("cpu")
PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-13)]


def long_tailed(m, n, seed=0):
    """Most entries in one row and one column, as in a log; some rows and columns are empty."""
    random = np.random.default_rng(seed)
    matrix = sparse.random(m, n, density=0.05, random_state=random, format="lil")
    matrix[m // 3], matrix[:, n // 3] = 1.5, -0.5
    matrix[0], matrix[-1], matrix[:, 0], matrix[:, -1] = 0, 0, 0, 0
    return matrix.tocsr()


def agrees(matrix, width, dtype, close):
    operator = SparseOperator(matrix, CPU)
    for way, other in ((operator, matrix), (operator.transposed, matrix.T)):
        operand = np.random.default_rng(1).standard_normal((other.shape[1], width))
        expected = other.astype(float) @ operand
        result = way.matmul(torch.from_numpy(operand).to(dtype))
        assert (result.dtype, tuple(result.shape)) == (dtype, expected.shape)
        np.testing.assert_allclose(result, expected, atol=close * max(1, np.abs(expected).max(initial=0)))


@pytest.fixture(params=[1, 2])
def threads(request):
    """torch's own setting is put back: other suites rely on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(("dtype", "close"), PRECISIONS)
@pytest.mark.parametrize("tile", [1, 13, 1 << 16])
@pytest.mark.parametrize("strip", [5, 32])
@pytest.mark.parametrize("part", [1, 200_000])
def test_no_cut_changes_the_product(tile, strip, part, dtype, close, threads, monkeypatch):
    for name, value in (("TILE", tile), ("STRIP", strip), ("PART_ENTRIES", part), ("CACHED_BYTES", 1)):
        monkeypatch.setattr(module, name, value)
    agrees(long_tailed(45, 31), 12, dtype, close)


def test_small_limits_do_cut(threads, monkeypatch):
    """The test above shows nothing where everything is still one part."""
    for name, value in (("TILE", 13), ("PART_ENTRIES", 40), ("PARTS", 1)):
        monkeypatch.setattr(module, name, value)
    parts = SparseOperator(long_tailed(60, 41), CPU)._in(torch.float32)
    assert [len(tiles) for tiles in parts] == [4] * min(threads, module.cores())
    assert (parts[0][0].rows.start, parts[-1][0].rows.stop) == (0, 60)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (1, 7), (7, 1), (6, 5)])
@pytest.mark.parametrize(("dtype", "close"), PRECISIONS)
def test_sides_of_no_or_one_row(shape, dtype, close):
    agrees(sparse.csr_matrix(shape), 3, dtype, close)
    agrees(sparse.csr_matrix(np.ones(shape)), 3, dtype, close)
    agrees(sparse.csr_matrix(np.ones(shape)), 0, dtype, close)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint8, np.bool_, np.float32, np.float64])
def test_every_kind_of_number(kind):
    agrees(
        sparse.csr_matrix(np.random.default_rng(0).integers(0, 2, (20, 15)).astype(kind)), 4, *PRECISIONS[0]
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.integers(1, 40), st.integers(0, 99))
def test_any_shape_and_density(m, n, density, width, seed):
    matrix = sparse.random(m, n, density=density, random_state=np.random.default_rng(seed), format="csr")
    agrees(matrix, width, torch.float64, 1e-12)


def test_an_operand_that_is_a_transpose_or_a_slice_is_read_as_it_is_seen():
    matrix = long_tailed(30, 20)
    operand = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 40)))
    result = SparseOperator(matrix, CPU).matmul(operand.T[::2])
    np.testing.assert_allclose(result, matrix @ operand.numpy().T[::2], atol=1e-12)


def test_the_transpose_is_built_once_and_leads_back():
    operator = SparseOperator(long_tailed(30, 20), CPU)
    assert operator.transposed is operator.transposed
    assert operator.transposed.transposed is operator
    assert operator.squared_norm() == pytest.approx(operator.transposed.squared_norm())


def test_the_squared_norm_of_small_integers_does_not_wrap():
    assert SparseOperator(sparse.csr_matrix(np.full((3, 3), 100, np.int8)), CPU).squared_norm() == 90_000


def test_sampled_products_are_those_at_the_entries():
    matrix = long_tailed(30, 20)
    left, right = (np.random.default_rng(side).standard_normal((side, 4)) for side in matrix.shape)
    rows, columns = matrix.nonzero()
    found = sampled(matrix, torch.from_numpy(left), torch.from_numpy(right))
    np.testing.assert_allclose(found, (left @ right.T)[rows, columns], atol=1e-12)
    assert len(sampled(sparse.csr_matrix((30, 20)), torch.from_numpy(left), torch.from_numpy(right))) == 0


def test_duplicates_are_summed_in_a_copy():
    matrix = sparse.csr_matrix((np.array([1.0, 2, 4]), np.array([1, 1, 0]), np.array([0, 3])), shape=(1, 2))
    checked = check_matrix(matrix)
    assert checked.toarray().tolist() == [[4, 3]]
    assert checked.has_canonical_format
    assert matrix.data.tolist() == [1, 2, 4]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, -1e300])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 1), (4, 3)])
def test_a_value_that_is_no_number_is_counted_and_found(value, row, column):
    dense = np.zeros((5, 4))
    dense[1, 2], dense[row, column] = 1, value
    with pytest.raises(ValueError, match=f"ratings has 1 NaN or infinite .* row {row}, column {column}: "):
        check_matrix(sparse.csr_matrix(dense), "ratings")
    with pytest.raises(ValueError, match=f"row {row + 100}, column {column}: "):
        check_matrix(sparse.csr_matrix(dense), "ratings", 100)


def test_the_first_of_many_bad_values_is_named():
    dense = np.ones((4, 3))
    dense[1:, 2] = np.nan
    with pytest.raises(ValueError, match="has 3 NaN or infinite values, the first at row 1, column 2"):
        check_matrix(sparse.csr_matrix(dense))
