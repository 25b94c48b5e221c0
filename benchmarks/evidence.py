"""The bridge beside everything else: one protocol's table of test users, by target and pooled over targets.

Reads a home in which `landbridge run` has got as far as item_embeddings and changes nothing in it. The
platform chooses on validation users, as in training; every row is then asked for the same test users, the
whole catalogue ranked. `bridge -` is the paired difference, bridge minus row, with its 95 % interval.

    python benchmarks/evidence.py --config examples/food_kitchen.yaml --home var/food_kitchen --protocol cold

protocols: cold (hashed users without target history), time (the last windows hidden; --from DATE hides all
from that day on, --until DATE knows nothing of what comes from that day on), newcomers (users who come to the
target after it from a source they knew before), last (the last fifth of every target history). With `time`
and `last` further rows are blends chosen without sources, and without text: what each is worth. --fits prints
fit time and memory of every candidate instead.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from time import perf_counter

import numpy as np
import prepared  # first: it sets what torch reads once
import pyarrow as pa
import pyarrow.compute as pc

from ml import columns as c
from ml.bridge.contract import Scorer, Task
from ml.bridge.lists import Asked
from ml.bridge.measure import blends_of, measured
from ml.bridge.protocol import Protocol, Split
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.select.baselines import choose_peers, peer_lists
from ml.bridge.select.blend import Blend, choose_blend
from ml.bridge.select.candidates import scenario_candidates
from ml.bridge.select.choose import Tried, choice, try_all
from ml.data import Snapshot
from ml.metrics.intervals import bootstrap_mean, paired_lift
from ml.metrics.report import CANDIDATE, METRICS, evaluate


def lists_of(protocol: Protocol, name: str, k: int, say: Callable[[str], None]) -> pa.Table:
    """Everybody's lists for the test users of one target under the protocol `name`."""
    choosing: Split = getattr(protocol, name)("choose")
    tried = try_all(choosing, k, say)
    chosen = {cohort: choice(each, k) for cohort, each in tried.items()}
    for cohort, found in chosen.items():
        say(f"{protocol.target} {cohort}: {json.dumps(dict(found.bridge.weights))} {dict(found.evidence)}")
    picked = choose_peers(choosing, k, say)
    asked = Asked.of(getattr(protocol, name)("measure"))
    blends = {candidate: blends_of(candidate, chosen) for candidate in ("bridge", "twin", "popularity")}
    if name in ("time", "last"):
        blends |= ablations(tried, k)
    return pa.concat_tables(
        [*(plain for plain, _ in measured([asked], blends, k)), *peer_lists(asked, picked, k, say)]
    )


def ablations(tried: Mapping[str, Tried], k: int) -> dict[str, dict[str, Blend]]:
    """Row -> cohort -> the blend that validation chooses from fewer candidates."""
    everything = {
        "blend with sources": lambda each: each.names,
        "blend without sources": lambda each: list(each.twin),
        "blend without text": lambda each: [n for n in each.names if not reads_text(n)],
    }
    return {
        row: {cohort: choose_blend(each.pool, names(each), k)[0] for cohort, each in tried.items()}
        for row, names in everything.items()
    }


def reads_text(name: str) -> bool:
    """Whether a candidate of this name reads the text of items."""
    return "text" in name or ("bridge:" in name and "-t0" not in name)


def table(per_user: pa.Table, k: int) -> Iterator[str]:
    """One line a candidate: the three metrics, and the bridge's lead in recall."""
    keys = [(CANDIDATE, "ascending"), (c.COHORT, "ascending"), (c.USER_ID, "ascending")]
    per_user = per_user.sort_by(keys)
    names = per_user[CANDIDATE].unique().to_pylist()
    values = {name: per_user.filter(pc.equal(per_user[CANDIDATE], name)) for name in names}
    recall = {name: part["recall"].to_numpy() for name, part in values.items()}
    yield f"| | recall@{k} | precision@{k} | ndcg@{k} | bridge − (recall) |"
    yield "|---|---|---|---|---|"
    for name in sorted(names, key=lambda name: -np.nanmean(recall[name])):
        means = [bootstrap_mean(values[name][metric].to_numpy()).mean for metric in METRICS]
        figures = " | ".join(f"{mean:.4f}" for mean in means)
        lead = paired_lift(recall["bridge"], recall[name])
        gap = "" if name == "bridge" else f"{lead.mean:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}]"
        yield f"| {name} | {figures} | {gap} |"


def fits(protocol: Protocol, scenario: str) -> Iterator[str]:
    """Seconds of one fit as a ratio to the ridge bridge's, and MiB beyond what was held before."""
    task = getattr(protocol, scenario)("measure").task
    found = [(name, scorer, task) for name, scorer in scenario_candidates(scenario, task).items()]
    costs = {name: fit_cost(scorer, task) for name, scorer, task in found}
    unit = next(
        s
        for (name, scorer, _), (s, _) in zip(found, costs.values(), strict=True)
        if isinstance(scorer, RidgeBridge)
    )
    yield "| candidate | fit / first ridge bridge | MiB |"
    yield "|---|---|---|"
    for name, (seconds, mib) in costs.items():
        yield f"| {name} | {seconds / unit:.2f} | {mib:.0f} |"


def fit_cost(scorer: Scorer, task: Task) -> tuple[float, float]:
    """Seconds and peak MiB of one fit in a process of its own, which shares no result with another's."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        task = Task(task.target, task.sources, task.interactions, task.catalogues, task.seed, task.device)
        held, began = peak_mib(), perf_counter()
        scorer.fit(task)
        os.write(writer, json.dumps([perf_counter() - began, peak_mib() - held]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        answer = said.read()
    if os.waitpid(child, 0)[1] or not answer:
        raise RuntimeError(f"the fit of {scorer.settings} failed: run it alone to see why")
    seconds, mib = json.loads(answer)
    return seconds, mib


def peak_mib() -> float:
    """The most memory that this process has held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = prepared.parser(__doc__)
    parser.add_argument("--protocol", choices=("cold", "time", "newcomers", "last"), default="cold")
    parser.add_argument("--from", dest="cut", type=date.fromisoformat, help="hide all from this day on")
    parser.add_argument("--until", type=date.fromisoformat, help="as if today were this day")
    parser.add_argument("--fits", action="store_true", help="what every candidate costs, instead")
    args = parser.parse_args()
    home = prepared.opened(args)
    from orchestration.config import as_of_time

    if args.until:
        home = replace(home, snapshot=as_it_was(home.snapshot, as_of_time(args.until)))
    span = home.snapshot.as_of - as_of_time(args.cut) if args.cut else None
    pooled = []
    for protocol in home.protocols(span):
        target = protocol.target
        today = args.until or home.key
        print(f"\n{target}, {args.protocol}: {home.snapshot.digest[:16]} as of {today}\n", flush=True)
        if args.fits:
            print(*fits(protocol, args.protocol), sep="\n", flush=True)
            continue
        lists = lists_of(protocol, args.protocol, home.k, lambda line: print(f"  {line}", flush=True))
        per_user = evaluate(lists, len(home.snapshot.catalogues[target]), home.k).per_user
        print_cohorts(per_user, home.k)
        users = pc.binary_join_element_wise(per_user[c.USER_ID], target, "|")
        place = per_user.schema.get_field_index(c.USER_ID)
        pooled.append(per_user.set_column(place, c.USER_ID, users))
    if len(pooled) > 1:
        shared = set.intersection(*(set(part[CANDIDATE].to_pylist()) for part in pooled))
        print(f"\nall {len(pooled)} targets\n")
        whole = pa.concat_tables(pooled)
        print_cohorts(whole.filter(pc.is_in(whole[CANDIDATE], pa.array(sorted(shared)))), home.k)


def as_it_was(snapshot: Snapshot, time: int) -> Snapshot:
    """The snapshot as of an earlier moment; items that came later stay, with their texts."""
    logs = {domain: log.before(time) for domain, log in snapshot.interactions.items()}
    return replace(snapshot, interactions=logs, as_of=time)


def print_cohorts(per_user: pa.Table, k: int) -> None:
    """A table for each cohort, and one for all where there are several."""
    cohorts: Sequence[str] = sorted(set(per_user[c.COHORT].to_pylist()))
    for cohort in cohorts:
        part = per_user.filter(pc.equal(per_user[c.COHORT], cohort))
        users = len(set(part[c.USER_ID].to_pylist()))
        print(f"\n{cohort}: {users:,} users\n", *table(part, k), sep="\n", flush=True)
    if len(cohorts) > 1:
        print("\nall of them\n", *table(per_user, k), sep="\n", flush=True)


if __name__ == "__main__":
    main()
