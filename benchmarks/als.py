"""Weighted ALS beside the `implicit` package: the same log, objective, rank, sweeps; loss and time of both.

`implicit` is no dependency of this project; its wheel goes to a folder of its own:

    pip install --target /tmp/implicit --no-deps implicit==0.7.3 tqdm threadpoolctl
    PYTHONPATH=/tmp/implicit OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=1 \\
        python benchmarks/als.py --users 28000 --items 7000 --entries 174000 --rank 64

Both losses are computed by our float64 `loss`. Ours and theirs take turns --repeats times and each has its
best time; a ratio above 1 means that ours is faster. CPU seconds are compared too: other programs on the
machine lengthen the wall's. `implicit` weighs an entry by the stored value, ours by 1 + alpha times it, so it
is given the weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from ml.factorize.als import ALSFactors, WeightedALS

Seconds = tuple[float, float]  # wall, CPU


def interactions(users: int, items: int, entries: int, seed: int) -> sparse.csr_matrix:
    """About so many pairs, with counts: long-tailed users and items, forty planted tastes."""
    random = np.random.default_rng(seed)
    taste = random.integers(40, size=users), random.integers(40, size=items)
    popularity, activity = np.arange(1, items + 1) ** -0.7, np.arange(1, users + 1) ** -0.5
    draws = int(entries * 2.9)  # a third is kept
    who = random.choice(users, draws, p=activity / activity.sum())
    what = random.choice(items, draws, p=popularity / popularity.sum())
    kept = (taste[0][who] == taste[1][what]) | (random.random(draws) < 0.33)
    pairs = (np.ones(kept.sum(), np.float32), (who[kept], what[kept]))
    matrix = sparse.csr_matrix(pairs, shape=(users, items))
    matrix.data = np.minimum(matrix.data, 4)
    return matrix


def peer(model: WeightedALS, weights: sparse.csr_matrix, threads: int) -> ALSFactors:
    theirs = AlternatingLeastSquares(
        factors=model.rank,
        regularization=model.regularisation,
        alpha=1.0,
        iterations=model.iterations,
        use_cg=model.solver == "cg",
        num_threads=threads,
        random_state=model.seed,
    )
    theirs.fit(weights, show_progress=False)
    return ALSFactors(theirs.user_factors, theirs.item_factors)


def timed(fit: Callable[[], ALSFactors]) -> tuple[ALSFactors, Seconds]:
    wall, cpu = time.perf_counter(), time.process_time()
    factors = fit()
    return factors, (time.perf_counter() - wall, time.process_time() - cpu)


def compare(model: WeightedALS, matrix: sparse.csr_matrix, threads: int, repeats: int) -> None:
    """One line: relative loss, and the ratios of the best wall and CPU times."""
    weights = matrix.copy()
    weights.data = 1 + np.float32(model.alpha) * weights.data
    times: dict[str, list[Seconds]] = {"ours": [], "theirs": []}
    for _ in range(repeats):
        ours, spent = timed(lambda: model.fit(matrix))
        times["ours"].append(spent)
        theirs, spent = timed(lambda: peer(model, weights, threads))
        times["theirs"].append(spent)
    loss = model.loss(matrix, ours) / model.loss(matrix, theirs) - 1
    (wall, cpu), (their_wall, their_cpu) = (np.min(times[name], axis=0) for name in ("ours", "theirs"))
    print(
        f"{model.solver:9} rank {model.rank:4} alpha {model.alpha:4g} lambda {model.regularisation:4g} "
        f"seed {model.seed}  loss {loss:+8.3%} of theirs  ours {wall:7.2f} s, CPU {cpu:7.2f} s  "
        f"theirs / ours x{their_wall / wall:.2f}, CPU x{their_cpu / cpu:.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = (("users", 28_000), ("items", 7000), ("entries", 174_000), ("iterations", 15), ("repeats", 2))
    for name, default in sizes:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rank", type=int, nargs="+", default=[64])
    parser.add_argument("--alpha", type=float, default=10.0)
    parser.add_argument("--regularisation", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--solver", nargs="+", choices=["cg", "cholesky"], default=["cg"])
    given = parser.parse_args()
    threads = torch.get_num_threads()
    matrix = interactions(given.users, given.items, given.entries, seed=0)
    print(
        f"{given.users} x {given.items}, {matrix.nnz} entries, {given.iterations} sweeps, {threads} threads"
    )
    for solver in given.solver:
        for rank in given.rank:
            for seed in range(given.seeds):
                model = WeightedALS(
                    rank, given.alpha, given.regularisation, given.iterations, seed, "cpu", solver
                )
                compare(model, matrix, threads, given.repeats)


if __name__ == "__main__":
    main()
