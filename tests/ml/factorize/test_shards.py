"""Matrices in pieces on disk: the same matrix, the same factors, and files that are whole or refused."""

import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse

from ml.factorize import shards as module
from ml.factorize.shards import (
    MatrixShards,
    ParquetShards,
    ShardedOperator,
    ShardFileError,
    room,
    transpose_shards,
    write_shards,
)
from ml.factorize.svd import truncated_svd

CPU = torch.device("cpu")


class Pieces:
    """Pieces as they are given, right or wrong."""

    def __init__(self, shape, *pieces):
        self.shape, self.nnz, self._pieces = shape, sum(rows.nnz for _, rows in pieces), pieces

    def __iter__(self):
        return iter(self._pieces)


def whole(shards):
    """The matrix of all pieces, which must follow each other."""
    rows, end = [sparse.csr_matrix((0, shards.shape[1]))], 0
    for first, piece in shards:
        assert first == end
        end += piece.shape[0]
        rows.append(piece)
    assert end == shards.shape[0]
    return sparse.vstack(rows).toarray()


def log_like(m, n, seed=0):
    return sparse.random(
        m, n, density=0.1, random_state=np.random.default_rng(seed), format="csr", dtype=np.float32
    )


@st.composite
def matrices(draw):
    """Small matrices; runs of rows and columns, first and last among them, are empty."""
    m, n = draw(st.integers(0, 12)), draw(st.integers(0, 9))
    entries = st.sampled_from([0, 0, 0, 1, -2, 0.5])
    dense = np.array(draw(st.lists(entries, min_size=m * n, max_size=m * n)), np.float32).reshape(m, n)
    for axis, side in ((0, m), (1, n)):
        empty = draw(st.sets(st.integers(0, max(0, side - 1)), max_size=side))
        np.moveaxis(dense, axis, 0)[sorted(empty)[:side]] = 0
    return sparse.csr_matrix(dense)


HOLED = sparse.csr_matrix(np.diag([0, 0, 1, 0, 0, 2, 3, 0]).astype(np.float32))
NOTHING = sparse.csr_matrix((5, 3), dtype=np.float32)


@settings(max_examples=60, deadline=None)
@given(matrices(), st.integers(1, 30))
@example(HOLED, 1)
@example(NOTHING, 1)
@example(sparse.csr_matrix((0, 3), dtype=np.float32), 1)
@example(sparse.csr_matrix((3, 0), dtype=np.float32), 1)
def test_what_is_written_is_read_for_any_size_of_piece(tmp_path_factory, matrix, entries):
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    stored = write_shards(path, MatrixShards(matrix, entries))
    for read in (stored, ParquetShards(path)):
        assert (read.shape, read.nnz) == (matrix.shape, matrix.nnz)
        assert np.array_equal(whole(read), matrix.toarray())
        assert np.array_equal(whole(read), matrix.toarray())  # and again
    again = write_shards(path, stored)  # from the very file that it replaces
    assert np.array_equal(whole(again), matrix.toarray())


@settings(max_examples=60, deadline=None)
@given(matrices(), st.integers(1, 30), st.integers(1, 30))
@example(HOLED, 1, 1)
@example(HOLED, 2, 100)
@example(NOTHING, 1, 1)
@example(sparse.csr_matrix((0, 3), dtype=np.float32), 1, 1)
@example(sparse.csr_matrix((3, 0), dtype=np.float32), 1, 1)
def test_the_transpose_is_written_for_any_size_of_bucket(tmp_path_factory, matrix, entries, bucket):
    path = tmp_path_factory.getbasetemp() / "transpose.parquet"
    stored = transpose_shards(MatrixShards(matrix, entries), path, bucket)
    assert np.array_equal(whole(stored), matrix.T.toarray())
    assert [file for file in path.parent.iterdir() if path.name in file.name] == [path]


def test_pieces_hold_whole_rows_up_to_their_size():
    lengths = [2, 3, 9, 0, 1, 1, 0]
    matrix = sparse.csr_matrix(np.array([[1.0] * length + [0.0] * (9 - length) for length in lengths]))
    pieces = [(first, piece.nnz, piece.shape[0]) for first, piece in MatrixShards(matrix, 5)]
    assert pieces == [(0, 5, 2), (2, 9, 1), (3, 2, 4)]  # a row longer than a piece is one of its own


@settings(max_examples=25, deadline=None)
@given(matrices(), st.integers(1, 30), st.integers(0, 3))
def test_products_are_those_of_the_matrix(matrix, entries, width):
    operator = ShardedOperator(MatrixShards(matrix, entries), CPU)
    for way, other in ((operator, matrix), (operator.transposed, matrix.T)):
        operand = np.random.default_rng(0).standard_normal((other.shape[1], width))
        assert way.shape == other.shape
        np.testing.assert_allclose(way.matmul(torch.from_numpy(operand)), other @ operand, atol=1e-12)
        squared = other.T @ (other @ operand)
        np.testing.assert_allclose(way.squared(torch.from_numpy(operand)), squared, atol=1e-12)
        assert way.transposed.shape == other.T.shape
    assert operator.squared_norm() == pytest.approx(matrix.power(2).sum())


def test_a_product_with_the_square_reads_every_piece_once():
    class Counted(MatrixShards):
        reads = 0

        def __iter__(self):
            for piece in super().__iter__():
                self.reads += 1
                yield piece

    shards = Counted(log_like(20, 8), 10)
    pieces = len(list(MatrixShards(log_like(20, 8), 10)))
    operator = ShardedOperator(shards, CPU)
    for way, passes in ((operator, 1), (operator.transposed, 2)):
        shards.reads = 0
        way.squared(torch.ones(way.shape[1], 2))
        assert shards.reads == passes * pieces > passes


@pytest.fixture
def good(tmp_path):
    """A file that holds a matrix already."""
    path = tmp_path / "log.parquet"
    write_shards(path, MatrixShards(log_like(20, 8), 10))
    return path


def last_value(value):
    rows = np.zeros((2, 3))
    rows[1, 2] = value
    return sparse.csr_matrix(rows)


FIRST = (0, sparse.csr_matrix(np.ones((2, 3), np.float32)))
WRONG = {
    "expected row 2 and 3 columns": (3, sparse.csr_matrix((1, 3))),
    "starts at row 0: expected row 2": FIRST,
    r"shape \(2, 4\) starts at row 2: expected row 2 and 3": (2, sparse.csr_matrix((2, 4))),
    "the pieces end at row 3 of 4": (2, sparse.csr_matrix((1, 3))),
    "the pieces end at row 5 of 4": (2, sparse.csr_matrix((3, 3))),
    "to write has 1 NaN or infinite values, the first at row 3, column 2": (2, last_value(np.nan)),
    "the first at row 3, column 2: .*float32 ends at": (2, last_value(1e300)),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_write_that_fails_says_why_and_keeps_the_old_file(message, good):
    before = good.read_bytes()
    with pytest.raises(ValueError, match=message):
        write_shards(good, Pieces((4, 3), FIRST, WRONG[message]))
    assert good.read_bytes() == before
    assert list(good.parent.iterdir()) == [good]


def test_a_reader_that_breaks_off_keeps_the_old_file(good, tmp_path):
    class Broken(Pieces):
        def __iter__(self):
            yield FIRST
            raise OSError("the disk went away")

    before = good.read_bytes()
    for write in (write_shards, lambda path, matrix: transpose_shards(matrix, path)):
        with pytest.raises(OSError, match="went away"):
            write(good, Broken((4, 3), FIRST))
        assert good.read_bytes() == before
        assert list(tmp_path.iterdir()) == [good]


def test_a_piece_larger_than_a_row_group_is_refused(tmp_path, monkeypatch):
    """pyarrow would cut it in two, and the second half would be read as the rows of the next piece."""
    monkeypatch.setattr(module, "GROUP_ENTRIES", 5)
    with pytest.raises(ValueError, match="row 0 has 6 entries: at most 5 fit"):
        write_shards(tmp_path / "log.parquet", Pieces((2, 3), FIRST))


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from scipy import sparse
from ml.factorize.shards import write_shards

class Endless:
    shape, nnz = (10**9, 50), 10**9
    def __iter__(self):
        for first in range(0, 10**9, 1000):
            yield first, sparse.csr_matrix(np.ones((1000, 50), np.float32))
            if first == 3000:
                print("halfway", flush=True)
                time.sleep(600)

write_shards(Path(sys.argv[1]), Endless())
"""


def test_a_writer_that_is_killed_leaves_the_old_file_whole(good):
    before = whole(ParquetShards(good))
    with subprocess.Popen([sys.executable, "-c", KILLED, good], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "halfway\n"
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    assert len(list(good.parent.iterdir())) == 2  # it did write: beside
    assert np.array_equal(whole(ParquetShards(good)), before)
    matrix = log_like(9, 4, seed=1)
    write_shards(good, MatrixShards(matrix))  # what it left is no obstacle, and goes
    assert np.array_equal(whole(ParquetShards(good)), matrix.toarray())
    assert list(good.parent.iterdir()) == [good]


@pytest.mark.parametrize("keep", [0, 1, 0.5, -1])
def test_a_torn_file_is_refused(good, keep):
    data = good.read_bytes()
    good.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(ShardFileError, match=r"log\.parquet holds no finished matrix .*: write it again"):
        ParquetShards(good)


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "other.parquet"
    with pytest.raises(ShardFileError, match="write it again"):
        ParquetShards(path)
    for table in (pa.table({"row": [1]}), pa.table({"row": [1]}).replace_schema_metadata({"a": "b"})):
        pq.write_table(table, path)
        with pytest.raises(ShardFileError, match=r"other\.parquet holds no finished matrix in shards"):
            ParquetShards(path)


@pytest.mark.parametrize("shape", [(300, 120), (120, 300)])
@pytest.mark.parametrize("in_files", [True, False])
def test_the_factors_are_those_of_the_matrix_in_memory(shape, in_files, tmp_path, monkeypatch):
    matrix = log_like(*shape)
    stored = write_shards(tmp_path / "log.parquet", MatrixShards(matrix, 900))
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    blocks = []
    if in_files:
        monkeypatch.setattr(module, "BLOCK_BYTES", 0)
        made = torch.from_file
        monkeypatch.setattr(torch, "from_file", lambda *a, **o: blocks.append(a) or made(*a, **o))
    expected = truncated_svd(matrix, 6, tolerance=1e-5)
    found = truncated_svd(stored, 6, tolerance=1e-5, workspace=workspace)
    assert bool(blocks) == in_files
    assert all(str(workspace) in name for name, *_ in blocks)
    assert not list(workspace.iterdir())
    np.testing.assert_allclose(found.s, expected.s, rtol=1e-5)
    np.testing.assert_allclose(found.u, expected.u, atol=1e-3)  # signs are fixed
    np.testing.assert_allclose(found.v, expected.v, atol=1e-3)
    np.testing.assert_allclose(found.u.T @ found.u, np.eye(6), atol=1e-5)
    assert found.energy == pytest.approx(expected.energy, rel=1e-5)


def test_the_size_of_the_pieces_changes_rounding_only():
    matrix = log_like(100, 50)
    one, many = (truncated_svd(MatrixShards(matrix, size), 5, tolerance=1e-5) for size in (10**6, 30))
    np.testing.assert_allclose(one.s, many.s, rtol=1e-6)
    np.testing.assert_allclose(one.v, many.v, atol=1e-3)


def test_a_piece_that_goes_bad_is_named_by_its_row_in_the_whole():
    rows = Pieces((4, 3), FIRST, (2, last_value(np.inf)))
    with pytest.raises(ValueError, match="row 3, column 2"):
        truncated_svd(rows, 2)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (5, 3)])
def test_factors_of_nothing(shape, tmp_path):
    stored = write_shards(tmp_path / "log.parquet", MatrixShards(sparse.csr_matrix(shape, dtype=np.float32)))
    found = truncated_svd(stored, 2)
    k = min(2, *shape)
    assert (found.u.shape, found.v.shape) == ((shape[0], k), (shape[1], k))
    assert (found.s.tolist(), found.energy) == ([0.0] * k, 0)


def test_room_is_zero_and_in_a_file_only_where_it_is_large(tmp_path, monkeypatch):
    for limit, workspace in ((10**9, tmp_path), (0, None), (0, tmp_path)):
        monkeypatch.setattr(module, "BLOCK_BYTES", limit)
        block = room((3, 4), torch.float64, CPU, workspace)
        assert (block.shape, block.dtype, float(block.abs().sum())) == ((3, 4), torch.float64, 0)
        block += 1
        assert float(block.sum()) == 12
    assert not list(tmp_path.iterdir())
