"""How each kind of FAISS index is built, moved to a GPU, searched and written: all that differs between them.

Graph and codebooks are made on one thread from a fixed seed: threads would link items in the order they
happen to run, and two builds would answer differently.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("flat", "ivf_pq", "hnsw", "cagra")
LEAST = {"ivf_pq": 512, "cagra": 512}  # items; fewer train no codebook and no graph worth having

HNSW = {"links": 32, "build_width": 200, "search_width": 128}
CAGRA = {"links": 64, "build_links": 128, "search_width": 128}
TRAINED_ON = 64  # vectors per list of an IVF, and per entry of a codebook
PROBED = 8  # one list in this many is read
LEAST_PROBED = 16
# What the codes choose is ordered by exact products: this many per wanted item, at least LEAST_CANDIDATES and
# one item in CONSIDERED (1M x 128: recall .866 of 1000 candidates, .951 of 4000).
CANDIDATES = 4
LEAST_CANDIDATES = 600
CONSIDERED = 200
GPU_MOST = 2048  # of one search, by FAISS


@dataclass(frozen=True)
class Found:
    """positions (q, c), -1 in empty slots, and scores (q, c). exact: whether these are inner products."""

    positions: np.ndarray
    scores: np.ndarray
    exact: bool


def _faiss() -> Any:
    """The module, whose stubs know neither its Python wrappers nor its GPU part."""
    return importlib.import_module("faiss")


def build(vectors: np.ndarray, kind: str) -> tuple[Any, dict[str, int]]:
    """A FAISS index of vectors (n, d), and what it was built with. RuntimeError for cagra without a GPU."""
    faiss = _faiss()
    d = vectors.shape[1]
    if kind == "flat":
        index = faiss.IndexFlatIP(d)
        index.add(vectors)
        return index, {}
    if kind == "ivf_pq":
        return _ivf_pq(vectors)
    if kind == "cagra":
        return _cagra(vectors), CAGRA
    index = faiss.IndexHNSWFlat(d, HNSW["links"], faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = HNSW["build_width"]
    with _one_thread():
        index.add(vectors)
    return index, HNSW


def _ivf_pq(vectors: np.ndarray) -> tuple[Any, dict[str, int]]:
    faiss = _faiss()
    n, d = vectors.shape
    lists = 1 << int(np.log2(max(4, min(4 * np.sqrt(n), n / TRAINED_ON))))
    # Codes of 4 bits are added up in registers: at the same size eight times the speed of 8 bits (200k x 128,
    # recall .946 and .959 of 400 candidates). FAISS has them on the CPU only.
    bits = min(8, int(np.log2(n / 8))) if gpus() else 4
    codes = max(m for m in range(1, d + 1) if d % m == 0 and m <= max(1, 4 * d // bits))
    form = f"IVF{lists},PQ{codes}x{bits}{'' if gpus() else 'fs'}"
    index = faiss.index_factory(d, form, faiss.METRIC_INNER_PRODUCT)
    if gpus():
        index.do_polysemous_training = False  # seconds per codebook for a filter that is not used
    index.nprobe = max(LEAST_PROBED, lists // PROBED)
    for clustering in (index.cp, index.pq.cp):
        clustering.min_points_per_centroid = 1  # else a small catalogue is told so on standard error
    sample = np.random.default_rng(0).permutation(n)[: max(TRAINED_ON * lists, TRAINED_ON << bits)]
    with _one_thread():
        index.train(vectors[np.sort(sample)])
        index.add(vectors)
    return index, {"lists": lists, "codes": codes, "bits": bits, "probed": index.nprobe}


def _cagra(vectors: np.ndarray) -> Any:
    faiss = _faiss()
    if not gpus():
        raise RuntimeError("index cagra needs a GPU and a FAISS built with cuVS: use hnsw or ivf_pq instead")
    config = faiss.GpuIndexCagraConfig()
    config.graph_degree, config.intermediate_graph_degree = CAGRA["links"], CAGRA["build_links"]
    index = faiss.GpuIndexCagra(_resources(), vectors.shape[1], faiss.METRIC_INNER_PRODUCT, config)
    index.train(vectors)  # builds the graph as well
    return index


def search(index: Any, kind: str, queries: np.ndarray, fetch: int, allowed: np.ndarray | None) -> Found:
    """At least `fetch` candidates of every query where the index finds them, only `allowed` items (n,) bool.

    A GPU index takes no filter: `allowed` must be None there.
    """
    faiss = _faiss()
    options: dict[str, Any] = {}
    if allowed is not None:
        options["sel"] = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    if kind == "ivf_pq":
        most = GPU_MOST if on_gpu(index) else index.ntotal
        fetch = min(max(CANDIDATES * fetch, LEAST_CANDIDATES, index.ntotal // CONSIDERED), most)
        if options:
            options["nprobe"] = index.nprobe
            parameters = faiss.SearchParametersIVF(**options)
    elif kind == "hnsw":
        index.hnsw.efSearch = max(HNSW["search_width"], 2 * fetch)
        if options:
            parameters = faiss.SearchParametersHNSW(efSearch=index.hnsw.efSearch, **options)
    elif options:
        parameters = faiss.SearchParameters(**options)
    if options:
        scores, positions = index.search(queries, fetch, params=parameters)
    else:
        scores, positions = index.search(queries, fetch)
    return Found(positions, scores, exact=kind != "ivf_pq")


def gpus() -> int:
    """GPUs that this build of FAISS can use; 0 for the CPU package."""
    faiss = _faiss()
    return faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0


def _resources() -> Any:
    faiss = _faiss()
    return faiss.StandardGpuResources()


def on_gpu(index: Any) -> bool:
    """Whether `index` lies on a GPU."""
    return type(index).__name__.startswith("GpuIndex")


def on_device(index: Any) -> Any:
    """`index` where it is searched: flat and IVF-PQ on a GPU if FAISS has one, everything else as it is.

    An IVF-PQ that was built without a GPU has 4-bit codes and stays on the CPU.
    """
    faiss = _faiss()
    if gpus() and isinstance(index, faiss.IndexFlat | faiss.IndexIVFPQ):
        return faiss.index_cpu_to_gpu(_resources(), 0, index)
    return index


def write(index: Any, kind: str, path: Path) -> None:
    """Write `index` in a form that every FAISS reads: a CAGRA graph becomes HNSW's lowest layer."""
    faiss = _faiss()
    if on_gpu(index) and kind == "cagra":
        graph = faiss.IndexHNSWCagra(index.d, CAGRA["links"] // 2, faiss.METRIC_INNER_PRODUCT)
        index.copyTo(graph)
        index = graph
    elif on_gpu(index):
        index = faiss.index_gpu_to_cpu(index)
    faiss.write_index(index, str(path))


def read(path: Path) -> Any:
    """An index written by `write`, on the CPU."""
    faiss = _faiss()
    return faiss.read_index(str(path))


@contextmanager
def _one_thread() -> Iterator[None]:
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
