"""What the text kernel inside the SVD is worth: recall against beta, for cold users and for cold items.

Reads a home in which `landbridge run` has got as far as the embeddings, and writes nothing. Cold users are
those of the evaluation: the validation users, or with `--stage measure` the test users, who are not what a
setting may be chosen on. Cold items: a tenth of the target's items lose all their interactions, and those
alone are ranked for users who have a history left. Last, how far the features of an RBF are from the kernel.

    python benchmarks/kernel_svd.py --config examples/food_kitchen.yaml --home var/food_kitchen
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import prepared  # first: it sets what torch reads once
import torch

from ml.bridge.histories import Histories, histories
from ml.bridge.protocol import Split
from ml.bridge.scorers.kernel_svd import KernelJointSVD
from ml.data import Snapshot
from ml.factorize.kernel import TextKernel, median_distance, rbf_fourier, rbf_nystroem, stacked
from ml.metrics.intervals import bootstrap_mean, paired_lift
from ml.metrics.ranking import recall_at_k
from ml.retrieval.exact import top_k_scores
from ml.text.alignment.whitening import whitened

BETAS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
KERNELS = ("linear", "cosine", "rbf_nystroem", "rbf_fourier")
COLD_ITEMS = 0.1
ERROR_ROWS = 2000


def cold_items(split: Split, seed: int) -> tuple[Split, np.ndarray]:
    """The split's task with a tenth of the target's items hidden: users who had them, and which (n,) bool."""
    log = split.task.interactions[split.task.target]
    hidden = np.random.default_rng(seed).random(log.n_items) < COLD_ITEMS
    mask = hidden[log.items]
    seen = {**split.task.interactions, split.task.target: log.select(~mask)}
    users = np.flatnonzero((log.select(mask).counts() > 0) & (sum(i.counts() for i in seen.values()) > 0))
    task = replace(split.task, interactions=seen, memo={})
    return Split("cold", task, users, log.select(mask), split.user_ids), hidden


def recall(
    scores: torch.Tensor, split: Split, past: Histories, k: int, allowed: np.ndarray | None
) -> np.ndarray:
    ranked, _ = top_k_scores(scores, k, exclude=past.weights[split.task.target], allowed=allowed)
    return recall_at_k(ranked, split.truth.matrix()[split.users] > 0)


def curve(split: Split, kind: str, args: Any, allowed: np.ndarray | None) -> None:
    """One line a beta: recall, and the paired difference to beta 0; for all items also what fit chooses."""
    past = histories(split.task.interactions, split.users)
    plain = None
    for beta in BETAS if allowed is not None else (*BETAS, None):
        began = time.perf_counter()
        scorer = KernelJointSVD(args.rank, beta, args.power, {"kind": kind}).fit(split.task)
        seconds = time.perf_counter() - began
        values = recall(scorer.score(past), split, past, args.k, allowed)
        plain = values if plain is None else plain
        found, lift = bootstrap_mean(values), paired_lift(values, plain)
        name = f"{beta:g}" if beta is not None else f"chosen: {scorer.choice.beta:g}"
        print(
            f"| {split.task.target} | {kind} | {name} | {found.mean:.4f} | {lift.mean:+.4f} "
            f"[{lift.low:+.4f}, {lift.high:+.4f}] | {found.n:,} | {seconds:.1f} |",
            flush=True,
        )


def content_alone(split: Split, args: Any, allowed: np.ndarray) -> None:
    """The peer for cold items that needs no factorisation: the past items' mean text against each item's."""
    past, task = histories(split.task.interactions, split.users), split.task
    sizes = [task.interactions[d].n_items for d in task.domains]
    Z = TextKernel().of(stacked([task.catalogues[d].vectors for d in task.domains], sizes))
    starts = np.cumsum([0, *sizes])
    profile = sum(
        past.weights[d] @ Z[a:b] for d, a, b in zip(task.domains, starts[:-1], starts[1:], strict=True)
    )
    scores = torch.from_numpy(np.asarray(profile @ Z[starts[-2] :].T, np.float32))
    noise = torch.rand(scores.shape, generator=torch.Generator().manual_seed(args.seed))
    for name, guess in (("text alone", scores), ("by chance", noise)):
        found = bootstrap_mean(recall(guess, split, past, args.k, allowed))
        print(f"| {task.target} | {name} | | {found.mean:.4f} | | {found.n:,} | |", flush=True)


def approximations(snapshot: Snapshot, width: float, seed: int) -> None:
    """|K - Z Z'|_F / |K|_F of an RBF on whitened texts, by features."""
    print("\n| features | Nystroem | random Fourier |\n|---|---|---|")
    catalogue = max(snapshot.catalogues.values(), key=len)
    text = whitened(catalogue.vectors[catalogue.has_vector], 128, 0.05)
    chosen = np.random.default_rng(seed).choice(len(text), min(ERROR_ROWS, len(text)), replace=False)
    rows = text[chosen].astype(np.float64)
    sigma = width * median_distance(text, seed)
    squared = np.square(rows).sum(1)[:, None] + np.square(rows).sum(1) - 2 * rows @ rows.T
    K = np.exp(-squared / (2 * sigma**2))
    for features in (64, 128, 256, 512, 1024):
        found = [make(text, features, sigma, seed)[chosen] for make in (rbf_nystroem, rbf_fourier)]
        errors = [np.linalg.norm(K - Z.astype(np.float64) @ Z.T) / np.linalg.norm(K) for Z in found]
        print(f"| {features} | {errors[0]:.3f} | {errors[1]:.3f} |", flush=True)


def main() -> None:
    parser = prepared.parser(__doc__)
    parser.add_argument("--stage", choices=("choose", "measure"), default="choose")
    parser.add_argument("--kernels", nargs="+", choices=KERNELS, default=KERNELS)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--power", type=float, default=0.7)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    home = prepared.opened(args)
    snapshot, digest = home.snapshot, home.snapshot.digest[:16]
    print(f"{digest} as of {home.key}, rank {args.rank}, recall@{args.k}, stage {args.stage}")
    header = (
        "| target | kernel | beta | recall | to beta 0 | users | seconds |\n|---|---|---|---|---|---|---|"
    )
    splits = {protocol.target: protocol.cold(args.stage) for protocol in home.protocols()}
    print(f"\nCold users\n\n{header}")
    for split in splits.values():
        for kind in args.kernels:
            curve(split, kind, args, None)
    print(f"\nCold items, ranked among themselves\n\n{header}")
    for split in splits.values():
        hiding, cold = cold_items(split, args.seed)
        content_alone(hiding, args, cold)
        for kind in args.kernels:
            curve(hiding, kind, args, cold)
    approximations(snapshot, TextKernel().width, args.seed)


if __name__ == "__main__":
    main()
