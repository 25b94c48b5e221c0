"""What a ridge bridge costs at the size of a large catalogue: seconds to fit, and memory.

    python benchmarks/ridge_bridge.py --items 20000 --users 50000 --interactions 1000000
    python benchmarks/ridge_bridge.py --items 150000 --users 300000 --interactions 10000000 --device cuda

Two generated domains of that many items each, long-tailed, with unit vectors of 384 dimensions for texts
and every user in both. Both forms are fitted to the target: to its items (a weight for every feature and
item) and to its factors by weighted ALS. Each is a process of its own; memory is the peak of the whole
process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from ml.bridge.blocks.profiles import ALSUserFactors, SVDFactors, TextProfile
from ml.bridge.contract import Task
from ml.bridge.scorers.ridge import RidgeBridge
from ml.data import Catalogue, Interactions

DIMENSION = 384
ALS = {"rank": 64, "alpha": 10.0, "regularisation": 10.0, "iterations": 10}
FORMS = {
    "items": lambda: RidgeBridge([(SVDFactors("source"), 1.0), (TextProfile("source"), 1.0)], 10.0),
    "factors": lambda: RidgeBridge(
        [(ALSUserFactors("source"), 1.0), (TextProfile("source"), 0.3)], 1.0, als=ALS
    ),
}


def log_of(users: int, items: int, draws: int, seed: int) -> Interactions:
    """About `draws` interactions of even users with items of a power law, in the order of a snapshot."""
    random = np.random.default_rng(seed)
    shares = np.cumsum(np.arange(1, items + 1) ** -0.7)
    drawn = np.searchsorted(shares, random.random(draws) * shares[-1]).clip(max=items - 1)
    keys = np.unique(random.integers(users, size=draws) * items + drawn)
    who, what = (keys // items).astype(np.int32), (keys % items).astype(np.int32)
    times = random.integers(0, 10**15, len(keys))
    order = np.lexsort((times, who))
    ones = np.ones(len(keys), np.float32)
    return Interactions(who[order], what[order], ones, times[order], users, items)


def catalogue_of(domain: str, items: int, seed: int) -> Catalogue:
    """Items whose texts have random unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal((items, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = np.array([f"{domain}{item:06d}" for item in range(items)])
    return Catalogue(names, names.astype(object), names.astype(object), vectors)


def run_one(form: str, args: argparse.Namespace) -> None:
    """Fit one form in this process; prints seconds and MiB as JSON."""
    names = ("source", "target")
    logs = {n: log_of(args.users, args.items, args.interactions, i) for i, n in enumerate(names)}
    catalogues = {n: catalogue_of(n, args.items, i) for i, n in enumerate(names)}
    task = Task("target", ("source",), logs, catalogues, device=args.device)
    began = time.perf_counter()
    FORMS[form]().fit(task)
    seconds = time.perf_counter() - began
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"interactions": len(logs["target"]), "seconds": seconds, "mib": mib}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", choices=FORMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run_one(args.one, args)
        return
    for form in FORMS:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", form]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"to {form:8} {args.items:,} + {args.items:,} items, {found['interactions']:,} interactions "
            f"each, {args.device}: {found['seconds']:.1f} s, {found['mib']:,.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
