"""Nearest items by inner product: one interface, exact by torch or by FAISS where it is installed."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import numpy as np

from ml.retrieval.index import ExactIndex, IndexFileError, ItemIndex, read_manifest, recall_against_exact

__all__ = ["ExactIndex", "IndexFileError", "ItemIndex", "build_index", "load_index", "recall_against_exact"]

_log = logging.getLogger(__name__)


def faiss_installed() -> bool:
    """Whether FAISS can be imported (the extras `cpu` and `gpu` bring it)."""
    return importlib.util.find_spec("faiss") is not None


def build_index(items: np.ndarray, item_ids: np.ndarray, digest: str, kind: str = "auto") -> ItemIndex:
    """Index `items` (n, d). kind: exact, flat, hnsw, or auto (flat where FAISS is installed, else exact).

    Where flat or hnsw is asked for and FAISS is missing, the exact index takes its place and the log says so.
    """
    if kind not in ("auto", "exact", "flat", "hnsw"):
        raise ValueError(f"index kind {kind!r}: expected auto, exact, flat or hnsw")
    if kind != "exact" and faiss_installed():
        from ml.retrieval.faiss_index import FaissIndex

        return FaissIndex.build(items, item_ids, digest, "flat" if kind == "auto" else kind)
    if kind in ("flat", "hnsw"):
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
