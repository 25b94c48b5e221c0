"""A sparse matrix as an operator: CSR products with dense blocks, on CPU cores or CUDA.

On the CPU the product is torch's embedding_bag: its kernel (FBGEMM's) prefetches the rows it gathers and
takes a half to a quarter of the time of the CSR products of torch, MKL and scipy. Three things more: 32-bit
indices (fewer bytes to read); strips and tiles of the operand that stay in cache; and one single-threaded
product a core on row parts of equally many entries (torch's own threads share out rows, and long-tailed logs
have their entries in few of them).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional

from ml.device import cores, for_each

# What a product gathers from stays in cache: TILE rows of the operand at a time, and as many columns as make
# CACHED_BYTES with them, but at least STRIP.
TILE, STRIP, CACHED_BYTES = 1 << 16, 32, 1 << 22
# Fewer entries than this are not worth a second thread.
PART_ENTRIES = 200_000


def check_matrix(matrix: sparse.spmatrix, what: str = "matrix", first_row: int = 0) -> sparse.csr_matrix:
    """The matrix as a canonical CSR (sorted, duplicates summed); ValueError where a value is NaN or infinite
    in float32. first_row: what the error counts rows from, where the matrix is a piece of another.
    """
    csr = sparse.csr_matrix(matrix)
    if not csr.has_canonical_format:
        csr = csr.copy()  # csr_matrix() shares its argument's arrays, and sum_duplicates sorts in place
        csr.sum_duplicates()
    with np.errstate(over="ignore"):
        finite = np.isfinite(csr.data.astype(np.float32, copy=False))
    bad = finite.size - np.count_nonzero(finite)
    if bad:
        first = int(finite.argmin())
        row = first_row + int(np.searchsorted(csr.indptr, first, side="right") - 1)
        raise ValueError(
            f"{what} has {bad} NaN or infinite values, the first at row {row}, column {csr.indices[first]}: "
            f"clean the weights before factorising ({csr.data[first]:g}; float32 ends at 3.4e38)"
        )
    return csr


def check_weights(matrix: sparse.spmatrix) -> sparse.csr_matrix:
    """Interactions as canonical CSR; ValueError where a value is negative, NaN or infinite."""
    csr = check_matrix(matrix, "the interaction matrix")
    if csr.nnz and csr.data.min() < 0:
        raise ValueError(
            f"the interaction matrix has negative values (least {csr.data.min()}): drop them first"
        )
    return csr


@dataclass(frozen=True)
class _Part:
    """Some rows and columns of a matrix: their CSR arrays on a device."""

    rows: slice
    tile: slice
    starts: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        if dense.device.type == "cpu":
            return functional.embedding_bag(
                self.columns,
                dense,
                self.starts,
                mode="sum",
                per_sample_weights=self.values,
                include_last_offset=True,
            )
        return self.csr() @ dense

    def csr(self) -> torch.Tensor:
        """As torch CSR."""
        with warnings.catch_warnings():  # torch announces on every start that its CSR support is in beta
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
            size = (len(self.starts) - 1, self.tile.stop - self.tile.start)
            return torch.sparse_csr_tensor(
                self.starts, self.columns, self.values, size=size, check_invariants=False
            )


class SparseOperator:
    """A fixed (m, n) sparse matrix on a device (see `ml.factorize.operators.Operator`)."""

    def __init__(self, matrix: sparse.csr_matrix, device: torch.device) -> None:
        self.shape, self.device, self.csr = matrix.shape, device, matrix
        self._parts: dict[torch.dtype, list[list[_Part]]] = {}
        self._transposed: SparseOperator | None = None

    @property
    def transposed(self) -> SparseOperator:
        """The (n, m) transpose, built once: a CSR product with the transpose is far faster than a CSC one."""
        if self._transposed is None:
            self._transposed = SparseOperator(self.csr.T.tocsr(), self.device)
            self._transposed._transposed = self
        return self._transposed

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        """(m, b) product with `dense` (n, b), in the precision of `dense`."""
        result = torch.empty((self.shape[0], dense.shape[1]), dtype=dense.dtype, device=self.device)
        width = dense.shape[1]
        if self.device.type == "cpu":
            width = max(STRIP, CACHED_BYTES // max(1, dense.itemsize * min(TILE, len(dense))))
        for first in range(0, dense.shape[1], width):
            columns = slice(first, first + width)
            strip = dense[:, columns].contiguous()

            def multiply(tiles: list[_Part], strip: torch.Tensor = strip, columns: slice = columns) -> None:
                total = tiles[0].matmul(strip[tiles[0].tile])
                for part in tiles[1:]:
                    total += part.matmul(strip[part.tile])
                result[tiles[0].rows, columns] = total

            for_each(multiply, self._in(dense.dtype), self.device)
        return result

    def squared_norm(self) -> float:
        """The sum of the squared stored values."""
        return float(np.square(self.csr.data.astype(np.float64)).sum())

    def _in(self, dtype: torch.dtype) -> list[list[_Part]]:
        """The matrix in row parts of about equally many entries, one a core, each in column tiles."""
        if dtype not in self._parts:
            csr, on_gpu = self.csr, self.device.type == "cuda"
            count = 1 if on_gpu else min(cores(), 1 + csr.nnz // PART_ENTRIES)
            ends = np.searchsorted(csr.indptr, np.linspace(0, csr.nnz, count + 1)[1:-1])
            bounds = pairwise([0, *ends.tolist(), self.shape[0]])
            tile = max(1, self.shape[1]) if on_gpu else TILE
            self._parts[dtype] = [
                _tiles(csr, slice(a, b), tile, dtype, self.device) for a, b in bounds if b > a
            ]
        return self._parts[dtype]


def _tiles(
    csr: sparse.csr_matrix, rows: slice, tile: int, dtype: torch.dtype, device: torch.device
) -> list[_Part]:
    part, width = csr[rows], csr.shape[1]
    if width <= tile:
        return [_part(part, rows, slice(0, width), dtype, device)]
    by_column = part.tocsc()
    cuts = [slice(start, min(start + tile, width)) for start in range(0, width, tile)]
    return [_part(by_column[:, cut].tocsr(), rows, cut, dtype, device) for cut in cuts]


def _part(
    csr: sparse.csr_matrix, rows: slice, tile: slice, dtype: torch.dtype, device: torch.device
) -> _Part:
    index = np.int32 if max(csr.nnz, csr.shape[1]) < 2**31 else np.int64
    return _Part(
        rows,
        tile,
        torch.from_numpy(csr.indptr.astype(index)).to(device),
        torch.from_numpy(csr.indices.astype(index)).to(device),
        torch.from_numpy(csr.data).to(device, dtype),
    )


def sampled(matrix: sparse.csr_matrix, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(nnz,) inner products `left[i] . right[j]` at the stored entries (i, j); left (m, k), right (n, k)."""
    if matrix.nnz == 0:
        return torch.zeros(0, dtype=left.dtype, device=left.device)
    part = _part(matrix, slice(0, len(left)), slice(0, len(right)), left.dtype, left.device)
    return torch.sparse.sampled_addmm(part.csr(), left, right.T, beta=0.0).values()
