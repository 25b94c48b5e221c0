"""FAISS behind the interface of the exact index: flat for a catalogue, HNSW for a very large one.

FAISS knows nothing of seen items, so a search fetches more than k and filters. A query that is left with
fewer than k although more items remain is answered by the exact search: exclusion never shortens a list.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ml.retrieval.exact import check_request, top_k
from ml.retrieval.index import (
    check_content,
    check_folder,
    check_items,
    finish_folder,
    read_manifest,
    start_folder,
)

KINDS = ("flat", "hnsw")
HNSW_LINKS = 32
HNSW_BUILD_WIDTH = 200
HNSW_SEARCH_WIDTH = 128
# Fetching more than this costs more than the exact answer for the few users who have seen that much.
MAX_FETCH = 2048


class FaissIndex:
    """Inner-product search over items (n, d) by FAISS. `kind`: flat (every item) or hnsw (approximate)."""

    file_name = "items.faiss"

    def __init__(self, index: Any, item_ids: np.ndarray, digest: str, kind: str) -> None:
        self._index, self.item_ids, self.digest, self.kind = (
            index,
            np.asarray(item_ids, dtype=str),
            digest,
            kind,
        )

    @classmethod
    def build(cls, items: np.ndarray, item_ids: np.ndarray, digest: str, kind: str = "flat") -> FaissIndex:
        """Index `items` (n, d) float32; deterministic, for which HNSW is built on one thread."""
        import faiss

        if kind not in KINDS:
            raise ValueError(f"index kind {kind!r}: expected {' or '.join(KINDS)}")
        check_items(items, item_ids)
        index: Any
        if kind == "flat":
            index = faiss.IndexFlatIP(items.shape[1])
        else:
            index = faiss.IndexHNSWFlat(items.shape[1], HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = HNSW_BUILD_WIDTH
        threads = faiss.omp_get_max_threads()
        # Threads link the graph in the order they happen to run: two builds would answer differently.
        faiss.omp_set_num_threads(1 if kind == "hnsw" else threads)
        try:
            index.add(np.ascontiguousarray(items, dtype=np.float32))
        finally:
            faiss.omp_set_num_threads(threads)
        return cls(index, item_ids, digest, kind)

    @property
    def dimension(self) -> int:
        """Length of one vector."""
        return int(self._index.d)

    @property
    def items(self) -> np.ndarray:
        """(n, d) float32: the vectors, read back from the index."""
        return self._index.reconstruct_n(0, self._index.ntotal)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: sparse.csr_matrix | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions and scores as `ml.retrieval.exact.top_k` returns them; hnsw may miss some of the best."""
        shape = (len(queries), self._index.ntotal)
        check_request(shape, k, exclude, allowed)
        if 0 in shape:
            return np.full((shape[0], k), -1, dtype=np.int64), np.full(
                (shape[0], k), -np.inf, dtype=np.float32
            )
        unseen = np.ones(shape[1], dtype=bool) if allowed is None else np.asarray(allowed, dtype=bool)
        seen = sparse.csr_matrix(shape, dtype=bool) if exclude is None else exclude.astype(bool)
        seen.sum_duplicates()
        seen.eliminate_zeros()
        hidden = np.diff(seen.indptr) + (~unseen).sum()
        fetch = int(min(shape[1], MAX_FETCH, k + hidden.max()))
        positions, scores = self._fetch(
            np.ascontiguousarray(queries, dtype=np.float32), max(fetch, min(k, shape[1]))
        )
        valid = (positions >= 0) & unseen[positions]
        row = np.broadcast_to(np.arange(shape[0])[:, None], positions.shape)
        # A missing slot (-1) reads the last item's mark here; `valid` is False there already.
        valid &= ~np.asarray(seen[row.ravel(), positions.ravel()]).reshape(positions.shape)
        best, values = _first_valid(positions, scores, valid, k)
        remaining = unseen.sum() - seen.astype(np.int64) @ unseen.astype(np.int64)
        short = np.flatnonzero((best >= 0).sum(axis=1) < np.minimum(k, remaining))
        if len(short):
            best[short], values[short] = top_k(queries[short], self.items, k, seen[short], unseen)
        return best, values

    def _fetch(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        if self.kind == "hnsw":
            self._index.hnsw.efSearch = max(HNSW_SEARCH_WIDTH, 2 * k)
        scores, positions = self._index.search(queries, k)
        return positions, scores

    def save(self, folder: Path) -> None:
        """Write the index into `folder`, the manifest last."""
        import faiss

        start_folder(folder)
        faiss.write_index(self._index, str(folder / self.file_name))
        finish_folder(folder, self)

    @classmethod
    def load(cls, folder: Path, digest: str) -> FaissIndex:
        """Read an index of the model `digest`; IndexFileError where it is torn or another model's."""
        import faiss

        kind = read_manifest(folder)["kind"]
        manifest, item_ids = check_folder(folder, digest, kind)
        index = faiss.read_index(str(folder / cls.file_name))
        check_content(folder, manifest, index.ntotal, index.d)
        return cls(index, item_ids, digest, kind)


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
