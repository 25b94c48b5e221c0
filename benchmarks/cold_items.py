"""Items that nobody had touched before one moment: who finds their users, and what room for them costs.

Reads a home in which `landbridge run` has got as far as the embeddings, and writes nothing. What is known
before `--time` is known, what comes after is asked for; settings are chosen one such span earlier, on other
users. Prints recall among cold items alone, by candidate and with what was chosen; with `--price` instead
what it costs to give them the last places of every list.

    python benchmarks/cold_items.py --config examples/food_kitchen.yaml --home var/food_kitchen
        --time 2014-01-01
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import prepared  # first: it sets what torch reads once
import torch

from ml.bridge.contract import Scorer, Task
from ml.bridge.protocol import Protocol, Split
from ml.bridge.scorers.cold_items import TextNeighbours
from ml.bridge.scorers.kernel_svd import KernelJointSVD
from ml.bridge.select.blend import Blend, standardise
from ml.bridge.select.candidates import fitted, kind_of, scenario_candidates
from ml.bridge.select.choose import POPULARITY, Choice, choose, target_only
from ml.bridge.serve.new_items import NewItems
from ml.bridge.serve.recommender import Member, Recommender
from ml.metrics.cohorts import COLD_ITEMS
from ml.metrics.intervals import bootstrap_mean, paired_lift
from ml.metrics.ranking import recall_at_k
from ml.retrieval.exact import top_k_scores

SLOTS = (1, 2, 3)
KERNEL_BETA = 1.0  # texts count as much as interactions; a beta chosen on items with a past would be near 0


def scorers(task: Task) -> Iterator[tuple[str, Scorer, Task]]:
    """Everything that is measured by itself: with sources, and as its twin."""
    for mine, named in ((task.twin(), target_only), (task, str)):
        found: dict[str, Scorer] = {
            "text similarity": TextNeighbours(1.0),
            **scenario_candidates(COLD_ITEMS, mine),
            "kernel_svd:f64": KernelJointSVD(64, KERNEL_BETA),
        }
        for name, scorer in found.items():
            if name != "popularity" or not mine.sources:
                yield named(name), scorer, mine


def recall(scores: torch.Tensor, split: Split, k: int, allowed: np.ndarray | None) -> np.ndarray:
    ranked = top_k_scores(scores, k, exclude=split.past.weights[split.task.target], allowed=allowed)[0]
    return recall_at_k(ranked, split.truth.matrix()[split.users] > 0)


def among_themselves(split: Split, choice: Choice | None, k: int) -> None:
    """One line a scorer, and the chosen blends with the bridge's lift."""
    print(f"| {split.task.target} | recall@{k} | in the full list | seconds |\n|---|---|---|---|")
    scored: dict[str, torch.Tensor] = {}
    for name, scorer, task in scorers(split.task):
        began = time.perf_counter()
        scores = fitted(name, scorer, task).score(split.past)
        scored[name] = standardise(scores)
        found = [bootstrap_mean(recall(scores, split, k, m)) for m in (split.allowed, None)]
        # Scorers of cold items alone say nothing of others: there is no full list of theirs.
        whole = f"{found[1].mean:.4f}" if name.startswith(("popularity", "kernel")) else "–"
        print(f"| {name} | {figure(found[0])} | {whole} | {time.perf_counter() - began:.1f} |", flush=True)
    if choice is None:
        return
    values = {}
    for name, blend in (("twin", choice.twin), ("bridge", choice.bridge)):
        total = sum(weight * scored[member] for member, weight in blend.weights.items())
        values[name] = recall(total, split, k, split.allowed)
        said = ", ".join(f"{share:.0%} {member}" for member, share in blend.weights.items())
        print(f"| **{name}**: {said} | {figure(bootstrap_mean(values[name]))} | | |")
    lift = paired_lift(values["bridge"], values["twin"])
    print(f"\nlift of the bridge {figure(lift, '+')}; chosen by {choice.evidence}")


def figure(interval: Any, sign: str = "") -> str:
    return f"{interval.mean:{sign}.4f} [{interval.low:{sign}.4f}, {interval.high:{sign}.4f}]"


def served(task: Task, blends: Mapping[str, Blend]) -> Recommender:
    """What lists are made from: the blends' scorers fitted on the task."""
    makers: dict[str, tuple[Scorer, Task]] = {}
    for scenario in ("cold", "time", COLD_ITEMS):
        makers |= {name: (s, task) for name, s in scenario_candidates(scenario, task).items()}
        twin = scenario_candidates(scenario, task.twin())
        makers |= {target_only(name): (s, task.twin()) for name, s in twin.items()}
    wanted = {"popularity", *(name for blend in blends.values() for name in blend.weights)}
    members = {n: Member(kind_of(n), fitted(n, *makers[n])) for n in sorted(wanted)}
    ids = {task.target: task.catalogues[task.target].item_ids}
    return Recommender(task.target, np.array([]), ids, {}, task.interactions, members, blends, {})


def price(protocol: Protocol, chosen: Mapping[str, Choice], k: int) -> None:
    """Recall of whole lists, and of cold items in them, with the last 0 to 3 places given to cold items."""
    whole, cold = protocol.time("measure"), protocol.cold_items("measure")
    print(f"\n| places for new items | recall@{k} | change | cold items found | lists with one |")
    print("|---|---|---|---|---|")
    model = served(whole.task, {cohort: choice.bridge for cohort, choice in chosen.items()})
    listed = {name: model.rank(split.past, k) for name, split in (("whole", whole), ("cold", cold))}
    plain = None
    for slots in (0, *SLOTS):
        room = NewItems(cold.allowed, slots) if slots else None
        shown = {
            name: replace(model, new_items=room).with_new_items(split.past, *listed[name])
            for name, split in (("whole", whole), ("cold", cold))
        }
        values = recall_at_k(shown["whole"][0], whole.truth.matrix()[whole.users] > 0)
        found = recall_at_k(shown["cold"][0], cold.truth.matrix()[cold.users] > 0)
        plain = values if plain is None else plain
        share = shown["whole"][2].any(axis=1).mean()
        print(
            f"| {slots} | {figure(bootstrap_mean(values))} | {figure(paired_lift(values, plain), '+')} "
            f"| {figure(bootstrap_mean(found))} | {share:.0%} |",
            flush=True,
        )


def main() -> None:
    parser = prepared.parser(__doc__)
    parser.add_argument("--time", required=True, help="a date: everything at or after it is hidden")
    parser.add_argument("--price", action="store_true", help="only what room for cold items costs")
    args = parser.parse_args()
    home = prepared.opened(args)
    moment = int(datetime.fromisoformat(args.time).replace(tzinfo=UTC).timestamp() * 1_000_000)
    for protocol in home.protocols(home.snapshot.as_of - moment):
        target, k = protocol.target, home.k
        split = protocol.cold_items("measure")
        new = np.bincount(split.task.interactions[target].items, minlength=split.truth.n_items) == 0
        print(
            f"\n{target} at {args.time}: {new.sum():,} items without interaction, {split.allowed.sum():,} of "
            f"them with text; {len(split.users):,} users asked; by chance recall is "
            f"{k / max(split.allowed.sum(), k):.4f}\n"
        )
        chosen = choose(protocol.cold_items("choose"), k, lambda line: None)
        if not args.price:
            among_themselves(split, chosen.get(COLD_ITEMS), k)
        else:
            cohorts = choose(protocol.time("choose"), k, lambda line: None)
            price(protocol, {"cold": Choice(POPULARITY, POPULARITY, {}), **cohorts, **chosen}, k)


if __name__ == "__main__":
    main()
