"""What changed in the columns of a landing file since the last one of its source, and what to do about it.

A change that would spoil what a load writes stops it; every other one is reported. Ids and texts are text
whatever they look like, so their classes never count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from orchestration.landing.expressions import names_in
from orchestration.landing.profiles import (
    BOOLEAN,
    DATE_TEXT,
    DECIMAL,
    EPOCH_UNIT,
    INTEGER,
    TEXT,
    TIMESTAMP,
    UNKNOWN,
    Profile,
)
from orchestration.landing.sources import Source

NEW, MISSING, RENAMED, RETYPED = "new", "missing", "renamed", "retyped"
_ALIKE = 0.6  # difflib's ratio of two names from which one may be the other's new name
_SPARSE = 20  # a key that so few JSON records do not mention may just be rare
_NUMBERS = (INTEGER, DECIMAL, BOOLEAN)
_AS_TEXT = re.compile(r"user|item|text(\.\d+)?|attributes\.\d+|available|category|region\.\d+|where")


@dataclass(frozen=True)
class Change:
    """One difference. `mapped`: landbridge.yaml names the column; `stops`: no load before somebody looked."""

    kind: str
    column: str
    mapped: bool
    stops: bool
    was: str
    now: str
    proposal: str


def mentions(text: str, column: str, known: set[str]) -> bool:
    """Whether a mapping is this column, or an expression that names it."""
    if text in known:
        return text == column
    named = {part.lower() for name in names_in(text) for part in (name, name.split(".")[0])}
    return column.lower() in named


def _roles(source: Source, known: set[str]) -> Callable[[str], list[str]]:
    expressions: dict[str, str] = dict(source.columns)
    if source.where:
        expressions["where"] = source.where
    return lambda column: [role for role, text in expressions.items() if mentions(text, column, known)]


def _key(source: Source, role: str) -> str:
    inner = role if role == "where" else f"columns.{role.split('.')[0]}"
    return f"{source.key}.{inner}"


def _plain(kind: str) -> str:
    """A class where it does not matter that integers could be moments."""
    return INTEGER if kind in EPOCH_UNIT else kind


def _resemblance(was: str, now: str) -> float:
    plain_was, plain_now = (re.sub(r"[\W_]", "", name).lower() for name in (was, now))
    return SequenceMatcher(None, plain_was, plain_now).ratio()


def _renamed(before: Profile, after: Profile, ordered: bool) -> dict[str, str]:
    """Old name -> new name of the columns that seem to be renamed: best pairs first."""
    pairs = []
    for position, was in enumerate(before.columns):
        if was in after.columns:
            continue
        for place, now in enumerate(after.columns):
            if now in before.columns:
                continue
            kinds = {_plain(before.types[position]), _plain(after.types[place])}
            there = ordered and place == position and len(before.columns) == len(after.columns)
            alike = _resemblance(was, now)
            same_class = len(kinds - set(UNKNOWN)) <= 1
            if same_class and (alike >= _ALIKE or (there and not kinds & set(UNKNOWN))):
                pairs.append((alike + there, was, now))
    found: dict[str, str] = {}
    for _, was, now in sorted(pairs, reverse=True):
        if was not in found and now not in found.values():
            found[was] = now
    return found


def _time_proposal(source: Source, column: str, role_text: str, was: str, now: str) -> str:
    key = f"{source.key}.columns.time"
    if role_text != column:
        return f"{column} holds {now} now, not {was}: rewrite the expression {key}"
    if unit := EPOCH_UNIT.get(now):
        words = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}[unit]
        return f"{column} holds {words} now: set {source.key}.time_unit: {unit}"
    if now == TIMESTAMP:
        return f"{column} holds ISO timestamps now: remove {source.key}.time_unit and time_format"
    if now == DATE_TEXT:
        return f"{column} holds dates in another form now: set {source.key}.time_format"
    return f"{column} holds {now} now: name the column that tells the time in {key}"


def _spoils(role: str, was: str, now: str) -> bool:
    """Whether a column of class `now` cannot be read as the one of class `was` that the role names."""
    if _AS_TEXT.fullmatch(role):
        return False
    if role == "time":
        return not (was in _NUMBERS and now in _NUMBERS + tuple(EPOCH_UNIT)) and not (
            was in EPOCH_UNIT and now in _NUMBERS
        )
    numbers = [_plain(kind) in _NUMBERS for kind in (was, now)]
    return numbers == [True, False] or (role == "event" and numbers == [False, True])


def _retyped(source: Source, column: str, roles: list[str], was: str, now: str) -> Change | None:
    if was in UNKNOWN or now in UNKNOWN or was == now:
        return None
    if "time" not in roles:
        was, now = _plain(was), _plain(now)
    widened = {was, now} <= set(_NUMBERS)
    if was == now or widened or (roles and all(_AS_TEXT.fullmatch(role) for role in roles)):
        return None
    spoilt = [role for role in roles if _spoils(role, was, now)]
    proposal = f"nothing has to be done about {column}: no key under {source.key} names it"
    if "time" in roles:
        proposal = _time_proposal(source, column, source.columns["time"], was, now)
    elif roles:
        key = _key(source, (spoilt or roles)[0])
        article = "no number" if now == TEXT else now
        proposal = f"{column} holds {article} now: correct {key}, with an expression where that is needed"
    return Change(RETYPED, column, bool(roles), bool(spoilt), was, now, proposal)


def _gone(source: Source, column: str, roles: list[str], was: str, renamed: str | None) -> Change:
    kind, now = (RENAMED, renamed) if renamed else (MISSING, "")
    if not roles:
        proposal = f"nothing has to be done about {column}: no key under {source.key} names it"
    elif renamed:
        keys = " and ".join(_key(source, role) for role in roles)
        proposal = f"{keys}: {column} seems to be called {renamed} now; write {renamed}"
    else:
        keys = " and ".join(_key(source, role) for role in roles)
        proposal = f"{keys}: {column} is gone; name the column that holds it now, or bring it back"
    return Change(kind, column, bool(roles), bool(roles), column if renamed else was, now or "", proposal)


def compare(source: Source, before: Profile, after: Profile) -> Iterator[Change]:
    """The changes from one profile of a source to the next; none where either file has no columns."""
    if not before.columns or not after.columns:
        return
    roles = _roles(source, {*before.columns, *after.columns})
    renamed = _renamed(before, after, ordered=source.format != "jsonl")
    sparse = source.format == "jsonl" and after.rows < _SPARSE
    for column, was in zip(before.columns, before.types, strict=True):
        now = after.type_of(column)
        if now is not None:
            change = _retyped(source, column, roles(column), was, now)
            if change is not None:
                yield change
        elif not sparse:
            yield _gone(source, column, roles(column), was, renamed.get(column))
    for column, now in zip(after.columns, after.types, strict=True):
        if column not in before.columns and column not in renamed.values():
            proposal = (
                f"nothing has to be done about {column}; {source.key}.columns may name it if it is of use"
            )
            yield Change(NEW, column, bool(roles(column)), False, "", now, proposal)
