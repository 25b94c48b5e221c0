"""From a snapshot to a bridge, its twin and popularity: chosen on validation users, measured on test users.

The measured models have not seen the test users' target history; the returned models are fitted again, with
the chosen settings, on everything before as-of (DESIGN.md, "Evaluation and the served model").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml import columns as c
from ml.bridge.blend import Blend
from ml.bridge.candidates import kind_of, scenario_candidates
from ml.bridge.choose import POPULARITY, Choice, choose, target_only
from ml.bridge.contract import Scorer, Task
from ml.bridge.histories import histories
from ml.bridge.protocol import Protocol, Split
from ml.bridge.recommender import Member, Recommender, load
from ml.data import Snapshot
from ml.metrics.cohorts import SPARSE, USER_COHORTS, WARM

CANDIDATES = ("bridge", "twin", "popularity")
SCENARIOS = ("cold", "time")
SCENARIO_OF = {"cold": "cold", "sparse": "time", "warm": "time"}


@dataclass(frozen=True)
class TrainSettings:
    """k: length of a list. horizon: microseconds. See DESIGN.md, `evaluation`."""

    k: int = 10
    cold_user_fraction: float = 0.2
    horizon: int = 14 * 86_400_000_000
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Training:
    """candidates: name -> Recommender fitted on everything before as-of. lists: what the measured models gave
    to test users (LISTS_SCHEMA). selection: what was chosen and why, JSON-able."""

    candidates: Mapping[str, Recommender]
    lists: pa.Table
    selection: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        """lists.parquet, selection.json and one folder a candidate."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, recommender in self.candidates.items():
            recommender.save(folder / name)
        pq.write_table(self.lists, folder / ".lists.tmp", compression="zstd")
        (folder / ".lists.tmp").replace(folder / "lists.parquet")
        (folder / ".selection.tmp").write_text(json.dumps(self.selection, indent=2, sort_keys=True))
        (folder / ".selection.tmp").replace(folder / "selection.json")

    @classmethod
    def load(cls, folder: Path) -> Training:
        """Read what `save` wrote."""
        selection = folder / "selection.json"
        if not selection.is_file():
            raise FileNotFoundError(f"{folder} holds no training: materialise `bridge` for this partition")
        candidates = {name: load(folder / name) for name in CANDIDATES}
        return cls(candidates, pq.read_table(folder / "lists.parquet"), json.loads(selection.read_text()))


LISTS_SCHEMA = pa.schema(
    [
        ("scenario", pa.string()),
        (c.COHORT, pa.string()),
        ("candidate", pa.string()),
        (c.USER_ID, pa.string()),
        ("items", pa.list_(pa.int32())),
        ("relevant", pa.list_(pa.int32())),
    ]
)


def train(
    snapshot: Snapshot,
    target: str,
    sources: Iterable[str],
    settings: TrainSettings,
    on_progress: Callable[[str], None] | None = None,
) -> Training:
    """Choose, measure and refit the bridge into `target`; `snapshot` carries embeddings of what has text."""
    say = on_progress or (lambda line: None)
    useful = tuple(d for d in sorted(sources) if len(snapshot.interactions[d]))
    protocol = Protocol(
        snapshot,
        target,
        useful,
        settings.cold_user_fraction,
        settings.horizon,
        settings.seed,
        settings.device,
    )
    chosen: dict[str, Choice] = {}
    for scenario in SCENARIOS:
        found = choose(getattr(protocol, scenario)("choose"), settings.k, say)
        chosen |= {cohort: choice for cohort, choice in found.items() if SCENARIO_OF[cohort] == scenario}
    lists = []
    for scenario in SCENARIOS:
        say(f"{target}: measuring ({scenario})")
        lists += _measure(getattr(protocol, scenario)("measure"), chosen, settings.k)
    say(f"{target}: fitting what is served")
    selection = _selection(snapshot, target, useful, settings, chosen)
    served = protocol.served()
    fitted = _fit([b for name in CANDIDATES for b in _blends(name, chosen).values()], SCENARIOS, served)
    candidates = {
        name: _recommender(name, served, snapshot, _blends(name, chosen), fitted, selection)
        for name in CANDIDATES
    }
    return Training(candidates, pa.concat_tables(lists), selection)


def _blends(candidate: str, chosen: Mapping[str, Choice]) -> dict[str, Blend]:
    """cohort -> blend. Without evidence sparse users get what warm ones get, and others popularity."""
    if candidate == "popularity":
        return dict.fromkeys(USER_COHORTS, POPULARITY)
    found = {cohort: getattr(choice, candidate) for cohort, choice in chosen.items()}
    if WARM in found:
        found.setdefault(SPARSE, found[WARM])
    return found


def _fit(blends: Iterable[Blend], scenarios: Iterable[str], task: Task) -> dict[str, Scorer]:
    """Every scorer the blends name, fitted: those of the twin on the target alone."""
    twin = task.twin()
    makers: dict[str, tuple[Scorer, Task]] = {}
    for scenario in scenarios:
        makers |= {n: (s, task) for n, s in scenario_candidates(scenario, task).items()}
        makers |= {target_only(n): (s, twin) for n, s in scenario_candidates(scenario, twin).items()}
    wanted = sorted({"popularity", *(name for blend in blends for name in blend.weights)})
    return {name: makers[name][0].fit(makers[name][1]) for name in wanted}


def _measure(split: Split, chosen: Mapping[str, Choice], k: int) -> list[pa.Table]:
    cohorts = [cohort for cohort in USER_COHORTS if SCENARIO_OF[cohort] == split.scenario]
    blends = {name: {c: b for c, b in _blends(name, chosen).items() if c in cohorts} for name in CANDIDATES}
    fitted = _fit([b for by in blends.values() for b in by.values()], (split.scenario,), split.task)
    members = {name: Member(kind_of(name), scorer) for name, scorer in fitted.items()}
    tables = []
    for name in CANDIDATES:
        measured = Recommender(
            split.task.target,
            np.array([]),
            _item_ids(split.task),
            {},
            split.task.interactions,
            members,
            blends[name],
            {},
        )
        tables.append(_lists(name, measured, split, k))
    return tables


def _lists(name: str, measured: Recommender, split: Split, k: int) -> pa.Table:
    past = histories(split.task.interactions, split.users)
    ranked, _ = measured.rank(past, k)
    cohorts, _ = measured.cohorts(past)
    truth = split.truth.matrix()[split.users]
    # An item of the history that comes again is not news: lists leave seen items out, so does the truth.
    new = truth - truth.multiply(past.weights[split.task.target] > 0)
    new.eliminate_zeros()
    user_ids = split.user_ids[split.users]
    count = len(split.users)
    return pa.table(
        {
            "scenario": [split.scenario] * count,
            c.COHORT: cohorts,
            "candidate": [name] * count,
            c.USER_ID: user_ids,
            "items": [row[row >= 0] for row in ranked.astype(np.int32)],
            "relevant": [
                np.sort(new.indices[a:b]) for a, b in zip(new.indptr[:-1], new.indptr[1:], strict=True)
            ],
        },
        schema=LISTS_SCHEMA,
    )


def _recommender(
    candidate: str,
    task: Task,
    snapshot: Snapshot,
    blends: Mapping[str, Blend],
    fitted: Mapping[str, Scorer],
    selection: Mapping[str, Any],
) -> Recommender:
    """A candidate with the scorers its blends name and the histories they read, no more."""
    wanted = {"popularity", *(name for blend in blends.values() for name in blend.weights)}
    members = {name: Member(kind_of(name), fitted[name]) for name in sorted(wanted)}
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
    )


def _item_ids(task: Task) -> dict[str, np.ndarray]:
    return {task.target: task.catalogues[task.target].item_ids}


def _selection(
    snapshot: Snapshot,
    target: str,
    sources: tuple[str, ...],
    settings: TrainSettings,
    chosen: Mapping[str, Choice],
) -> dict[str, Any]:
    cohorts = {
        cohort: {
            "bridge": dict(choice.bridge.weights),
            "twin": dict(choice.twin.weights),
            **choice.evidence,
        }
        for cohort, choice in chosen.items()
    }
    read = {log.reviews.encoder for log in snapshot.interactions.values() if log.reviews is not None}
    return {
        **({"review_encoder": max(read)} if any(read) else {}),
        "target": target,
        "sources": list(sources),
        "as_of": snapshot.as_of,
        "data_digest": snapshot.digest,
        "train_settings": asdict(settings),
        "cohorts": cohorts,
    }
