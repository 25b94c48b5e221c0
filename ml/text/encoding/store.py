"""Vectors by text hash on disk, so that no text is ever embedded twice by the same encoder.

One folder per encoder key holds append-only Parquet shards. A shard is named by the SHA-256 of its bytes:
names never collide between writers, no lock is needed, and a torn or altered shard does not match its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml import columns as c
from ml.text.encoding.matrix_file import find_matrix, write_matrix

VECTOR = "vector"
# A shard under this many rows is small; so many small shards are merged. 65,536 x 384 floats are 100 MB.
SHARD_ROWS = 65_536
MAX_SMALL_SHARDS = 32
# A file that is being written is minutes old; an older one was left by a process that was killed.
ABANDONED_SECONDS = 86_400


@dataclass(frozen=True)
class Contents:
    """What a store holds, or what pruning it freed: vectors and bytes on disk."""

    rows: int
    size: int


class EmbeddingStore:
    """Vectors of one encoder. Several processes may read and add at once."""

    def __init__(self, folder: Path, key: str, dimension: int) -> None:
        self.folder, self.key, self.dimension = Path(folder) / key, key, dimension
        self._schema = pa.schema([(c.TEXT_HASH, pa.string()), (VECTOR, pa.list_(pa.float32(), dimension))])
        self._hashes: dict[Path, pa.Array] = {}

    @classmethod
    def existing(cls, folder: Path, key: str) -> EmbeddingStore | None:
        """The store of a key as it lies on disk, with its own dimension; None where no shard is readable."""
        for path in sorted((Path(folder) / key).glob("*.parquet")):
            with contextlib.suppress(OSError, pa.ArrowInvalid, KeyError):
                return cls(folder, key, pq.read_schema(path).field(VECTOR).type.list_size)
        return None

    def __len__(self) -> int:
        """Number of distinct texts."""
        return pc.count_distinct(self._known()).as_py()

    def missing(self, hashes: Iterable[str | None]) -> list[str]:
        """The distinct hashes that have no vector yet, in order of appearance; None is skipped."""
        wanted = pc.unique(pa.array(list(hashes), pa.string()).drop_null())
        return wanted.filter(pc.invert(pc.is_in(wanted, value_set=self._known()))).to_pylist()

    def add(self, hashes: Sequence[str], vectors: np.ndarray) -> None:
        """Append `vectors` (n, dimension) as one new shard, visible whole or not at all.

        Raises ValueError for a wrong shape, a hash of None, or a vector that is not finite.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.shape != (len(hashes), self.dimension):
            raise ValueError(
                f"{len(hashes)} hashes need vectors ({len(hashes)}, {self.dimension}), got {vectors.shape}"
            )
        if any(text_hash is None for text_hash in hashes):
            raise ValueError("a vector needs a text hash; leave items without text out")
        if not np.isfinite(vectors).all():
            raise ValueError(
                "vectors hold NaN or infinity: check the encoder's precision (fp16 can overflow)"
            )
        if len(hashes):
            self._write(pa.array(list(hashes), pa.string()), vectors)
            self._compact()

    def matrix(self, hashes: Iterable[str | None]) -> np.ndarray:
        """(n, dimension) float32, one row per hash; a zero row for None and for a hash without a vector."""
        wanted = pa.array(list(hashes), pa.string())
        out = np.zeros((len(wanted), self.dimension), dtype=np.float32)
        self._fill(wanted, out)
        return out

    def domain_matrix(self, name: str, hashes: Iterable[str | None]) -> np.memmap:
        """`matrix` as a file of this domain, mapped into memory: readers share it, and none holds a copy.

        The file is built when the hashes changed, or vectors that it lacked have come; it appears whole or
        not at all, and one whose bytes do not match its name is built again. Writing to the array changes no
        file (torch takes no read-only ones).
        """
        wanted = pa.array(list(hashes), pa.string())
        texts = hashlib.sha256("\n".join(text_hash or "" for text_hash in wanted.to_pylist()).encode())
        texts.update(str(self.dimension).encode())
        folder, whole = self.folder / "matrices", texts.hexdigest()[:16]
        if (found := find_matrix(folder, name, whole)) is not None:
            return found
        known = self._refresh()
        if not pc.all(pc.is_in(wanted.drop_null(), value_set=self._known()), min_count=0).as_py():
            texts.update(b"missing")  # also while there is no shard at all: zeros are not the whole
            for path in known:  # with rows missing, every new shard may hold one of them
                texts.update(path.stem.encode())
            if (found := find_matrix(folder, name, texts.hexdigest()[:16])) is not None:
                return found
        shape = (len(wanted), self.dimension)
        return write_matrix(folder, name, texts.hexdigest()[:16], shape, lambda out: self._fill(wanted, out))

    def _fill(self, wanted: pa.Array, out: np.ndarray) -> None:
        open_rows = np.asarray(wanted.is_valid())
        for path, known in self._refresh().items():
            # fill_null: a null would otherwise match a null of the value set.
            rows = pc.index_in(wanted, value_set=known, skip_nulls=True).fill_null(-1).to_numpy()
            hits = np.flatnonzero((rows >= 0) & open_rows)
            if not len(hits):
                continue
            table = self._read(path)
            if table is None:  # compacted away or damaged since it was listed: look again
                return self._fill(wanted, out)
            out[hits] = _vectors(table)[rows[hits]]
            open_rows[hits] = False

    def contents(self) -> Contents:
        """Vectors and bytes, as the directory and the shards' footers say: no vector is read."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        rows = 0
        for path in files:
            with contextlib.suppress(pa.ArrowInvalid):  # a damaged one holds nothing
                rows += pq.read_metadata(path).num_rows if path.suffix == ".parquet" else 0
        return Contents(rows, sum(path.stat().st_size for path in files))

    def prune(self, keep: Callable[[], Iterable[str]], dry_run: bool = False) -> Contents:
        """Drop the vectors of hashes that are not in `keep()`, and files that are only in the way.

        `keep` is called after the shards are listed, so that texts that another process embeds meanwhile
        stay. With `dry_run` nothing changes; the vectors are exact then, their bytes estimated.
        """
        shards = dict(self._refresh())
        kept = pa.array(list(keep()), pa.string())
        rows = size = 0
        for path, known in shards.items():
            stays = pc.is_in(known, value_set=kept)
            gone = len(known) - pc.sum(stays, min_count=0).as_py()
            table = None if dry_run or not gone else self._read(path)
            rows += gone
            size += gone * (known.nbytes // max(1, len(known)) + 4 * self.dimension)
            if table is not None:
                left = table.filter(stays)
                if len(left):
                    self._write(left[c.TEXT_HASH].combine_chunks(), _vectors(left))
                path.unlink(missing_ok=True)
        long_ago = time.time() - ABANDONED_SECONDS
        killed = [path for path in self.folder.rglob(".*.tmp") if path.stat().st_mtime < long_ago]
        for path in [*killed, *self.folder.glob("*.damaged")]:
            size += path.stat().st_size
            if not dry_run:
                path.unlink(missing_ok=True)
        return Contents(rows, size)

    def _known(self) -> pa.Array:
        return pa.concat_arrays([pa.array([], pa.string()), *self._refresh().values()])

    def _refresh(self) -> dict[Path, pa.Array]:
        """Shards on disk and their hashes; only shards not seen before are read."""
        paths = sorted(self.folder.glob("*.parquet"))
        for path in paths:
            if path not in self._hashes:
                table = self._read(path)
                if table is not None:
                    self._hashes[path] = table[c.TEXT_HASH].combine_chunks()
        self._hashes = {path: self._hashes[path] for path in paths if path in self._hashes}
        return self._hashes

    def _read(self, path: Path) -> pa.Table | None:
        """A shard, or None where another process merged it away or it is damaged (then it is set aside)."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content).hexdigest() == path.stem:
            table = pq.read_table(pa.BufferReader(content))
            if table.schema.equals(self._schema):
                return table
            raise ValueError(
                f"{path} holds {table.schema.field(VECTOR).type}, expected {self.dimension} floats"
            )
        with contextlib.suppress(FileNotFoundError):  # another reader was quicker
            path.replace(path.with_suffix(".damaged"))
        warnings.warn(
            f"embedding shard {path.name} is damaged and was set aside as .damaged: its texts count as "
            "missing and are embedded again by the next run of item_embeddings",
            stacklevel=4,
        )
        return None

    def _write(self, hashes: pa.Array, vectors: np.ndarray) -> Path:
        values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), self.dimension)
        sink = pa.BufferOutputStream()
        table = pa.table([hashes, values], schema=self._schema)
        # Unit vectors are noise to a compressor: plain pages are as small and several times quicker.
        pq.write_table(table, sink, compression="none", use_dictionary=False)
        content = sink.getvalue()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{hashlib.sha256(content).hexdigest()}.parquet"
        beside = self.folder / f".{os.getpid()}-{uuid.uuid4().hex}.tmp"
        beside.write_bytes(content)
        beside.replace(path)
        return path

    def _compact(self) -> None:
        """Merge the smallest shards when there are many; a reader finds every text at any moment."""
        small = sorted(
            (len(known), path) for path, known in self._refresh().items() if len(known) < SHARD_ROWS
        )
        if len(small) <= MAX_SMALL_SHARDS:
            return
        group: list[tuple[Path, pa.Table]] = []
        rows = 0
        for _, path in small:
            table = self._read(path) if rows < SHARD_ROWS else None
            if table is not None:
                group.append((path, table))
                rows += len(table)
        hashes = pa.concat_arrays([table[c.TEXT_HASH].combine_chunks() for _, table in group])
        # One row per text: two domains that hold the same text may both have embedded it.
        _, first = np.unique(hashes.to_numpy(zero_copy_only=False), return_index=True)
        vectors = np.concatenate([_vectors(table) for _, table in group])
        merged = self._write(hashes.take(pa.array(first)), vectors[first])
        for path, _ in group:
            if path != merged:
                path.unlink(missing_ok=True)


def _vectors(table: pa.Table) -> np.ndarray:
    column = table[VECTOR].combine_chunks()
    return column.flatten().to_numpy().reshape(len(table), -1)
