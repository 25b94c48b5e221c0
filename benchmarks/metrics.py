"""How fast lists are measured: `ml.metrics` beside RecTools and ranx on the same lists, and a whole run.

    python benchmarks/metrics.py --users 100000
    python benchmarks/metrics.py --whole --users 1000000 --items 100000 --rank 128 --device cuda

The first compares recall and NDCG at 10, whose values must be equal. It needs `pip install rectools ranx`
(best in a folder of their own, PYTHONPATH=that); what is not installed is left out. Every library is handed
the lists in its own form and its own time is counted alone: positions and a sparse truth, data frames of
interactions, a `Run` and `Qrels`. --whole times the dot-product top-k of every user over every item and the
metrics of the lists, and says what memory that took.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
from scipy import sparse

from ml.metrics.ranking import ndcg_at_k, recall_at_k

Values = dict[str, np.ndarray]
K = 10
# Items that a user's list and truth are drawn from.
SPREAD = 24


def lists(users: int, items: int, seed: int) -> tuple[np.ndarray, sparse.csr_matrix]:
    """(u, K) ranked positions, no item twice, and a truth of 1 to 12 items a user."""
    random = np.random.default_rng(seed)
    step = items // SPREAD
    ranked = (
        random.integers(0, items, (users, 1))
        + step * random.permuted(np.tile(np.arange(SPREAD), (users, 1)), axis=1)
    ) % items
    counts = random.integers(1, 13, users)
    chosen = np.arange(12) < counts[:, None]
    # The truth is drawn from those items too, so that about one slot in four is a hit.
    truth = random.permuted(ranked, axis=1)[:, :12]
    rows = np.repeat(np.arange(users), 12).reshape(users, 12)
    relevant = sparse.csr_matrix(
        (np.ones(chosen.sum(), bool), (rows[chosen], truth[chosen])), shape=(users, items)
    )
    return ranked[:, :K], relevant


def ours(ranked: np.ndarray, relevant: sparse.csr_matrix) -> Callable[[], Values]:
    return lambda: {"recall": recall_at_k(ranked, relevant), "ndcg": ndcg_at_k(ranked, relevant)}


def rectools(ranked: np.ndarray, relevant: sparse.csr_matrix) -> Callable[[], Values]:
    import pandas as pd
    from rectools.metrics import NDCG, Recall, calc_metrics

    users = np.arange(len(ranked))
    reco = pd.DataFrame(
        {
            "user_id": np.repeat(users, K),
            "item_id": ranked.ravel(),
            "rank": np.tile(np.arange(1, K + 1), len(users)),
        }
    )
    rows, columns = relevant.nonzero()
    truth = pd.DataFrame({"user_id": rows, "item_id": columns})
    asked = {"recall": Recall(k=K), "ndcg": NDCG(k=K, divide_by_achievable=True)}

    def run() -> Values:
        # Means, as its users ask for them: per-user values come from the same merge.
        return {name: np.array([value]) for name, value in calc_metrics(asked, reco, truth).items()}

    return run


def ranx(ranked: np.ndarray, relevant: sparse.csr_matrix) -> Callable[[], Values]:
    from ranx import Qrels, Run, evaluate

    names = [str(user) for user in range(len(ranked))]
    scores = dict(zip(range(K), np.arange(K, 0, -1).astype(float), strict=True))
    run = Run(
        {
            name: {str(item): scores[place] for place, item in enumerate(row)}
            for name, row in zip(names, ranked.tolist(), strict=True)
        }
    )
    truth = Qrels(
        {
            name: dict.fromkeys(map(str, relevant.indices[a:b].tolist()), 1)
            for name, a, b in zip(names, relevant.indptr[:-1], relevant.indptr[1:], strict=True)
        }
    )
    order = np.argsort(np.argsort(np.array(names)))  # ranx keeps queries by name

    def measure() -> Values:
        found = evaluate(truth, run, [f"recall@{K}", f"ndcg@{K}"], return_mean=False)
        return {"recall": found[f"recall@{K}"], "ndcg": found[f"ndcg@{K}"]}

    def in_order() -> Values:
        return {name: values[order] for name, values in measure().items()}

    assert_equal("ranx", in_order(), ours(ranked, relevant)())
    return measure


def assert_equal(name: str, found: Values, expected: Values) -> None:
    for metric, values in expected.items():
        wanted = values if len(found[metric]) == len(values) else [values.mean()]
        np.testing.assert_allclose(found[metric], wanted, rtol=1e-9, err_msg=f"{name} {metric}")


def compare(users: int, items: int, repeats: int, seed: int) -> None:
    ranked, relevant = lists(users, items, seed)
    measured = {"ours": ours(ranked, relevant)}
    expected = measured["ours"]()
    for name, make in {"RecTools": rectools, "ranx": ranx}.items():
        try:
            measured[name] = make(ranked, relevant)
        except ImportError as missing:
            print(f"{name} is left out: {missing}")
            continue
        found = measured[name]()  # compiles, too
        if len(found["recall"]) == 1:
            assert_equal(name, found, expected)
    best = dict.fromkeys(measured, np.inf)
    for _ in range(repeats):
        for name, run in measured.items():
            started = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - started)
    for name, seconds in best.items():
        print(f"{name:<9} {users / seconds:>12,.0f} users/s   {seconds / best['ours']:.2f} of our time")


def whole(users: int, items: int, rank: int, device: str, seed: int) -> None:
    import torch

    from ml.device import pick_device
    from ml.metrics.intervals import bootstrap_means
    from ml.retrieval.exact import top_k

    where, random = pick_device(device), np.random.default_rng(seed)
    vectors, queries = (random.standard_normal((count, rank), dtype=np.float32) for count in (items, users))
    _, relevant = lists(users, items, seed)
    # The first call starts the device and its libraries.
    top_k(queries[:256], vectors, K, device=device)
    started = time.perf_counter()
    ranked, _ = top_k(queries, vectors, K, device=device)
    listed = time.perf_counter()
    values = np.stack(list(ours(ranked, relevant)().values()), axis=1)
    counted = time.perf_counter()
    found = bootstrap_means(values)[0]
    ended = time.perf_counter()
    print(f"{users:,} users x {items:,} items x rank {rank} at {K} on {where}")
    print(
        f"top-k {listed - started:.2f} s, metrics {counted - listed:.2f} s, intervals {ended - counted:.2f} s"
    )
    print(f"all {ended - started:.2f} s, {users / (ended - started):,.0f} users/s; recall {found.mean:.5f}")
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    held = (
        f", {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB of the device" if where.type == "cuda" else ""
    )
    print(f"memory at most: {host:.2f} GiB{held}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="of --whole: auto, cpu or cuda")
    parser.add_argument("--whole", action="store_true", help="top-k and metrics instead of the comparison")
    asked = parser.parse_args()
    if asked.items < SPREAD:
        parser.error(f"--items: at least {SPREAD}, of which the lists are made")
    if asked.whole:
        whole(asked.users, asked.items, asked.rank, asked.device, asked.seed)
    else:
        compare(asked.users, asked.items, asked.repeats, asked.seed)


if __name__ == "__main__":
    main()
