"""Choosing, per cohort, what serves a user: the bridge only where it beats the twin on validation users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ml.bridge.blend import SELECTION_DEPTH, Blend, Pool, choose_blend, standardise
from ml.bridge.candidates import fitted, scenario_candidates
from ml.bridge.contract import Scorer
from ml.bridge.histories import histories
from ml.bridge.protocol import Split
from ml.metrics.cohorts import user_cohort

POPULARITY = Blend({"popularity": 1.0})
# Scores kept for one candidate during selection: validation users are sampled down to fit.
SCORE_BUDGET = 12_000_000
FEWEST_USERS = 30
# One-sided 95 %: a source must earn its place before the test set is looked at.
CONFIDENCE = 1.645


@dataclass(frozen=True)
class Choice:
    """What validation chose for one cohort. evidence: JSON-able figures that say why."""

    bridge: Blend
    twin: Blend
    evidence: Mapping[str, Any]


def choose(split: Split, k: int, say: Callable[[str], None]) -> dict[str, Choice]:
    """Fit all candidates on the split's task; choose a bridge and a twin for each cohort of enough users."""
    asked = asked_users(split)
    if not asked:
        return {}
    rows = np.concatenate(list(asked.values()))
    bridge, twin = _score_all(split, rows, say)
    truth = split.truth.matrix(np.ones(len(split.truth)))[split.users[rows]]
    seen = histories(split.task.interactions, split.users[rows]).weights[split.task.target]
    chosen, first = {}, 0
    for cohort, members in asked.items():
        mine = slice(first, first := first + len(members))
        part = {name: scores[mine] for name, scores in (twin | bridge).items()}
        pool = Pool.gather(part, seen[mine], truth[mine], 2 * SELECTION_DEPTH * k)
        chosen[cohort] = _decide(choose_blend(pool, list(part), k), choose_blend(pool, list(twin), k))
    return chosen


def asked_users(split: Split, most: int | None = None) -> dict[str, np.ndarray]:
    """Cohort -> places in `split.users` of those whom selection asks, at most `most`; cohorts of FEWEST_USERS
    and more."""
    cohorts = user_cohort(split.task.interactions[split.task.target].counts()[split.users])
    asked = {c: _sample(np.flatnonzero(cohorts == c), split, most) for c in sorted(set(cohorts))}
    return {c: rows for c, rows in asked.items() if len(rows) >= FEWEST_USERS}


def _decide(best: tuple[Blend, np.ndarray], best_twin: tuple[Blend, np.ndarray]) -> Choice:
    (blend, values), (twin, twin_values) = best, best_twin
    gain = values - twin_values
    error = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    earned = bool(gain.mean() > CONFIDENCE * error)
    evidence = {
        "validation_users": len(gain),
        "bridge_value": float(values.mean()),
        "twin_value": float(twin_values.mean()),
        "gain": float(gain.mean()),
        "gain_standard_error": error,
        "sources_earned_their_place": earned,
    }
    return Choice(blend if earned else twin, twin, evidence)


def _score_all(
    split: Split, rows: np.ndarray, say: Callable[[str], None]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Standardised scores (half precision) of the candidates that read sources, and of those that do not."""
    twin_task = split.task.twin()
    twin = {
        n: _scored(fitted(n, s, twin_task), split, rows, say, n) for n, s in _named(split, twin=True).items()
    }
    bridge = {}
    for name, scorer in _named(split, twin=False).items() if split.task.sources else ():
        bridge[name] = _scored(fitted(name, scorer, split.task), split, rows, say, name)
    return bridge, twin


def _named(split: Split, twin: bool) -> dict[str, Scorer]:
    """Candidates by name; those that read the target alone are the twin's and end in `@target`."""
    alone = scenario_candidates(split.scenario, split.task.twin())
    if twin:
        return {target_only(name): scorer for name, scorer in alone.items()}
    found = scenario_candidates(split.scenario, split.task)
    return {n: s for n, s in found.items() if not n.startswith(("popularity", "next_items"))}


def target_only(name: str) -> str:
    """The name of a candidate fitted without sources."""
    return name if name == "popularity" else f"{name}@target"


def _scored(
    scorer: Scorer, split: Split, rows: np.ndarray, say: Callable[[str], None], name: str
) -> torch.Tensor:
    say(f"{split.task.target}: trying {name} ({split.scenario})")
    past = histories({d: split.task.interactions[d] for d in split.task.domains}, split.users[rows])
    return standardise(scorer.score(past)).half()


def _sample(rows: np.ndarray, split: Split, most: int | None = None) -> np.ndarray:
    most = most or max(SCORE_BUDGET // split.truth.n_items, 10 * FEWEST_USERS)
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(split.task.seed).choice(rows, most, replace=False))
