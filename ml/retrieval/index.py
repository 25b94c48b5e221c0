"""A catalogue's vectors as an index on disk: the exact one here, and what every index shares.

An index folder holds the index file, the item ids and a manifest that is written last. Loading compares all
three with what the caller expects: an index of another model would answer with the wrong products.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.numpy import load_file, save_file
from scipy import sparse

from ml import columns as c
from ml.device import pick_device
from ml.retrieval.exact import top_k

MANIFEST_FILE = "index.json"
IDS_FILE = "item_ids.parquet"
METRIC = "inner_product"
MANIFEST_KEYS = frozenset({"kind", "metric", "dimension", "items", "digest", "parameters", "files"})


class IndexFileError(RuntimeError):
    """An index on disk is unfinished, damaged, or of another model; the message says what to do."""


class ItemIndex(Protocol):
    """What exact and approximate indexes have in common.

    item_ids: (n,) unicode array, the ids behind the positions. digest: of the model whose vectors these
    are. kind: how it searches. parameters: what it was built with.
    """

    item_ids: np.ndarray
    digest: str
    kind: str
    parameters: Mapping[str, int]

    @property
    def dimension(self) -> int:
        """Length of one vector."""
        ...

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: sparse.csr_matrix | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions (q, k) int64 and scores (q, k) float32 as `ml.retrieval.exact.top_k` returns them."""
        ...

    def save(self, folder: Path) -> None:
        """Write the index into `folder`."""
        ...


class ExactIndex:
    """Every inner product, by torch, on a GPU where there is one."""

    kind = "exact"
    file_name = "items.safetensors"
    files = (file_name,)
    parameters: Mapping[str, int] = {}

    def __init__(self, items: np.ndarray, item_ids: np.ndarray, digest: str) -> None:
        check_items(items, item_ids)
        self.items = np.ascontiguousarray(items, dtype=np.float32)
        self.item_ids, self.digest = np.asarray(item_ids, dtype=str), digest

    @property
    def dimension(self) -> int:
        """Length of one vector."""
        return self.items.shape[1]

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: sparse.csr_matrix | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `ml.retrieval.exact.top_k`."""
        return top_k(queries, self._vectors, k, exclude, allowed)

    @cached_property
    def _vectors(self) -> torch.Tensor:
        return torch.as_tensor(self.items).to(pick_device("auto"))

    def save(self, folder: Path) -> None:
        """Write the index into `folder`, the manifest last."""
        start_folder(folder)
        save_file({"items": self.items}, folder / self.file_name)
        finish_folder(folder, self)

    @classmethod
    def load(cls, folder: Path, digest: str) -> ExactIndex:
        """Read an index of the model `digest`; IndexFileError where it is torn or another model's."""
        manifest, item_ids = check_folder(folder, digest, cls.kind)
        items = load_file(folder / cls.file_name)["items"]
        check_content(folder, manifest, items.shape[0], items.shape[1])
        return cls(items, item_ids, manifest["digest"])


def check_items(items: np.ndarray, item_ids: np.ndarray) -> None:
    """Raise ValueError where `items` is not one finite vector per id."""
    if items.ndim != 2 or len(items) != len(item_ids):
        raise ValueError(f"items {items.shape} and {len(item_ids)} ids: expected one row per id")
    if not np.isfinite(items).all():
        raise ValueError("item vectors hold NaN or infinity: the model that made them diverged")


def start_folder(folder: Path) -> None:
    """Make `folder` ready: without its manifest an index does not count as finished."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST_FILE).unlink(missing_ok=True)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finish_folder(folder: Path, index: Any) -> None:
    """Write ids and manifest of an index whose own file is in place."""
    pq.write_table(pa.table({c.ITEM_ID: pa.array(index.item_ids.tolist(), pa.string())}), folder / IDS_FILE)
    files = {name: _file_digest(folder / name) for name in (*index.files, IDS_FILE)}
    manifest = {
        "kind": index.kind,
        "metric": METRIC,
        "dimension": index.dimension,
        "items": len(index.item_ids),
        "digest": index.digest,
        "parameters": dict(index.parameters),
        "files": files,
    }
    beside = folder / f".{MANIFEST_FILE}.tmp"
    beside.write_text(json.dumps(manifest, indent=2))
    beside.replace(folder / MANIFEST_FILE)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished index; IndexFileError where there is none."""
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text())
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise IndexFileError(f"{folder} holds no finished index: build it again") from error
    if not isinstance(manifest, dict) or (missing := MANIFEST_KEYS.difference(manifest)):
        said = f"without {', '.join(sorted(missing))}" if isinstance(manifest, dict) else "of another form"
        raise IndexFileError(f"{folder} has a manifest {said}: build the index again")
    return manifest


def check_folder(folder: Path, digest: str, kind: str) -> tuple[dict[str, Any], np.ndarray]:
    """Manifest and item ids of a whole index of the model `digest`; IndexFileError otherwise."""
    manifest = read_manifest(folder)
    for name, expected, found in (
        ("kind", kind, manifest["kind"]),
        ("metric", METRIC, manifest["metric"]),
        ("model digest", digest, manifest["digest"]),
    ):
        if expected != found:
            raise IndexFileError(
                f"{folder}: {name} is {found!r}, expected {expected!r}: build the index again"
            )
    for name, expected in manifest["files"].items():
        if not (folder / name).is_file() or _file_digest(folder / name) != expected:
            raise IndexFileError(f"{folder / name} is missing or damaged: build the index again")
    item_ids = pq.read_table(folder / IDS_FILE)[c.ITEM_ID].to_pylist()
    return manifest, np.array(item_ids, dtype=str)


def check_content(folder: Path, manifest: dict[str, Any], n: int, dimension: int) -> None:
    """IndexFileError where the index file's size is not the manifest's."""
    if (n, dimension) != (manifest["items"], manifest["dimension"]):
        raise IndexFileError(
            f"{folder} holds {n} x {dimension} vectors, its manifest says {manifest['items']} x "
            f"{manifest['dimension']}: build the index again"
        )


def recall_against_exact(index: ItemIndex, items: np.ndarray, queries: np.ndarray, k: int) -> float:
    """Share of the exact top k that `index` finds, averaged over queries; NaN where there is nothing to find.

    Measured by score, not position: an item that ties with the k-th is as good an answer.
    """
    _, truth = top_k(queries, items, k)
    found, _ = index.search(queries, k)
    scores = np.where(found >= 0, np.einsum("qd,qkd->qk", queries, items[found]), -np.inf)
    available = np.isfinite(truth)
    if not available.any():
        return float("nan")
    worst = np.where(available, truth, np.inf).min(axis=1, keepdims=True)
    hits = (scores >= worst - 1e-5 * np.maximum(1, np.abs(worst))).sum(axis=1)
    return float((hits / np.maximum(1, available.sum(axis=1)))[available.any(axis=1)].mean())
