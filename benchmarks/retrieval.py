"""How fast the nearest items are found, and how many of them: ours and three FAISS indexes, side by side.

    python benchmarks/retrieval.py --items 1000000 --dimension 128 --queries 1024 --kinds exact,flat,ivf_pq

The vectors look like factors: clusters of uneven size, lengths that grow with popularity, queries near the
clusters. Times are printed as ratios to our exact search in the same run, the least of --repeats interleaved
passes; recall@k is against exact search. --seen items of every query are excluded in the second pass.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from ml.retrieval import KINDS, build_index, recall_against_exact
from ml.retrieval.index import ItemIndex


def factors(items: int, queries: int, dimension: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Item vectors (n, d) and query vectors (q, d), float32, with a spectrum that falls as factors' does."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, dimension + 1, dtype=np.float32) ** -0.5
    centres = rng.normal(size=(max(8, items // 200), dimension)).astype(np.float32)
    weight = np.arange(1, len(centres) + 1) ** -0.5

    def near_centres(count: int) -> np.ndarray:
        chosen = rng.choice(len(centres), count, p=weight / weight.sum())
        noise = rng.standard_normal((count, dimension), dtype=np.float32)
        return (centres[chosen] + 0.6 * noise) * spectrum

    vectors = near_centres(items)
    vectors *= rng.lognormal(sigma=0.25, size=(items, 1)).astype(np.float32)
    return vectors, near_centres(queries)


def memory() -> float:
    """Resident memory of this process, GiB (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**30


def seconds(index: ItemIndex, queries: np.ndarray, k: int, exclude: sparse.csr_matrix | None) -> float:
    started = time.perf_counter()
    index.search(queries, k, exclude)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--seen", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="exact,flat,ivf_pq,hnsw", help=f"of {', '.join(KINDS[1:])}")
    asked = parser.parse_args()
    import faiss

    torch.set_num_threads(asked.threads)
    faiss.omp_set_num_threads(asked.threads)
    vectors, queries = factors(asked.items, asked.queries, asked.dimension, asked.seed)
    ids = np.arange(asked.items).astype(str)
    truth = build_index(vectors, ids, "benchmark", "exact").search(queries, max(asked.seen, 1))[0]
    # What a user has seen lies among what fits the user best: the hard case for an index that filters later.
    rows = np.repeat(np.arange(asked.queries), truth.shape[1])
    seen = sparse.csr_matrix(
        (np.ones(truth.size, dtype=bool), (rows, truth.ravel())), shape=(len(queries), asked.items)
    )
    indexes: dict[str, ItemIndex] = {}
    built: dict[str, tuple[float, float]] = {}
    for kind in asked.kinds.split(","):
        before, started = memory(), time.perf_counter()
        indexes[kind] = build_index(vectors, ids, "benchmark", kind)
        built[kind] = time.perf_counter() - started, memory() - before
    passes = {"all": None, "unseen": seen}
    times = {(kind, name): np.inf for kind in indexes for name in passes}
    for _ in range(asked.repeats):
        for (kind, name), least in times.items():
            times[kind, name] = min(least, seconds(indexes[kind], queries, asked.k, passes[name]))
    first = next(iter(indexes))
    print(
        f"{asked.items} x {asked.dimension}, {asked.queries} queries, k = {asked.k}, {asked.threads} threads"
    )
    print(
        f"{'index':8}{'queries/s':>11}{'ratio':>8}{'unseen/s':>11}{'ratio':>8}"
        f"{'recall':>8}{'build s':>9}{'+GiB':>7}"
    )
    for kind, index in indexes.items():
        recall = recall_against_exact(index, vectors, queries, asked.k)
        line = f"{index.kind:8}"
        for name in passes:
            rate, base = (asked.queries / times[each, name] for each in (kind, first))
            line += f"{rate:11.0f}{rate / base:8.2f}"
        print(line + f"{recall:8.3f}{built[kind][0]:9.1f}{built[kind][1]:7.2f}", flush=True)


if __name__ == "__main__":
    main()
