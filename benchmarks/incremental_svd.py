"""What an SVD loses when windows are added to it instead of solving anew, on a real log cut by time.

    python benchmarks/incremental_svd.py PATH/TO/movielens_small/ratings.csv --rank 32
    python benchmarks/incremental_svd.py HOME/snapshots/DIGEST --domain food --rank 64

A fifth of the entries is hidden from every matrix; recall@10 is of these among all unseen items.
The factors of the first cut are brought up to date window by window, and compared with a full solve at the
end: ratio of time (minima over the windows of one run each, side by side), energy, recall. Then: how far the
space turned per window, and how near the fold-in of new users comes to a refit with them.
"""

from __future__ import annotations

import argparse
import csv
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import sparse

from ml.data import Interactions
from ml.factorize.fold_in import fold_in_users
from ml.factorize.subspace import drift
from ml.factorize.svd import SVD, truncated_svd
from ml.factorize.update import lost_energy, update
from ml.factorize.weighting import Kind, weighting
from ml.snapshot_files import read_snapshot

WINDOWS = 10
WEIGHTINGS: list[tuple[Kind, float]] = [("degree", 0.0), ("degree", 5.0), ("tf_idf", 0.0), ("bm25", 0.0)]
MONTH = 30 * 86_400_000_000


def read_log(path: Path, domain: str) -> Interactions:
    """A MovieLens ratings.csv, or one domain of a snapshot's folder."""
    if path.is_dir():
        return read_snapshot(path).interactions[domain]
    with path.open(newline="") as lines:
        rows = [(r["userId"], r["movieId"], int(r["timestamp"])) for r in csv.DictReader(lines)]
    users, items = (np.unique([row[side] for row in rows], return_inverse=True) for side in (0, 1))
    times = np.array([row[2] for row in rows]) * 1_000_000
    ones = np.ones(len(rows), np.float32)
    places = users[1].astype(np.int32), items[1].astype(np.int32)
    return Interactions(*places, ones, times, len(users[0]), len(items[0]))


def cuts_of(log: Interactions, monthly: bool) -> list[int]:
    """The ends of the first matrix and of WINDOWS windows: months, or equal parts of the last 30 %."""
    if monthly:
        return [int(log.times.max()) + 1 - MONTH * left for left in range(WINDOWS, -1, -1)]
    return [int(cut) + 1 for cut in np.quantile(log.times, np.linspace(0.7, 1, WINDOWS + 1))]


def recall(
    matrix: sparse.csr_matrix, seen: sparse.csr_matrix, hidden: sparse.csr_matrix, v: np.ndarray
) -> float:
    """Mean recall@10 of the hidden entries by scores (a V) V' of each user's weighted row."""
    wanted = hidden - hidden.multiply(seen)
    users = np.flatnonzero((np.diff(seen.indptr) > 0) & (wanted.getnnz(axis=1) > 0))
    found = []
    for part in np.array_split(users, max(1, len(users) // 1000)):
        scores = (matrix[part] @ v) @ v.T
        scores[seen[part].nonzero()] = -np.inf
        top = np.argpartition(-scores, 10, axis=1)[:, :10]
        relevant = wanted[part].toarray() > 0
        found.append(np.take_along_axis(relevant, top, 1).sum(1) / relevant.sum(1))
    return float(np.concatenate(found).mean())


def ones(log: Interactions) -> sparse.csr_matrix:
    """Every pair counts 1."""
    return log.matrix(np.ones(len(log), np.float32))


def compare(log: Interactions, cuts: list[int], kind: Kind, smoothing: float, rank: int) -> None:
    """One table for one weighting."""
    hide = np.random.default_rng(0).random(len(log)) < 0.2
    hidden, rest = ones(log.select(hide)), log.select(~hide)
    plain = [ones(rest.before(cut)) for cut in cuts]
    weighed = [weighting(matrix, kind, smoothing).of_users(matrix) for matrix in plain]
    ids, full, seconds = np.arange(log.n_items).astype(str), [], []
    for matrix in weighed:
        started = time.perf_counter()
        full.append(truncated_svd(matrix, rank))
        seconds.append(time.perf_counter() - started)
    best, attained = recall(weighed[-1], plain[-1], hidden, full[-1].v), np.square(full[-1].s).sum()
    turned = [drift(a.v, a.s, ids, b.v, ids).turned for a, b in pairwise(full)]
    print(
        f"\n{kind} smoothing {smoothing:g}: energy {full[-1].energy:.3f}, recall {best:.4f}, "
        f"turned per window {min(turned):.3f} to {max(turned):.3f}"
    )
    print(f"  {'steps':>5} {'time / full':>11} {'lost':>8} {'bound':>8} {'recall':>7} {'relative':>9}")
    for steps in (1, 2, 3):
        found, took = full[0], []
        for matrix in weighed[1:]:
            started = time.perf_counter()
            found = update(matrix, found.v, rank, steps=steps)
            took.append(time.perf_counter() - started)
        reached = recall(weighed[-1], plain[-1], hidden, found.v)
        lost = 1 - np.square(found.s).sum() / attained
        print(
            f"  {steps:5} {min(took) / min(seconds[1:]):11.2f} {lost:8.5f} {lost_energy(found):8.5f} "
            f"{reached:7.4f} {reached / best - 1:+9.2%}"
        )
    folded(plain[-1], kind, smoothing, rank, full[-1])


def folded(matrix: sparse.csr_matrix, kind: Kind, smoothing: float, rank: int, refit: SVD) -> None:
    """Users left out of a solve and folded in, against the solve with them, as rows of u s v'."""
    held = np.flatnonzero(np.diff(matrix.indptr) >= 5)
    out = np.sort(np.random.default_rng(1).choice(held, len(held) // 20, replace=False))
    rest = matrix.copy()
    rest.data[np.repeat(np.isin(np.arange(matrix.shape[0]), out), np.diff(matrix.indptr))] = 0
    rest.eliminate_zeros()
    fitted = weighting(rest, kind, smoothing)
    solved = truncated_svd(fitted.of_users(rest), rank)
    ours = fold_in_users(solved, fitted.of_users(matrix[out])) * solved.s @ solved.v.T
    theirs = refit.u[out] * refit.s @ refit.v.T
    gaps = np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
    alike = [len(np.intersect1d(a, b)) / 10 for a, b in zip(top(ours), top(theirs), strict=True)]
    print(
        f"  fold-in of {len(out)} new users: scores off by {np.median(gaps):.1%} (median), "
        f"{np.quantile(gaps, 0.9):.1%} (90 %); {np.mean(alike):.0%} of the first ten items the same"
    )


def top(scores: np.ndarray) -> np.ndarray:
    """(u, 10) the best items of each row."""
    return np.argpartition(-scores, 10, axis=1)[:, :10]


def main() -> None:
    """Every weighting on one log."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", type=Path)
    parser.add_argument("--domain", default="food")
    parser.add_argument("--rank", type=int, default=32)
    arguments = parser.parse_args()
    log = read_log(arguments.log, arguments.domain)
    cuts = cuts_of(log, arguments.log.is_dir())
    print(f"{len(log):,} entries, {log.n_users:,} users, {log.n_items:,} items; rank {arguments.rank}")
    for kind, smoothing in WEIGHTINGS:
        compare(log, cuts, kind, smoothing, arguments.rank)


if __name__ == "__main__":
    main()
