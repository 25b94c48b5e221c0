"""From a snapshot to a bridge, its twin and popularity: chosen on validation users, measured on test users.

The measured models have not seen the test users' target history; the returned models are fitted again, with
the chosen settings, on everything before as-of (DESIGN.md, "Evaluation and the served model").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ml.bridge.blocks.switches import Blocks, Tested, readable
from ml.bridge.contract import Scorer, Task
from ml.bridge.measure import FURTHER, SCENARIOS, asked_of, blends_of, fit_all, measured, new_items_of
from ml.bridge.protocol import Protocol
from ml.bridge.select.baselines import choose_peers, peer_lists
from ml.bridge.select.blend import Blend
from ml.bridge.select.candidates import kind_of
from ml.bridge.select.choose import Choice, choose
from ml.bridge.select.ladder import ladders
from ml.bridge.serve.recommender import Member, Recommender, load
from ml.bridge.serve.reranked import reranker_of
from ml.data import Snapshot
from ml.metrics.cohorts import COHORTS_OF, COLD_ITEMS
from ml.retrieval.rerank import RerankRules

T = TypeVar("T")
CANDIDATES = ("bridge", "twin", "popularity")


@dataclass(frozen=True)
class TrainSettings:
    """k: length of a list. horizon: microseconds. verbs: domain -> what its users did with items, in reasons.
    rerank: how lists are re-ranked where they are shown. blocks: what may be read of users and items beside
    who took what. cold_item_slots: the last places of a list that new items get. See DESIGN.md,
    `evaluation`."""

    k: int = 10
    cold_user_fraction: float = 0.2
    horizon: int = 14 * 86_400_000_000
    seed: int = 0
    device: str = "auto"
    verbs: Mapping[str, str] = field(default_factory=dict)
    # Scenario -> sets of fewer sources that are tried beside all (`select/transferability.py`).
    subsets: Mapping[str, Sequence[tuple[str, ...]]] = field(default_factory=dict)
    # Scenario -> (name, settings) of what a search found: further candidates (`select/search_space.py`).
    found: Mapping[str, Sequence[tuple[str, Mapping[str, float]]]] = field(default_factory=dict)
    rerank: RerankRules | None = None
    blocks: Blocks = field(default_factory=Blocks)
    cold_item_slots: int = 0
    # How users with a history in the target are asked: a key of `ml.bridge.protocols.HISTORY`.
    protocol: str = "time"


@dataclass(frozen=True)
class Training:
    """candidates: name -> Recommender fitted on everything before as-of. lists: what the measured models, and
    the peers of `select/baselines.py` beside them, gave to test users (LISTS_SCHEMA). selection: what was
    chosen and why, JSON-able. reranked: the candidates' lists as users see them, None where as scored.
    """

    candidates: Mapping[str, Recommender]
    lists: pa.Table
    selection: Mapping[str, Any]
    reranked: pa.Table | None = None

    def save(self, folder: Path) -> None:
        """lists.parquet, selection.json and one folder a candidate; reranked.parquet where there is any."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, recommender in self.candidates.items():
            recommender.save(folder / name)
        for name, table in (("lists", self.lists), ("reranked", self.reranked)):
            if table is not None:
                pq.write_table(table, folder / f".{name}.tmp", compression="zstd")
                (folder / f".{name}.tmp").replace(folder / f"{name}.parquet")
        (folder / ".selection.tmp").write_text(json.dumps(self.selection, indent=2, sort_keys=True))
        (folder / ".selection.tmp").replace(folder / "selection.json")

    @classmethod
    def load(cls, folder: Path) -> Training:
        """Read what `save` wrote."""
        selection = folder / "selection.json"
        if not selection.is_file():
            raise FileNotFoundError(f"{folder} holds no training: materialise `bridge` for this partition")
        candidates = {name: load(folder / name) for name in CANDIDATES}
        shown = folder / "reranked.parquet"
        reranked = pq.read_table(shown) if shown.is_file() else None
        lists = pq.read_table(folder / "lists.parquet")
        return cls(candidates, lists, json.loads(selection.read_text()), reranked)


def train(
    snapshot: Snapshot,
    target: str,
    sources: Iterable[str],
    settings: TrainSettings,
    on_progress: Callable[[str], None] | None = None,
) -> Training:
    """Choose, measure and refit the bridge into `target`; `snapshot` carries embeddings of what has text."""
    say = on_progress or (lambda line: None)
    protocol, tests = protocol_of(snapshot, target, sources, settings)
    chosen: dict[str, Choice] = {}
    picked: dict[str, dict[str, str]] = {}
    for scenario in (*SCENARIOS, *FURTHER):
        split = getattr(protocol, scenario)("choose")
        chosen |= _of_scenario(choose(split, settings.k, say), scenario)
        if scenario in SCENARIOS:
            picked |= _of_scenario(choose_peers(split, settings.k, say), scenario)
    blends = {name: blends_of(name, chosen) for name in CANDIDATES}
    lists, shown = [], []
    shown_as = (settings.rerank, settings.cold_item_slots)
    for scenario, asked in asked_of(protocol, COLD_ITEMS in chosen).items():
        say(f"{target}: measuring ({scenario})")
        for plain, reranked in measured(asked, blends, settings.k, *shown_as):
            lists.append(plain)
            shown += [] if reranked is None else [reranked]
        lists += peer_lists(asked[0], picked, settings.k, say)
    say(f"{target}: fitting what is served")
    selection = _selection(protocol, settings, chosen, picked)
    selection |= {"ladder": ladders(blends), **({"attributes": tests} if tests else {})}
    served = protocol.served()
    new_items = new_items_of(settings.cold_item_slots, served)
    if new_items is None:  # measured, and of no use to lists that have no room for new items
        blends = {name: {c: b for c, b in by.items() if c != COLD_ITEMS} for name, by in blends.items()}
    ready = fit_all([b for by in blends.values() for b in by.values()], served)
    plain = {
        name: _recommender(name, served, snapshot, blends[name], ready, selection) for name in CANDIDATES
    }
    reranker = reranker_of(settings.rerank, served)
    candidates = {n: replace(each, reranker=reranker, new_items=new_items) for n, each in plain.items()}
    return Training(
        candidates, pa.concat_tables(lists), selection, pa.concat_tables(shown) if shown else None
    )


def protocol_of(
    snapshot: Snapshot, target: str, sources: Iterable[str], settings: TrainSettings
) -> tuple[Protocol, Tested]:
    """The splits that training asks, on what may be read of the sources with anything before as-of; and the
    p-values of the attributes that there are."""
    return readable(whole_protocol(snapshot, target, sources, settings), settings.blocks)


def whole_protocol(
    snapshot: Snapshot, target: str, sources: Iterable[str], settings: TrainSettings
) -> Protocol:
    """The same splits before anything is taken away: what `leakage.leaks` looks at."""
    useful = tuple(d for d in sorted(sources) if len(snapshot.interactions[d]))
    rules = (settings.cold_user_fraction, settings.horizon, settings.seed, settings.device)
    return Protocol(
        snapshot,
        target,
        useful,
        *rules,
        subsets=settings.subsets,
        found=settings.found,
        history=settings.protocol,
    )


def _of_scenario(found: Mapping[str, T], scenario: str) -> dict[str, T]:
    return {cohort: value for cohort, value in found.items() if cohort in COHORTS_OF[scenario]}


def _recommender(
    candidate: str,
    task: Task,
    snapshot: Snapshot,
    blends: Mapping[str, Blend],
    ready: Mapping[str, Scorer],
    selection: Mapping[str, Any],
) -> Recommender:
    """A candidate with the scorers its blends name and the histories they read, no more."""
    wanted = {"popularity", *(name for blend in blends.values() for name in blend.weights)}
    members = {name: Member(kind_of(name), ready[name]) for name in sorted(wanted)}
    read = {d for member in members.values() for d in member.scorer.domains} | {task.target}
    logs = {d: task.interactions[d] for d in task.domains if d in read}
    return Recommender(
        task.target,
        snapshot.users,
        {d: snapshot.catalogues[d].item_ids for d in logs},
        {d: snapshot.catalogues[d].titles for d in logs},
        logs,
        members,
        blends,
        {"candidate": candidate, **selection},
        snapshot.catalogues[task.target].attributes,
    )


def _selection(
    protocol: Protocol,
    settings: TrainSettings,
    chosen: Mapping[str, Choice],
    picked: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    cohorts = {
        cohort: {
            "bridge": dict(choice.bridge.weights),
            "twin": dict(choice.twin.weights),
            **choice.evidence,
        }
        for cohort, choice in chosen.items()
    }
    snapshot = protocol.snapshot
    # A training without a search says nothing of one.
    given = {key: value for key, value in asdict(settings).items() if key != "found" or value}
    read = {log.reviews.encoder for log in snapshot.interactions.values() if log.reviews is not None}
    return {
        **({"review_encoder": max(read)} if any(read) else {}),
        "target": protocol.target,
        "sources": list(protocol.sources),
        "as_of": snapshot.as_of,
        "data_digest": snapshot.digest,
        "train_settings": given,
        "cohorts": cohorts,
        "peers": {cohort: dict(names) for cohort, names in picked.items()},
    }
