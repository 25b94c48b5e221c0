"""Proof that no hidden history reaches a model: exchange it for garbage, and nothing that is shown moves.

A training is a function of what its splits show. So it is enough to compare, bit by bit, what is shown of the
snapshot with what is shown of one in which everything hidden is something else: other items, weights, times
and reviews, and more of them. A statistic over hidden rows would differ. What must be hidden is stated here
once more, in other words than in `protocol.py`, so that a mistake there is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import sparse

from ml.bridge.protocol import LEAST_HISTORY, Protocol, Split, hash_fractions
from ml.bridge.protocols import HISTORY
from ml.data import Interactions, Snapshot
from ml.metrics.cohorts import NEW_USER_EVENTS
from ml.snapshot_end import late, named
from ml.text.adapt.pairs import Visibility, visible
from ml.user_attributes import FEWEST_HOLDERS, UserAttributes

Stage = Literal["choose", "measure"]
Logs = Mapping[str, Interactions]
STAGES: tuple[Stage, ...] = ("choose", "measure")
SCENARIOS = ("cold", "time", "cold_items")


@dataclass(frozen=True)
class Leak:
    """step: where, such as `cold, choose`. what: what is seen that should not be, with the first row."""

    step: str
    what: str

    def __str__(self) -> str:
        return f"{self.step}: {self.what}"


def leaks(protocol: Protocol) -> list[Leak]:
    """All that the steps of a training could see of what they must not; empty where nothing leaks.

    Looked at are the end of the snapshot, what every split shows while choosing and measuring, the first
    events of new users, what tests of attributes and an encoder's fine-tuning read, and whether anybody is
    asked in both stages. Catalogues hold no interaction and are not looked at.
    """
    found = [Leak("snapshot", what) for what in late(protocol.snapshot)]
    asked = {stage: np.zeros(0, int) for stage in STAGES}
    for stage in STAGES:
        for scenario in SCENARIOS:
            split, secret = getattr(protocol, scenario)(stage), secrets(protocol, scenario, stage)
            step, other = f"{scenario}, {stage}", garbled(protocol, secret, scenario)
            again: Split = getattr(other, scenario)(stage)
            shown = split.task.interactions, again.task.interactions
            found += _of_logs(step, protocol.snapshot, *shown, secret)
            if not np.array_equal(_allowed(split), _allowed(again)):
                found.append(Leak(step, "which items may be listed depends on what is hidden"))
            found += _of_truth(step, protocol, split, secret)
            asked[stage] = np.union1d(asked[stage], split.users)
    found += _of_new_users(protocol)
    found += _of_tuning(protocol)
    for user in np.intersect1d(asked["choose"], asked["measure"])[:1]:
        what = f"user {protocol.snapshot.users[user]} has a say in choosing and is measured"
        found.append(Leak("users", what))
    return found


def secrets(protocol: Protocol, scenario: str, stage: Stage) -> dict[str, np.ndarray]:
    """Domain -> (m,) bool: the interactions that a split must not show."""
    logs = protocol.snapshot.interactions
    share, target = HISTORY[protocol.history], protocol.target
    if scenario == "cold":
        hidden = hash_fractions(protocol.snapshot.users, protocol.seed) < protocol.cold_user_fraction * (
            1.5 if stage == "choose" else 1
        )
        return {target: hidden[logs[target].users]}
    if scenario == "time" and share is not None:
        return {target: _last_rows(logs[target], share, 2 if stage == "choose" else 1)}
    cut = protocol.snapshot.as_of - protocol.horizon * (2 if stage == "choose" else 1)
    return {domain: logs[domain].times >= cut for domain in (*protocol.sources, target)}


def _last_rows(log: Interactions, share: float, rounds: int) -> np.ndarray:
    """(m,) bool: the last `share` of every history, at least one of LEAST_HISTORY, so many times over."""
    left = log.counts()
    from_end = np.cumsum(left)[log.users] - 1 - np.arange(len(log))
    gone = np.zeros(len(left), int)
    for _ in range(rounds):
        taken = np.where(left >= LEAST_HISTORY, np.maximum(np.rint(share * left).astype(int), 1), 0)
        gone, left = gone + taken, left - taken
    return from_end < gone[log.users]


def garbled(protocol: Protocol, secret: Mapping[str, np.ndarray], scenario: str = "") -> Protocol:
    """The protocol on a snapshot that differs in everything secret; where cold users are hidden, their
    attributes in the target too."""
    # By share the length of a history decides what is hidden of it: that much is known of everybody.
    more = HISTORY[protocol.history] is None or scenario != "time"
    logs = {
        d: _garbled(protocol.snapshot.interactions[d], mask, protocol.snapshot.as_of, more)
        for d, mask in secret.items()
    }
    target = protocol.target
    if scenario == "cold" and logs[target].attributes is not None:
        log = protocol.snapshot.interactions[target]
        logs[target] = _without_attributes(logs[target], np.unique(log.users[secret[target]]))
    return replace(protocol, snapshot=protocol.snapshot.with_interactions(**logs), memo={})


def _garbled(log: Interactions, secret: np.ndarray, as_of: int, more: bool) -> Interactions:
    """Every secret interaction is another one, later but before as-of, and with `more` there twice."""
    if not secret.any():
        return log
    rows = np.repeat(np.arange(len(log)), 1 + secret) if more else np.arange(len(log))
    log, secret = log.select(rows), secret[rows]
    random = np.random.default_rng(0)
    # Of half the items none, so that what anybody takes later is told from what nobody does.
    few = random.permutation(log.n_items)[: max(log.n_items // 2, 1)]
    log = replace(
        log,
        items=np.where(secret, random.choice(few, len(log)), log.items).astype(np.int32),
        weights=np.where(secret, 17 * log.weights + 3, log.weights).astype(np.float32),
        # Halfway to as-of: no later event becomes an earlier one, so that the log stays in order.
        times=np.where(secret, log.times + (as_of - log.times) // 2, log.times),
    )
    if log.reviews is None:
        return log
    taste = np.where(secret, 1 - log.reviews.taste, log.reviews.taste).astype(np.float32)
    texts = max(len(log.reviews.hashes) if log.reviews.hashes is not None else 1, 1)
    other = np.where(secret, (log.reviews.rows + 1) % texts, log.reviews.rows).astype(np.int32)
    return replace(log, reviews=replace(log.reviews, taste=taste, rows=other))


def _without_attributes(log: Interactions, users: np.ndarray) -> Interactions:
    """The log when nothing is known of these users: values that too few others hold are not there either."""
    assert log.attributes is not None, "a log with attributes"
    others = np.ones(log.n_users, dtype=bool)
    others[users] = False
    held = sparse.csr_matrix(sparse.diags_array(others.astype(np.float32)) @ log.attributes.held)
    kept = np.flatnonzero(np.asarray(held.sum(axis=0)).ravel() >= FEWEST_HOLDERS)
    held, names = held[:, kept], tuple(log.attributes.names[i] for i in kept)
    held.eliminate_zeros()
    return replace(log, attributes=UserAttributes(names, held))


def _of_logs(
    step: str, snapshot: Snapshot, shown: Logs, other: Logs, secret: Mapping[str, np.ndarray]
) -> Iterator[Leak]:
    """shown, other: what a step reads of the snapshot and of its garbled twin."""
    for domain, log in shown.items():
        whole = snapshot.interactions[domain]
        if domain in secret:
            seen = np.flatnonzero(np.isin(_keys(log), _keys(whole.select(secret[domain]))))
            if len(seen):
                what = f"{len(seen):,} hidden interactions of {domain} are read, the first: "
                yield Leak(step, what + named(snapshot, domain, log, int(seen[0])))
                continue
        for part in _differences(log, other[domain]):
            yield Leak(step, f"the {part} read of {domain} depend on what is hidden")


def _differences(log: Interactions, other: Interactions) -> Iterable[str]:
    """The parts of a log that are not the same to the last bit."""
    mine, theirs = _parts(log), _parts(other)
    return [name for name in mine if not np.array_equal(mine[name], theirs[name])]


def _parts(log: Interactions) -> dict[str, np.ndarray]:
    parts = {"users": log.users, "items": log.items, "weights": log.weights, "times": log.times}
    if log.reviews is not None:
        parts |= {"tastes": log.reviews.taste, "reviews": log.reviews.rows}
    if log.attributes is not None:
        held = log.attributes.held
        parts |= {"values of attributes": np.array(log.attributes.names, dtype=str)}
        parts |= {"attributes": np.concatenate([held.indptr, held.indices])}
    return parts


def _of_truth(
    step: str, protocol: Protocol, split: Split, secret: Mapping[str, np.ndarray]
) -> Iterator[Leak]:
    """Whoever is asked for an interaction must not be shown it."""
    mine = split.truth.select(np.isin(split.truth.users, split.users))
    hidden = protocol.snapshot.interactions[protocol.target].select(secret[protocol.target])
    open_ = np.flatnonzero(~np.isin(_keys(mine), _keys(hidden)))
    if len(open_):
        what = f"{len(open_):,} interactions are asked for that nothing hides, the first: "
        yield Leak(step, what + named(protocol.snapshot, protocol.target, mine, int(open_[0])))


def _of_new_users(protocol: Protocol) -> Iterator[Leak]:
    """Of new users the first events are shown, and nothing else that was hidden from the models."""
    target, cold = protocol.target, protocol.cold("measure")
    for events in NEW_USER_EVENTS:
        split, log = protocol.new_users(cold, events), protocol.snapshot.interactions[target]
        first = np.arange(len(log)) - (np.cumsum(log.counts()) - log.counts())[log.users] < events
        secret = {target: np.isin(log.users, split.users) & ~first}
        other = garbled(protocol, secret)
        shown = other.new_users(other.cold("measure"), events).shown
        assert split.shown is not None, "new users show their first events"
        assert shown is not None, "new users show their first events"
        yield from _of_logs(f"new users, {events}", protocol.snapshot, split.shown, shown, secret)


def _of_tuning(protocol: Protocol) -> Iterator[Leak]:
    """What is read before anything is chosen is hidden in no split of choosing."""
    secret: dict[str, np.ndarray] = {}
    for scenario in SCENARIOS:
        for domain, mask in secrets(protocol, scenario, "choose").items():
            secret[domain] = secret.get(domain, False) | mask
    other = garbled(protocol, secret, "time")
    rules = Visibility(protocol.cold_user_fraction, protocol.horizon, protocol.seed, protocol.history)
    tests = protocol.unasked().interactions, other.unasked().interactions
    yield from _of_logs("tests of attributes", protocol.snapshot, *tests, secret)
    texts = visible(protocol.snapshot, rules), visible(other.snapshot, rules)
    yield from _of_logs("encoder's fine-tuning", protocol.snapshot, *texts, secret)


def _allowed(split: Split) -> np.ndarray:
    """(n,) bool: what lists may hold; empty where that is every item."""
    return np.zeros(0, bool) if split.allowed is None else split.allowed


def _keys(log: Interactions) -> np.ndarray:
    """(m,) int64, one for each user and item: a snapshot holds each once."""
    return log.users.astype(np.int64) * log.n_items + log.items
