"""The block Lanczos search: what its basis promises, whatever the scale, the size and the place."""

import numpy as np
import pytest
import torch
from scipy import sparse

from ml.factorize import dense, krylov, shards
from ml.factorize.dense import orthonormal
from ml.factorize.krylov import Pace, Space, ritz_basis
from ml.factorize.sparse import SparseOperator

CPU = torch.device("cpu")


def log_like(m, n, seed=0):
    return sparse.random(m, n, density=0.05, random_state=np.random.default_rng(seed), format="csr")


def search(matrix, k, **options):
    settings = {"seed": 0, "tolerance": 1e-3, "max_products": 300} | options
    return ritz_basis(SparseOperator(matrix, CPU), k, **settings)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 7, 40])
def test_the_basis_is_orthonormal_and_spans_the_leading_space(k, dtype):
    matrix = log_like(300, 180)
    found = search(matrix, k, dtype=dtype)
    v = found.vectors.double().numpy()
    assert (found.vectors.dtype, v.shape, found.precise) == (dtype, (180, k), True)
    np.testing.assert_allclose(v.T @ v, np.eye(k), atol=1e-5 if dtype == torch.float32 else 1e-13)
    s = np.linalg.svd(matrix.toarray(), compute_uv=False)
    lengths = np.linalg.norm(matrix @ v, axis=0)
    np.testing.assert_allclose(lengths, s[:k], rtol=1e-5)


@pytest.mark.parametrize("power", [-60, 60])
def test_the_scale_of_the_matrix_changes_no_bit(power):
    """A'A of values 2^60 has squares that float32 cannot sum; of 2^-60, none that it can hold."""
    matrix = log_like(120, 90).astype(np.float32)
    plain, scaled = search(matrix, 5), search(matrix * np.float32(2.0**power), 5)
    assert torch.equal(plain.vectors, scaled.vectors)
    assert plain.products == scaled.products


def test_no_more_products_than_allowed():
    operator = SparseOperator(log_like(400, 300), CPU)
    calls = []
    operator.squared = lambda dense: calls.append(dense.shape) or SparseOperator.squared(operator, dense)
    found = ritz_basis(operator, 5, seed=0, tolerance=1e-12, max_products=3, dtype=torch.float64)
    assert found.products == len(calls) == 3
    assert found.vectors.shape == (300, 5)


@pytest.mark.parametrize("products", range(1, 30))
def test_whatever_the_limit_the_best_so_far_is_returned(products, monkeypatch):
    """Also where the last product allowed is the one that fills the space."""
    monkeypatch.setattr(krylov, "BLOCK", 2)
    found = search(log_like(300, 250), 4, tolerance=1e-12, max_products=products, dtype=torch.float64)
    assert found.products == products
    assert found.vectors.shape == (250, min(4, 2 * products))
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(found.vectors.shape[1]), atol=1e-12)


def test_columns_without_entries_stay_exactly_zero():
    matrix = log_like(150, 90).tolil()
    matrix[:, [0, 44, 89]] = 0
    assert not search(matrix.tocsr(), 6).vectors[[0, 44, 89]].abs().max()


def test_restarts_keep_memory_bounded_and_reach_the_same_space(monkeypatch):
    spaces = []

    class Watched(Space):
        def __init__(self, largest, room):
            super().__init__(largest, room)
            self.restarts = 0
            spaces.append(self)

        def compress(self, *arguments):
            super().compress(*arguments)
            self.restarts += 1

    monkeypatch.setattr(krylov, "Space", Watched)
    monkeypatch.setattr(krylov, "BLOCK", 2)
    matrix = log_like(300, 250, seed=2)
    found = search(matrix, 4, tolerance=1e-5, dtype=torch.float64)
    (space,) = spaces
    assert space.restarts > 0
    assert len(space._rows) == 4 + 8 * 2 + 2
    Vt = np.linalg.svd(matrix.toarray())[2][:4]
    np.testing.assert_allclose(np.abs(found.vectors.numpy().T @ Vt.T), np.eye(4), atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("cut", [7, 1 << 12])
def test_the_projection_is_that_of_the_matrix(cut, threads, monkeypatch):
    """Grown, compressed and grown again, over any ranges of columns: V is orthonormal and T = V'A'AV."""
    monkeypatch.setattr(dense, "CUT", cut)
    matrix, before = log_like(60, 40).toarray(), torch.get_num_threads()
    squared = torch.from_numpy(matrix.T @ matrix)
    random = np.random.default_rng(0)
    try:
        torch.set_num_threads(threads)
        space = Space(24, torch.zeros((28, 40), dtype=torch.float64))
        fresh, _ = orthonormal(torch.from_numpy(random.standard_normal((4, 40))), 0.0)
        for step in range(9):
            space.append(fresh)
            fresh, coupling = space.outside(space.absorb(fresh @ squared))
            assert coupling.shape == (4, 4)
            if step == 4:
                space.compress(*space.ritz(), 5)
    finally:
        torch.set_num_threads(before)
    rows = space.rows
    np.testing.assert_allclose(rows @ rows.T, np.eye(space.size), atol=1e-13)
    projected = rows @ squared @ rows.T
    np.testing.assert_allclose(space._projected[: space.size, : space.size], projected, atol=1e-11)


def test_the_pace_waits_as_long_as_the_rate_says():
    pace, wanted = Pace(), torch.ones(2)
    assert not pace.reached(10, torch.tensor([1.0, np.e**8]), wanted)
    assert pace.due == 11  # no rate is known yet
    assert not pace.reached(12, torch.tensor([1.0, np.e**6]), wanted)
    assert pace.due == 12 + 4  # 6 left at 1 a product, looked at a little early
    assert not pace.reached(17, torch.tensor([np.e**7, 1.0]), wanted)
    assert pace.due == 18  # no progress: look again at once
    assert pace.reached(18, torch.ones(2), wanted)
    assert Pace().reached(1, torch.zeros(2), torch.zeros(2))


def test_a_space_in_a_file_is_the_same_and_leaves_nothing(tmp_path, monkeypatch):
    matrix = log_like(200, 150)
    inside = search(matrix, 6)
    monkeypatch.setattr(shards, "BLOCK_BYTES", 0)
    assert torch.equal(search(matrix, 6, workspace=tmp_path).vectors, inside.vectors)
    assert not list(tmp_path.iterdir())
