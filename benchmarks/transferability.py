"""Which source helps which target: the matrix of a prepared home, estimated before training, measured after.

Reads a home in which `landbridge run` has got as far as the embeddings and writes nothing but the heat map
it is asked for. Lifts are those of one small bridge a source over what the target knows by itself; the
shares are chosen on validation users, so that the test users of the second column have chosen nothing.

    python benchmarks/transferability.py --config examples/complete_journey.yaml --home var/complete_journey
"""

from __future__ import annotations

import os

# Before torch loads its threads: spinning ones collapse throughput when another process wants the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import time
from pathlib import Path

from ml.bridge.select.transfer_matrix import Transferability


def lines(column: Transferability, seconds: tuple[float, float]) -> list[str]:
    """One target's table and what becomes of it."""
    from orchestration.pages import markdown_table
    from orchestration.transferability import agreement, ground_table, in_short, transfer_table

    return [
        f"\n### → {column.target}: {in_short(column)}\n",
        markdown_table(transfer_table(column)).replace("&emsp;", ""),
        "",
        markdown_table(ground_table(column)).replace("&emsp;", ""),
        f"\n{agreement(column)}; tried beside all sources: {column.subsets()}; "
        f"estimated in {seconds[0]:.1f} s, measured in {seconds[1]:.1f} s",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--home", required=True)
    parser.add_argument("--as-of", help="an as-of key; the newest snapshot if left out")
    parser.add_argument("--target", action="append", help="a target; all of the configuration if left out")
    parser.add_argument("--svg", type=Path, help="write the heat map here")
    args = parser.parse_args()
    # Before the imports below: they read both once.
    os.environ["LANDBRIDGE_CONFIG"], os.environ["LANDBRIDGE_HOME"] = args.config, args.home
    from ml.bridge.select.transferability import estimated, measure
    from orchestration.config import Home, load_config
    from orchestration.defs.transferability import protocol_of
    from orchestration.features import embedded_snapshot
    from orchestration.transfer_heat_map import heat_map

    config, home = load_config(args.config), Home()
    key = args.as_of or max(path.stem for path in (home.snapshots / "as_of").glob("*.json"))
    snapshot, k = embedded_snapshot(key, config, home), config.evaluation.k
    print(f"recall@{k}, snapshot {snapshot.digest[:16]} as of {key}")
    columns = []
    for target in args.target or config.domain_names:
        protocol, began = protocol_of(snapshot, target, key), time.perf_counter()
        column = estimated(protocol, k)
        between = time.perf_counter()
        columns.append(column.checked(measure(protocol, column.estimated, k)))
        seconds = between - began, time.perf_counter() - between
        print("\n".join(lines(columns[-1], seconds)), flush=True)
    if args.svg:
        args.svg.write_text(heat_map(columns))


if __name__ == "__main__":
    main()
