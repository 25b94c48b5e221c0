"""FAISS behind the interface of the exact index: flat, IVF-PQ for millions of items, HNSW for single queries.

FAISS knows nothing of seen items, so a search fetches more than k and filters. A query that is left with
fewer than k although more items remain is answered by the exact search: exclusion never shortens a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ml.retrieval import faiss_build
from ml.retrieval.exact import check_request, top_k
from ml.retrieval.index import (
    check_content,
    check_folder,
    check_items,
    finish_folder,
    read_manifest,
    start_folder,
)

# Fetching more than this costs more than the exact answer for the few users who have seen that much.
MAX_FETCH = 2048
# With fewer items allowed than one in this many, exact search over them is the quicker one.
SELECTIVE = 10
# Candidates whose products are made at once: 4 MB for 128 dimensions.
RERANKED = 8192


class FaissIndex:
    """Inner-product search over items (n, d) by FAISS. `kind`: one of `faiss_build.KINDS`.

    vectors: (n, d) float32, what exact answers are made from; read from disk where the index was loaded.
    parameters: what the index was built with, kept in the manifest.
    """

    file_name = "items.faiss"
    vectors_name = "items.npy"

    def __init__(
        self,
        index: Any,
        vectors: np.ndarray,
        item_ids: np.ndarray,
        digest: str,
        kind: str,
        parameters: Mapping[str, int],
    ) -> None:
        self._index = faiss_build.on_device(index)
        self.vectors, self.item_ids = vectors, np.asarray(item_ids, dtype=str)
        self.digest, self.kind = digest, kind
        self.parameters: Mapping[str, int] = parameters

    @classmethod
    def build(cls, items: np.ndarray, item_ids: np.ndarray, digest: str, kind: str = "flat") -> FaissIndex:
        """Index `items` (n, d) float32; deterministic. IVF-PQ of too few items to train on becomes flat."""
        if kind not in faiss_build.KINDS:
            raise ValueError(f"index kind {kind!r}: expected {' or '.join(faiss_build.KINDS)}")
        check_items(items, item_ids)
        vectors = np.ascontiguousarray(items, dtype=np.float32)
        if len(vectors) < faiss_build.LEAST.get(kind, 0):
            kind = "flat"
        index, parameters = faiss_build.build(vectors, kind)
        return cls(index, vectors, item_ids, digest, kind, parameters)

    @property
    def dimension(self) -> int:
        """Length of one vector."""
        return int(self._index.d)

    @property
    def files(self) -> list[str]:
        """What a folder holds beside ids and manifest."""
        return [self.file_name, self.vectors_name]

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: sparse.csr_matrix | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions and scores as `ml.retrieval.exact.top_k` returns them; an approximate kind may miss some.

        Queries that have seen much, and filters that leave few items, are answered exactly.
        """
        q, n = shape = (len(queries), len(self.vectors))
        check_request(shape, k, exclude, allowed)
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if 0 in shape or self._answers_exactly(allowed):
            return top_k(queries, self.vectors, k, exclude, allowed)
        seen = _nonzero(exclude, shape)
        counts = np.diff(seen.indptr)
        # Queries that need about as many candidates search together.
        need = np.minimum(n, 1 << np.ceil(np.log2(k + counts)).astype(int))
        positions = np.full((q, k), -1, dtype=np.int64)
        scores = np.full((q, k), -np.inf, dtype=np.float32)
        for fetch in np.unique(need[need <= max(MAX_FETCH, k)]):
            rows = np.flatnonzero(need == fetch)
            positions[rows], scores[rows] = self._candidates(
                queries[rows], k, int(fetch), seen[rows], allowed
            )
        remaining = n - counts
        if allowed is not None:
            remaining = allowed.sum() - seen.astype(np.int64) @ allowed.astype(np.int64)
        short = np.flatnonzero((positions >= 0).sum(axis=1) < np.minimum(k, remaining))
        if len(short):
            positions[short], scores[short] = top_k(queries[short], self.vectors, k, seen[short], allowed)
        return positions, scores

    def _answers_exactly(self, allowed: np.ndarray | None) -> bool:
        if allowed is None:
            return False
        return faiss_build.on_gpu(self._index) or SELECTIVE * int(allowed.sum()) < len(allowed)

    def _candidates(
        self,
        queries: np.ndarray,
        k: int,
        fetch: int,
        seen: sparse.csr_matrix,
        allowed: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best of what FAISS finds, without what was seen or is not allowed."""
        found = faiss_build.search(self._index, self.kind, queries, fetch, allowed)
        valid = (found.positions >= 0) & ~_holds(seen, found.positions)
        scores = found.scores if found.exact else self._products(queries, found.positions)
        return _first_valid(found.positions, scores, valid, k)

    def _products(self, queries: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """(q, c) inner products with the items at `positions`, exactly: codes only order roughly."""
        scores = np.empty(positions.shape, dtype=np.float32)
        rows = max(1, RERANKED // positions.shape[1])
        for start in range(0, len(queries), rows):
            part = slice(start, start + rows)
            near = self.vectors[positions[part]]  # -1 reads the last item: the caller knows the slot is empty
            scores[part] = np.matmul(near, queries[part, :, None])[:, :, 0]
        return scores

    def save(self, folder: Path) -> None:
        """Write the index into `folder`, the manifest last."""
        start_folder(folder)
        faiss_build.write(self._index, self.kind, folder / self.file_name)
        np.save(folder / self.vectors_name, self.vectors)
        finish_folder(folder, self)

    @classmethod
    def load(cls, folder: Path, digest: str) -> FaissIndex:
        """Read an index of the model `digest`; IndexFileError where it is torn or another model's.

        The vectors stay on disk and are read as they are needed.
        """
        kind = read_manifest(folder)["kind"]
        manifest, item_ids = check_folder(folder, digest, kind)
        index = faiss_build.read(folder / cls.file_name)
        # Copy-on-write: torch takes no read-only memory; nothing is ever written.
        vectors = np.load(folder / cls.vectors_name, mmap_mode="c" if len(item_ids) else None)
        check_content(folder, manifest, index.ntotal, index.d)
        check_content(folder, manifest, *vectors.shape)
        return cls(index, vectors, item_ids, digest, kind, manifest["parameters"])


def _nonzero(exclude: sparse.csr_matrix | None, shape: tuple[int, int]) -> sparse.csr_matrix:
    """The stored non-zero entries, one each, sorted; `exclude` itself is left alone."""
    seen = sparse.csr_matrix(shape, dtype=bool) if exclude is None else exclude.astype(bool)
    seen.sum_duplicates()
    seen.eliminate_zeros()
    return seen


def _holds(seen: sparse.csr_matrix, positions: np.ndarray) -> np.ndarray:
    """(q, c) bool: which of each row's `positions` the same row of `seen` (sorted, without zeros) holds."""
    if not seen.nnz:
        return np.zeros(positions.shape, dtype=bool)
    n = seen.shape[1]
    keys = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)) * n + seen.indices
    asked = np.arange(len(positions))[:, None] * n + positions
    place = np.searchsorted(keys, asked).clip(max=len(keys) - 1)
    return keys[place] == asked


def _first_valid(
    positions: np.ndarray, scores: np.ndarray, valid: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best valid slots of each row, ties to the lower position; -1 and -inf where there are fewer."""
    scores = np.where(valid, scores, -np.inf).astype(np.float32)
    order = np.lexsort((positions, -scores), axis=1)[:, :k]
    width = order.shape[1]
    best = np.full((len(positions), k), -1, dtype=np.int64)
    values = np.full((len(positions), k), -np.inf, dtype=np.float32)
    values[:, :width] = np.take_along_axis(scores, order, axis=1)
    best[:, :width] = np.where(
        np.isfinite(values[:, :width]), np.take_along_axis(positions, order, axis=1), -1
    )
    return best, values
