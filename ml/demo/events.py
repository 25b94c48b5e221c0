"""Behaviour: who picks what when, and the views, carts, purchases, ratings and cancels that come of it.

Joining, leaving and activity are drawn for each user and domain apart: taste is the only thing that domains
share, so nothing but taste can be transferred.
"""

from __future__ import annotations

import numpy as np

from ml.demo.catalogue import Catalogue
from ml.demo.plan import DAY, DAYS, EPOCH_START, THEMES
from ml.demo.tastes import FAVOURITE, Tastes

TYPES = ("view", "cart", "purchase", "rating", "cancel")
VIEW, CART, PURCHASE, RATING, CANCEL = range(len(TYPES))
# user, item: positions. time: what the line says, seconds since epoch. logged: when it was written, which
# decides the file and the order. value: stars of a rating, else 0. fault: see dirt.py.
EVENT = np.dtype(
    [
        ("user", "i4"),
        ("item", "i4"),
        ("time", "i8"),
        ("logged", "i8"),
        ("type", "i1"),
        ("value", "i1"),
        ("fault", "i1"),
    ]
)
_BY_IMPULSE = 0.08  # share of picks that follow popularity instead of taste
_SESSION_THEME = 0.6  # share of picks that keep to their session's theme
_FOLLOW_UP = 0.25  # share of picks that lead to the item's successor within days
_AGAIN = 0.1  # share of repeated picks of one item that are kept
_HOURS = np.array(
    [2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 9, 10, 12, 11, 10, 10, 11, 13, 16, 20, 22, 20, 13, 6], dtype=float
)
_ROUNDS = 30


def _categorical(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One draw from each row of `shares` (n, k)."""
    below = np.cumsum(shares, axis=1) < rng.random(len(shares))[:, None] * shares.sum(axis=1, keepdims=True)
    return np.minimum(below.sum(axis=1), shares.shape[1] - 1)


def _sessions(users: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picks of each user as (session of the pick, user of the session, start of the session in days)."""
    count = len(users)
    picks = np.clip(rng.lognormal(2.45, 0.9, count).astype(int), 1, 150)
    joined = np.where(rng.random(count) < 0.6, 0.0, rng.uniform(0, 0.65 * DAYS, count))
    left = np.where(rng.random(count) < 0.25, rng.uniform(joined, DAYS), float(DAYS))
    visits = np.ceil(picks / 3).astype(int)
    owner = np.repeat(np.arange(count), visits)
    # Weekends are busier: of two candidate days the second is taken now and then if it is one of them (the
    # calendar starts on a Thursday).
    days = np.floor(rng.uniform(joined[owner], left[owner], (2, len(owner))))
    weekend = (days[1] + 3) % 7 >= 5
    day = np.where(weekend & (rng.random(len(owner)) < 0.3), days[1], days[0])
    hour = rng.choice(24, size=len(owner), p=_HOURS / _HOURS.sum()) + rng.random(len(owner))
    first = np.concatenate([[0], np.cumsum(visits)[:-1]])
    pick_owner = np.repeat(np.arange(count), picks)
    session = first[pick_owner] + (rng.random(len(pick_owner)) * visits[pick_owner]).astype(int)
    return session, users[owner], day + hour / 24


def _choose_items(
    users: np.ndarray,
    days: np.ndarray,
    themes: np.ndarray,
    tastes: Tastes,
    catalogue: Catalogue,
    rng: np.random.Generator,
) -> np.ndarray:
    """A launched item of each pick's theme (THEMES: any), by popularity and the user's tone; -1: none."""
    order = np.argsort(catalogue.themes, kind="stable")
    cumulated = np.cumsum(catalogue.popularity[order])
    ends = cumulated[np.cumsum(np.bincount(catalogue.themes, minlength=THEMES)) - 1]
    low, high = np.append(np.append(0.0, ends[:-1]), 0.0), np.append(ends, ends[-1])
    welcome = tastes.tones / tastes.tones.max(axis=1, keepdims=True)
    chosen, open_ = np.full(len(users), -1), np.arange(len(users))
    for _ in range(_ROUNDS):
        wanted = themes[open_]
        level = low[wanted] + rng.random(len(open_)) * (high[wanted] - low[wanted])
        item = order[np.searchsorted(cumulated, level, side="right").clip(max=len(order) - 1)]
        likes = rng.random(len(open_)) < welcome[users[open_], catalogue.tones[item]]
        fits = (likes | (wanted == THEMES)) & (catalogue.launch[item] <= days[open_])
        chosen[open_[fits]] = item[fits]
        open_ = open_[~fits]
    return chosen


def _picks(
    members: np.ndarray, tastes: Tastes, catalogue: Catalogue, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(user, item, day) of every pick, each item of a user's mostly once."""
    session, session_user, session_day = _sessions(members, rng)
    user = session_user[session]
    day = session_day[session] + rng.exponential(0.25 / 24, len(session))
    late = (session_day / DAYS)[:, None]
    shares = (1 - late) * tastes.early[session_user] + late * tastes.late[session_user]
    themes = np.where(
        rng.random(len(user)) < _SESSION_THEME,
        _categorical(shares, rng)[session],
        _categorical(shares[session], rng),
    )
    themes = np.where(rng.random(len(user)) < _BY_IMPULSE, THEMES, themes)
    item = _choose_items(user, day, themes, tastes, catalogue, rng)
    after = np.where(item >= 0, catalogue.follows[item], -1)
    later = day + rng.uniform(0.5, 4, len(day))
    goes_on = (after >= 0) & (rng.random(len(user)) < _FOLLOW_UP) & (catalogue.launch[after] <= later)
    user, item = np.append(user, user[goes_on]), np.append(item, after[goes_on])
    day = np.append(day, later[goes_on])
    kept = (item >= 0) & (day < DAYS)
    user, item, day = user[kept], item[kept], day[kept]
    order = np.lexsort((day, item, user))
    user, item, day = user[order], item[order], day[order]
    again = np.append(False, (user[1:] == user[:-1]) & (item[1:] == item[:-1]))
    kept = ~again | (rng.random(len(user)) < _AGAIN)
    return user[kept], item[kept], day[kept]


def _stars(likes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(rng.normal(np.where(likes, 4.2, 3.0), 0.8)), 1, 5).astype(np.int8)


def draw_events(
    members: np.ndarray, first: int, tastes: Tastes, catalogue: Catalogue, rng: np.random.Generator
) -> np.ndarray:
    """The clean log of the users `members` (positions in `tastes`; `first` is added) as an EVENT array.

    No two events agree in user, item, time and type. Sorted by time.
    """
    user, item, day = _picks(members, tastes, catalogue, rng)
    count = len(user)
    viewed = EPOCH_START + (day * DAY).astype(np.int64)
    likes = tastes.early[user, catalogue.themes[item]] >= FAVOURITE
    in_cart = rng.random(count) < np.where(likes, 0.42, 0.25)
    bought = in_cart & (rng.random(count) < 0.6)
    cancelled = bought & (rng.random(count) < 0.05)
    rated = bought & ~cancelled & (rng.random(count) < 0.4)
    carted = viewed + rng.integers(20, 400, count)
    paid = carted + rng.integers(30, 1800, count)
    steps = (
        (VIEW, rng.random(count) < 0.96, viewed),
        (CART, in_cart, carted),
        (PURCHASE, bought, paid),
        (RATING, rated, paid + rng.integers(DAY // 2, 10 * DAY, count)),
        (CANCEL, cancelled, paid + rng.integers(DAY // 4, 4 * DAY, count)),
    )
    parts = []
    for kind, happens, time in steps:
        mine = np.flatnonzero(happens & (time < EPOCH_START + DAYS * DAY))
        part = np.zeros(len(mine), EVENT)
        part["user"], part["item"], part["type"] = first + user[mine], item[mine], kind
        part["time"] = part["logged"] = time[mine]
        if kind == RATING:
            part["value"] = _stars(likes[mine], rng)
        parts.append(part)
    events = np.concatenate(parts)
    events = events[np.lexsort((events["type"], events["item"], events["user"], events["time"]))]
    same = np.ones(max(len(events) - 1, 0), dtype=bool)
    for name in ("time", "user", "item", "type"):
        same &= events[name][1:] == events[name][:-1]
    return events[np.append(True, ~same)[: len(events)]]
