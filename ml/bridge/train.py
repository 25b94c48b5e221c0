"""From a snapshot to a bridge, its twin and popularity: chosen on validation users, measured on test users.

The measured models have not seen the test users' target history; the returned models are fitted again, with
the chosen settings, on everything before as-of (DESIGN.md, "Evaluation and the served model").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.bridge.baselines import choose_peers, peer_lists
from ml.bridge.blend import Blend
from ml.bridge.candidates import fitted, kind_of, scenario_candidates
from ml.bridge.choose import POPULARITY, Choice, choose, target_only
from ml.bridge.contract import Scorer, Task
from ml.bridge.lists import Asked
from ml.bridge.protocol import Protocol
from ml.bridge.recommender import Member, Recommender, load
from ml.data import Snapshot
from ml.metrics.cohorts import SPARSE, USER_COHORTS, WARM

T = TypeVar("T")
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
    """candidates: name -> Recommender fitted on everything before as-of. lists: what the measured models, and
    the peers of `ml.bridge.baselines` beside them, gave to test users (LISTS_SCHEMA). selection: what was
    chosen and why, JSON-able."""

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
    picked: dict[str, dict[str, str]] = {}
    for scenario in SCENARIOS:
        split = getattr(protocol, scenario)("choose")
        chosen |= _of_scenario(choose(split, settings.k, say), scenario)
        picked |= _of_scenario(choose_peers(split, settings.k, say), scenario)
    lists = []
    for scenario in SCENARIOS:
        asked = Asked.of(getattr(protocol, scenario)("measure"))
        say(f"{target}: measuring ({scenario})")
        lists += _measure(asked, {name: _blends(name, chosen) for name in CANDIDATES}, settings.k)
        lists += peer_lists(asked, picked, settings.k, say)
    say(f"{target}: fitting what is served")
    selection = _selection(snapshot, target, useful, settings, chosen, picked)
    served = protocol.served()
    ready = _fit([b for name in CANDIDATES for b in _blends(name, chosen).values()], SCENARIOS, served)
    candidates = {
        name: _recommender(name, served, snapshot, _blends(name, chosen), ready, selection)
        for name in CANDIDATES
    }
    return Training(candidates, pa.concat_tables(lists), selection)


def _of_scenario(found: Mapping[str, T], scenario: str) -> dict[str, T]:
    return {cohort: value for cohort, value in found.items() if SCENARIO_OF[cohort] == scenario}


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
    return {name: fitted(name, *makers[name]) for name in wanted}


def _measure(asked: Asked, blends: Mapping[str, Mapping[str, Blend]], k: int) -> list[pa.Table]:
    """What the blends, name -> cohort -> blend, list for the users."""
    task, scenario = asked.split.task, asked.split.scenario
    blends = {name: _of_scenario(by, scenario) for name, by in blends.items()}
    ready = _fit([b for by in blends.values() for b in by.values()], (scenario,), task)
    members = {name: Member(kind_of(name), scorer) for name, scorer in ready.items()}
    tables = []
    for name in blends:
        ids = np.array([]), _item_ids(task)
        measured = Recommender(task.target, *ids, {}, task.interactions, members, blends[name], {})
        tables.append(asked.table(name, measured.rank(asked.past, k)[0]))
    return tables


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


def _item_ids(task: Task) -> dict[str, np.ndarray]:
    return {task.target: task.catalogues[task.target].item_ids}


def _selection(
    snapshot: Snapshot,
    target: str,
    sources: tuple[str, ...],
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
    read = {log.reviews.encoder for log in snapshot.interactions.values() if log.reviews is not None}
    return {
        **({"review_encoder": max(read)} if any(read) else {}),
        "target": target,
        "sources": list(sources),
        "as_of": snapshot.as_of,
        "data_digest": snapshot.digest,
        "train_settings": asdict(settings),
        "cohorts": cohorts,
        "peers": {cohort: dict(names) for cohort, names in picked.items()},
    }
