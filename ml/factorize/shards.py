"""A sparse matrix larger than memory: pieces of whole rows, in a Parquet file, one row group each.

Whoever factorises reads one piece at a time, again in every pass; so memory holds a piece and the dense
blocks, and those too can lie in files (`room`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scipy import sparse

from ml.factorize.sparse import SparseOperator, check_matrix

SCHEMA = pa.schema([("row", pa.int64()), ("column", pa.int32()), ("value", pa.float32())])
# Entries of one piece: 64 MiB as CSR, and as much again for its transpose.
PIECE_ENTRIES = 1 << 23
# pyarrow cuts longer row groups in two.
GROUP_ENTRIES = 1 << 26
# A dense block above this lies in a file where a workspace is given.
BLOCK_BYTES = 1 << 28
_META = b"landbridge.shards"


class ShardFileError(RuntimeError):
    """A shard file is unfinished or of another kind; the message says what to do."""


class Shards(Protocol):
    """A sparse (m, n) matrix in pieces of whole rows, in order, that can be read again and again."""

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n) of the whole."""

    @property
    def nnz(self) -> int:
        """Stored entries."""

    def __iter__(self) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """The position of a piece's first row, and the piece (rows, n)."""


class MatrixShards:
    """A matrix in memory, in pieces of at most `entries` entries (a row is never cut)."""

    def __init__(self, matrix: sparse.csr_matrix, entries: int = PIECE_ENTRIES) -> None:
        self._matrix, self._entries = check_matrix(matrix), entries
        self.shape, self.nnz = matrix.shape, self._matrix.nnz

    def __iter__(self) -> Iterator[tuple[int, sparse.csr_matrix]]:
        offsets, first = self._matrix.indptr, 0
        while first < self.shape[0]:
            last = int(np.searchsorted(offsets, int(offsets[first]) + self._entries, side="right")) - 1
            last = min(max(last, first + 1), self.shape[0])
            yield first, self._matrix[first:last]
            first = last


class MappedShards:
    """The pieces of `matrix`, each changed by `change` whenever it is read: same shape, same entries."""

    def __init__(self, matrix: Shards, change: Callable[[sparse.csr_matrix], sparse.csr_matrix]) -> None:
        self.shape, self.nnz = matrix.shape, matrix.nnz
        self._matrix, self._change = matrix, change

    def __iter__(self) -> Iterator[tuple[int, sparse.csr_matrix]]:
        for first, rows in self._matrix:
            yield first, self._change(rows)


class ParquetShards:
    """A matrix in a file that `write_shards` made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
            facts = json.loads(self._file.metadata.metadata[_META])
        except (FileNotFoundError, pa.ArrowInvalid, KeyError, TypeError) as error:
            raise ShardFileError(f"{path} holds no finished matrix in shards: write it again") from error
        self.shape, self._bounds = tuple(facts["shape"]), facts["bounds"]
        self.nnz = self._file.metadata.num_rows

    def __iter__(self) -> Iterator[tuple[int, sparse.csr_matrix]]:
        if not self.nnz:
            yield 0, sparse.csr_matrix(self.shape, dtype=np.float32)
        for group, (first, last) in enumerate(zip(self._bounds[:-1], self._bounds[1:], strict=True)):
            table = self._file.read_row_group(group)
            row, column, value = (table[name].to_numpy() for name in SCHEMA.names)
            offsets = np.searchsorted(row, np.arange(first, last + 1))
            yield first, sparse.csr_matrix((value, column, offsets), shape=(last - first, self.shape[1]))


def write_shards(path: Path, matrix: Shards) -> ParquetShards:
    """Write `matrix` to `path`, one row group a piece; written beside and renamed.

    Raises ValueError where a piece has another width, is out of order, is too large for a row group or holds
    NaN or infinite values; a file that was at `path` stays.
    """
    beside = path.with_name(f".{path.name}.tmp")
    try:
        _write(beside, matrix)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(path)
    return ParquetShards(path)


def _write(beside: Path, matrix: Shards) -> None:
    end, bounds = 0, [0]
    with pq.ParquetWriter(beside, SCHEMA, compression="zstd") as writer:
        for first, rows in matrix:
            if first != end or rows.shape[1] != matrix.shape[1]:
                raise ValueError(
                    f"a piece of shape {rows.shape} starts at row {first}: expected row {end} and "
                    f"{matrix.shape[1]} columns"
                )
            end += rows.shape[0]
            if rows.nnz > GROUP_ENTRIES:
                raise ValueError(
                    f"the piece at row {first} has {rows.nnz} entries: at most {GROUP_ENTRIES} fit in one"
                )
            if rows.nnz:
                checked = check_matrix(rows, "the matrix to write", first)
                writer.write_table(_table(checked, first), row_group_size=rows.nnz)
                bounds.append(end)
        if end != matrix.shape[0]:
            raise ValueError(f"the pieces end at row {end} of {matrix.shape[0]}")
        bounds[-1] = end
        facts = json.dumps({"shape": list(matrix.shape), "bounds": bounds})
        writer.add_key_value_metadata({_META: facts.encode()})


def transpose_shards(matrix: Shards, path: Path, entries: int = PIECE_ENTRIES) -> ParquetShards:
    """Write the transpose of `matrix` to `path`: entries go to a bucket by their column, then on in order.

    The buckets lie beside `path` while it is written and hold about `entries` entries each.
    """
    held = np.zeros(matrix.shape[1], np.int64)
    for _, rows in matrix:
        held += np.bincount(rows.indices, minlength=matrix.shape[1])
    count = 1 + int(held.sum()) // entries
    inner = np.searchsorted(held.cumsum(), np.arange(1, count) * held.sum() / count) + 1
    bounds = np.unique([0, *inner.clip(max=matrix.shape[1]).tolist(), matrix.shape[1]])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        buckets = [Path(folder) / f"{bucket}.parquet" for bucket in range(len(bounds) - 1)]
        with ExitStack() as stack:
            writers = [stack.enter_context(pq.ParquetWriter(bucket, SCHEMA)) for bucket in buckets]
            for first, rows in matrix:
                by_column = sparse.csr_matrix(rows.T)
                for writer, start, stop in zip(writers, bounds[:-1], bounds[1:], strict=True):
                    part = by_column[start:stop]
                    table = _table(part, int(start))
                    moved = pa.array(part.indices.astype(np.int64) + first)
                    # Here a column is a row of the whole, which may need 64 bits: the fields change places.
                    writer.write_table(
                        pa.table([moved, table["row"].cast(pa.int32()), table["value"]], schema=SCHEMA)
                    )
        return write_shards(path, _Buckets(buckets, bounds, (matrix.shape[1], matrix.shape[0])))


class _Buckets:
    """Column ranges of a matrix, each in a file with the row before the column, as rows of the transpose."""

    def __init__(self, files: list[Path], bounds: np.ndarray, shape: tuple[int, int]) -> None:
        self._files, self._bounds, self.shape = files, bounds, shape
        self.nnz = sum(pq.read_metadata(file).num_rows for file in files)

    def __iter__(self) -> Iterator[tuple[int, sparse.csr_matrix]]:
        for file, first, last in zip(self._files, self._bounds[:-1], self._bounds[1:], strict=True):
            old_row, old_column, value = (pq.read_table(file)[name].to_numpy() for name in SCHEMA.names)
            places = (old_column - first, old_row)
            yield int(first), sparse.csr_matrix((value, places), shape=(last - first, self.shape[1]))


def _table(rows: sparse.csr_matrix, first: int) -> pa.Table:
    row = first + np.repeat(np.arange(rows.shape[0], dtype=np.int64), np.diff(rows.indptr))
    columns = [row, rows.indices.astype(np.int32), rows.data.astype(np.float32)]
    return pa.table([pa.array(column) for column in columns], schema=SCHEMA)


class ShardedOperator:
    """A matrix in pieces as an operator (`operators.Operator`); every product reads all of it once, and so
    does A'A where its rows are those of the pieces.

    workspace: a folder on a disk with room; dense results above BLOCK_BYTES lie there, in files without names
    that vanish with the process.
    """

    def __init__(self, shards: Shards, device: torch.device, workspace: Path | None = None) -> None:
        self.shape, self.device = shards.shape, device
        self._shards, self._workspace, self._is_transposed = shards, workspace, False

    @property
    def transposed(self) -> ShardedOperator:
        """The (n, m) transpose, from the same pieces."""
        other = ShardedOperator(self._shards, self.device, self._workspace)
        other._is_transposed = not self._is_transposed
        other.shape = (self.shape[1], self.shape[0])
        return other

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        """(m, b) product with `dense` (n, b), in the precision of `dense`."""
        result = room((self.shape[0], dense.shape[1]), dense.dtype, self.device, self._workspace)
        for here, piece in self._pieces():
            if self._is_transposed:
                result += piece.transposed.matmul(dense[here])
            else:
                result[here] = piece.matmul(dense)
        return result

    def squared(self, dense: torch.Tensor) -> torch.Tensor:
        """(n, b) A'A times `dense` (n, b): the sum of what the pieces give."""
        if self._is_transposed:  # each of its rows takes all pieces, so the second product must wait
            return self.transposed.matmul(self.matmul(dense))
        result = room((self.shape[1], dense.shape[1]), dense.dtype, self.device, self._workspace)
        for _, piece in self._pieces():
            result += piece.squared(dense)
        return result

    def _pieces(self) -> Iterator[tuple[slice, SparseOperator]]:
        """The rows of each piece in the whole, and the piece."""
        for first, rows in self._shards:
            checked = check_matrix(rows, "a shard", first)
            yield slice(first, first + rows.shape[0]), SparseOperator(checked, self.device)

    def squared_norm(self) -> float:
        """The sum of the squared entries, in one pass."""
        return sum(float(np.square(rows.data.astype(np.float64)).sum()) for _, rows in self._shards)


def room(
    shape: tuple[int, int], dtype: torch.dtype, device: torch.device, workspace: Path | None
) -> torch.Tensor:
    """Zeros of `shape`: in memory, or above BLOCK_BYTES in a file under `workspace` where there is one."""
    size = shape[0] * shape[1] * dtype.itemsize
    if workspace is None or device.type != "cpu" or size <= BLOCK_BYTES:
        return torch.zeros(shape, dtype=dtype, device=device)
    with tempfile.NamedTemporaryFile(dir=workspace, prefix="landbridge-block-") as file:
        file.truncate(size)
        numbers = shape[0] * shape[1]
        return torch.from_file(file.name, shared=True, size=numbers, dtype=dtype).view(shape)
