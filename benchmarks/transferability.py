"""Which source helps which target: the matrix of a prepared home, estimated before training, measured after.

Reads a home in which `landbridge run` has got as far as the embeddings and writes nothing but the heat map
it is asked for. Lifts are those of one small bridge a source over what the target knows by itself; the
shares are chosen on validation users, so that the test users of the second column have chosen nothing.

    python benchmarks/transferability.py --config examples/complete_journey.yaml --home var/complete_journey
"""

from __future__ import annotations

import time
from pathlib import Path

import prepared  # first: it sets what torch reads once

from ml.bridge.select.transfer_matrix import Transferability
from ml.bridge.select.transferability import estimated, measure


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
    parser = prepared.parser(__doc__)
    parser.add_argument("--svg", type=Path, help="write the heat map here")
    args = parser.parse_args()
    home = prepared.opened(args)
    from orchestration.review.transfer_heat_map import heat_map

    k = home.k
    print(f"recall@{k}, snapshot {home.snapshot.digest[:16]} as of {home.key}")
    columns = []
    for protocol in home.protocols():
        began = time.perf_counter()
        column = estimated(protocol, k)
        between = time.perf_counter()
        columns.append(column.checked(measure(protocol, column.estimated, k)))
        seconds = between - began, time.perf_counter() - between
        print("\n".join(lines(columns[-1], seconds)), flush=True)
    if args.svg:
        args.svg.write_text(heat_map(columns))


if __name__ == "__main__":
    main()
