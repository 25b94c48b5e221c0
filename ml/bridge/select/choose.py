"""Choosing, per cohort, what serves a user: the bridge only where it beats the twin on validation users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ml.bridge.contract import Scorer
from ml.bridge.protocol import Split
from ml.bridge.select.blend import SELECTION_DEPTH, Blend, Pool, choose_blend, standardise
from ml.bridge.select.candidates import TARGET_ALONE, fitted, scenario_candidates
from ml.bridge.select.cross_fit import held_out_values
from ml.metrics.cohorts import COLD_ITEMS, user_cohort

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


@dataclass(frozen=True)
class Tried:
    """The candidates of one cohort with what they gave its validation users. twin: those without sources."""

    pool: Pool
    twin: Sequence[str]

    @property
    def names(self) -> list[str]:
        """All candidates, in their order of preference on ties: the twin's come first."""
        return list(self.pool.scores)


def choose(split: Split, k: int, say: Callable[[str], None]) -> dict[str, Choice]:
    """Fit all candidates on the split's task; choose a bridge and a twin for each cohort of enough users."""
    return {cohort: choice(tried, k) for cohort, tried in try_all(split, k, say).items()}


def try_all(split: Split, k: int, say: Callable[[str], None]) -> dict[str, Tried]:
    """Every candidate, fitted on the split's task and asked for the users of each cohort of enough users."""
    asked = asked_users(split)
    if not asked:
        return {}
    rows = np.concatenate(list(asked.values()))
    bridge, twin = _score_all(split, rows, say)
    truth = split.truth.matrix(np.ones(len(split.truth)))[split.users[rows]]
    seen = split.past.rows(rows).weights[split.task.target]
    found, first = {}, 0
    for cohort, members in asked.items():
        mine = slice(first, first := first + len(members))
        part = {name: scores[mine] for name, scores in (twin | bridge).items()}
        found[cohort] = Tried(Pool.gather(part, seen[mine], truth[mine], 2 * SELECTION_DEPTH * k), list(twin))
    return found


def asked_users(split: Split, most: int | None = None) -> dict[str, np.ndarray]:
    """Cohort -> places in `split.users` of those whom selection asks, at most `most`; cohorts of FEWEST_USERS
    and more."""
    if split.scenario == COLD_ITEMS:  # all its users are asked the same question
        cohorts = np.full(len(split.users), COLD_ITEMS)
    else:
        cohorts = user_cohort(split.task.interactions[split.task.target].counts()[split.users])
    asked = {c: _sample(np.flatnonzero(cohorts == c), split, most) for c in sorted(set(cohorts))}
    return {c: rows for c, rows in asked.items() if len(rows) >= FEWEST_USERS}


def choice(tried: Tried, k: int, bar: float = CONFIDENCE) -> Choice:
    """The bridge's blend where it is worth more than the twin's to users who had no say in either.

    bar: standard errors by which it must be worth more.
    """
    blend, values = choose_blend(tried.pool, tried.names, k)
    twin, twin_values = choose_blend(tried.pool, tried.twin, k)
    gain = held_out_values(tried.pool, tried.names, k) - held_out_values(tried.pool, tried.twin, k)
    error = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    earned = bool(gain.mean() > bar * error)
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
    return {n: s for n, s in found.items() if n.split(":")[0] not in TARGET_ALONE}


def target_only(name: str) -> str:
    """The name of a candidate fitted without sources."""
    return name if name == "popularity" else f"{name}@target"


def _scored(
    scorer: Scorer, split: Split, rows: np.ndarray, say: Callable[[str], None], name: str
) -> torch.Tensor:
    say(f"{split.task.target}: trying {name} ({split.scenario})")
    past = split.past.rows(rows)
    scores = standardise(scorer.score(past)).half()
    if split.allowed is not None:
        scores[:, torch.from_numpy(~split.allowed).to(scores.device)] = -torch.inf
    return scores


def _sample(rows: np.ndarray, split: Split, most: int | None = None) -> np.ndarray:
    most = most or max(SCORE_BUDGET // split.truth.n_items, 10 * FEWEST_USERS)
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(split.task.seed).choice(rows, most, replace=False))
