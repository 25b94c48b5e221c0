"""How the truncated SVD grows with the matrix: the same shape, rank and number of products, more entries.

    python benchmarks/svd_scaling.py --most 100000000 --plot docs/svd_scaling.png

Times are relative to those of the smallest matrix; memory is what the solve adds to the process. Each size is
a process of its own. `--sharded` reads the matrix from row groups on disk instead.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from ml.factorize.shards import MatrixShards, write_shards
from ml.factorize.svd import truncated_svd

USERS, ITEMS, RANK, PRODUCTS = 500_000, 100_000, 64, 12
STEPS = (1, 3, 10, 30, 100)


def long_tailed(entries: int, seed: int = 0) -> sparse.csr_matrix:
    """A (USERS, ITEMS) matrix of about `entries` entries: even users, items by a power law."""
    random, per_user = np.random.default_rng(seed), entries // USERS
    shares = np.cumsum(np.arange(1, ITEMS + 1) ** -0.5)
    parts = []
    for first in range(0, USERS, 50_000):
        who = np.repeat(np.arange(50_000), max(1, per_user))
        drawn = random.random(len(who), dtype=np.float32) * shares[-1]
        what = np.searchsorted(shares, drawn).clip(max=ITEMS - 1).astype(np.int32)
        ones = np.ones(len(who), np.float32)
        part = sparse.csr_matrix((ones, (who, what)), shape=(min(50_000, USERS - first), ITEMS))
        part.data[:] = 1
        parts.append(part)
    return sparse.vstack(parts, format="csr", dtype=np.float32)


def run_one(entries: int, sharded: bool) -> None:
    """Solve one size in this process; prints entries, seconds and MiB as JSON."""
    matrix = long_tailed(entries)
    with tempfile.TemporaryDirectory() as folder:
        count = matrix.nnz
        source = write_shards(Path(folder) / "matrix.parquet", MatrixShards(matrix)) if sharded else matrix
        if sharded:
            del matrix
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if not sharded else _resident()
        began = time.perf_counter()
        found = truncated_svd(source, RANK, tolerance=0.0, max_iterations=PRODUCTS)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps({"entries": count, "seconds": seconds, "mib": (peak - resident) / 1024, "s": found.s[0]})
    )


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def draw(found: list[dict], path: Path) -> None:
    """Time and memory against entries, both axes logarithmic, with a line of slope 1."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    entries = np.array([one["entries"] for one in found])
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for axis, key, label in ((axes[0], "seconds", "time ÷ smallest"), (axes[1], "mib", "memory, MiB")):
        values = np.array([one[key] for one in found])
        values = values / values[0] if key == "seconds" else values
        axis.loglog(entries, values, "o-", color="#0072B2", label="measured")
        axis.loglog(entries, values[-1] * entries / entries[-1], "--", color="#777777", label="linear")
        axis.set_xlabel("entries")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3, which="major")
        axis.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=int, default=100_000_000)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--sharded", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        run_one(given.one, given.sharded)
        return
    found: list[dict] = []
    print(f"{USERS:,} x {ITEMS:,}, rank {RANK}, {PRODUCTS} products with blocks")
    for step in STEPS:
        entries = given.most * step // STEPS[-1]
        command = [sys.executable, __file__, f"--one={entries}", *(["--sharded"] if given.sharded else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        last, first = found[-1], found[0]
        print(
            f"{last['entries']:>12,} entries (x{last['entries'] / first['entries']:5.1f})  "
            f"time x{last['seconds'] / first['seconds']:6.2f}  {last['mib']:7.0f} MiB",
            flush=True,
        )
    if given.plot:
        draw(found, given.plot)


if __name__ == "__main__":
    main()
