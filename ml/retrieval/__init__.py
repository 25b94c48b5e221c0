"""Nearest items by inner product: one interface, exact by torch or by FAISS where it is installed."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import numpy as np

from ml.device import pick_device
from ml.retrieval.index import ExactIndex, IndexFileError, ItemIndex, read_manifest, recall_against_exact

__all__ = ["ExactIndex", "IndexFileError", "ItemIndex", "build_index", "load_index", "recall_against_exact"]

KINDS = ("auto", "exact", "flat", "ivf_pq", "hnsw", "cagra")
EXACT_UP_TO = 500_000  # items; below, exact search in batches needs no index to be quick (docs/BENCHMARKS.md)

_log = logging.getLogger(__name__)


def faiss_installed() -> bool:
    """Whether FAISS can be imported (the extras `cpu` and `gpu` bring it)."""
    return importlib.util.find_spec("faiss") is not None


def build_index(items: np.ndarray, item_ids: np.ndarray, digest: str, kind: str = "auto") -> ItemIndex:
    """Index `items` (n, d). kind: one of KINDS.

    auto searches exactly up to EXACT_UP_TO items and wherever torch has a GPU, beyond that by IVF-PQ. Where a
    FAISS kind is asked for and FAISS is missing, exact search takes its place and the log says so.
    Raises ValueError for another kind, RuntimeError for cagra without a GPU.
    """
    if kind not in KINDS:
        raise ValueError(f"index kind {kind!r}: expected {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    if kind == "auto":
        small = len(items) <= EXACT_UP_TO or pick_device("auto").type == "cuda"
        kind = "exact" if small else "ivf_pq"
    if kind != "exact" and faiss_installed():
        from ml.retrieval.faiss_index import FaissIndex

        return FaissIndex.build(items, item_ids, digest, kind)
    if kind != "exact":
        _log.warning("FAISS is not installed: exact search instead of %s (pip install faiss-cpu)", kind)
    return ExactIndex(items, item_ids, digest)


def load_index(folder: Path, digest: str) -> ItemIndex:
    """Read an index of the model `digest`; IndexFileError if it is torn, another model's, or needs FAISS."""
    if read_manifest(folder)["kind"] == ExactIndex.kind:
        return ExactIndex.load(folder, digest)
    if not faiss_installed():
        raise IndexFileError(
            f"{folder} is a FAISS index: pip install faiss-cpu, or build it again without FAISS"
        )
    from ml.retrieval.faiss_index import FaissIndex

    return FaissIndex.load(folder, digest)
