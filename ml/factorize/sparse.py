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
TILE, STRIP, CACHED_BYTES = 1 << 15, 32, 1 << 22
# Fewer entries than this are not worth a second thread.
PART_ENTRIES = 200_000
# Row parts a core: equal entries do not take equal time, so whoever is done takes the next.
PARTS = 4
# Numbers that are widened to float64 at a time.
CHUNK = 1 << 16


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
        self._is_transposed = False
        self._parts: dict[torch.dtype, list[list[_Part]]] = {}
        self._transposed: SparseOperator | None = None

    @property
    def transposed(self) -> SparseOperator:
        """The (n, m) transpose, with CSR parts of its own: a product by them is far faster than by CSC."""
        if self._transposed is None:
            other = SparseOperator(self.csr, self.device)
            other.shape, other._is_transposed = self.shape[::-1], not self._is_transposed
            other._transposed, self._transposed = self, other
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

    def squared(self, dense: torch.Tensor) -> torch.Tensor:
        """A'(A dense)."""
        return self.transposed.matmul(self.matmul(dense))

    def squared_norm(self) -> float:
        """The sum of the squared stored values."""
        chunks = (self.csr.data[start : start + CHUNK] for start in range(0, self.csr.nnz, CHUNK))
        return float(sum(np.dot(wide, wide) for wide in (chunk.astype(np.float64) for chunk in chunks)))

    def _in(self, dtype: torch.dtype) -> list[list[_Part]]:
        """The matrix in row parts of about equally many entries, some a core, each in column tiles."""
        if dtype not in self._parts:
            nnz, width, on_gpu = self.csr.nnz, self.shape[1], self.device.type == "cuda"
            cuts, tiles = ranges(width, max(1, width) if on_gpu else TILE), dict[int, sparse.csr_matrix]()

            def take(cut: slice) -> None:
                tiles[cut.start] = self._columns(cut)

            for_each(take, cuts, torch.device("cpu"))
            count = 1 if on_gpu else 1 + min(PARTS * cores() - 1, nnz // PART_ENTRIES)
            starts = np.sum([tile.indptr for tile in tiles.values()], axis=0, dtype=np.int64)
            ends = np.searchsorted(starts, np.linspace(0, nnz, count + 1)[1:-1])
            self._parts[dtype] = [
                [_part(tiles[cut.start], slice(a, b), cut, dtype, self.device) for cut in cuts]
                for a, b in pairwise([0, *ends.tolist(), self.shape[0]])
                if b > a
            ]
        return self._parts[dtype]

    def _columns(self, cut: slice) -> sparse.csr_matrix:
        """These columns of the operator, from the one matrix that is held for both directions."""
        if self._is_transposed:
            return self.csr[cut].T.tocsr()
        return self.csr if cut.stop - cut.start == self.shape[1] else self.csr[:, cut]


def ranges(length: int, width: int) -> list[slice]:
    """0 to `length` in slices of `width`; one empty slice where there is nothing."""
    return [slice(start, min(start + width, length)) for start in range(0, length, width)] or [slice(0, 0)]


def _part(
    csr: sparse.csr_matrix, rows: slice, tile: slice, dtype: torch.dtype, device: torch.device
) -> _Part:
    """`rows` of what stands in `tile` of a matrix's columns, without a copy where the type allows it."""
    starts = csr.indptr[rows.start : rows.stop + 1]
    held = slice(starts[0], starts[-1])
    index = np.int32 if max(held.stop - held.start, csr.shape[1]) < 2**31 else np.int64
    return _Part(
        rows,
        tile,
        torch.from_numpy((starts - starts[0]).astype(index, copy=False)).to(device),
        torch.from_numpy(_own(csr.indices[held].astype(index, copy=False))).to(device),
        torch.from_numpy(_own(csr.data[held])).to(device, dtype),
    )


def _own(array: np.ndarray) -> np.ndarray:
    """Torch warns of arrays that are read-only, as those of a file are."""
    return np.require(array, requirements="W")


def sampled(matrix: sparse.csr_matrix, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(nnz,) inner products `left[i] . right[j]` at the stored entries (i, j); left (m, k), right (n, k)."""
    if matrix.nnz == 0:
        return torch.zeros(0, dtype=left.dtype, device=left.device)
    part = _part(matrix, slice(0, len(left)), slice(0, len(right)), left.dtype, left.device)
    return torch.sparse.sampled_addmm(part.csr(), left, right.T, beta=0.0).values()
