"""A tiny seeded world with taste planted where one can look for it.

For tests, and for worlds by the hundred that count how often the gate is right.

books and films share their users' taste (four groups); tools knows its users but nothing of their taste. Text
vectors carry the item's group. Item 0 of every domain has no text and no interaction, item 1 has no text.
"""

from __future__ import annotations

import numpy as np

from ml.data import Catalogue, Interactions, Snapshot

DAY = 86_400_000_000
AS_OF = 60 * DAY
SIZES = {"books": 40, "films": 50, "tools": 30}
GROUPS, WIDTH = 4, 8
# Some users are known in one domain alone, the last two in none.
SHARED = 0.7
SILENT = 2


def snapshot(
    seed: int = 0,
    users: int = 120,
    tastes: tuple[str, ...] = ("books", "films"),
    agreement: float = 1.0,
) -> Snapshot:
    """The world; `tastes` are the domains in which users follow their group.

    agreement: the share of users whose group is one and the same in all domains; the others have a group of
    their own in every domain but the first, which says nothing of the rest.
    """
    rng = np.random.default_rng(seed)
    groups = rng.integers(GROUPS, size=users)
    home = np.where(rng.random(users) < SHARED, "all", rng.choice(list(SIZES), users))
    home[-SILENT:] = "none"
    catalogues, logs = {}, {}
    for domain, n in SIZES.items():
        item_groups = np.arange(n) % GROUPS
        catalogues[domain] = _catalogue(domain, item_groups, rng)
        here = np.flatnonzero((home == "all") | (home == domain))
        followed = groups if domain == next(iter(SIZES)) else _groups(groups, agreement, domain, seed)
        logs[domain] = _log(here, followed if domain in tastes else None, item_groups, users, rng)
    ids = np.array([f"u{i:04d}" for i in range(users)])
    return Snapshot(ids, catalogues, logs, AS_OF, digest=f"world-{seed}")


def _groups(groups: np.ndarray, agreement: float, domain: str, seed: int) -> np.ndarray:
    """(u,) the users' groups in a further domain; drawn apart, so that the rest of a world stays."""
    rng = np.random.default_rng([seed, len(domain), SIZES[domain]])
    stray = rng.random(len(groups)) >= agreement
    return np.where(stray, rng.integers(GROUPS, size=len(groups)), groups)


def _catalogue(domain: str, item_groups: np.ndarray, rng: np.random.Generator) -> Catalogue:
    n = len(item_groups)
    vectors = np.eye(WIDTH)[item_groups] + 0.3 * rng.standard_normal((n, WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[:2] = 0
    titles = np.array([None, None, *(f"{domain} title {i}" for i in range(2, n))], dtype=object)
    ids = np.array([f"{domain}-{i:03d}" for i in range(n)])
    return Catalogue(ids, titles, titles.copy(), vectors.astype(np.float32))


def _log(
    here: np.ndarray,
    groups: np.ndarray | None,
    item_groups: np.ndarray,
    n_users: int,
    rng: np.random.Generator,
) -> Interactions:
    n = len(item_groups)
    rows: list[tuple[int, int, int, float]] = []
    for user in here:
        liked = np.full(n, 1.0) if groups is None else np.where(item_groups == groups[user], 12.0, 1.0)
        liked[0] = 0
        items = rng.choice(n, rng.integers(1, 11), replace=False, p=liked / liked.sum())
        times = rng.integers(0, AS_OF, len(items))
        rows += [
            (user, t, i, w) for i, t, w in zip(items, times, rng.choice([1, 2, 4], len(items)), strict=True)
        ]
    return log_of(rows, n_users, n)


def log_of(rows: list[tuple[int, int, int, float]], n_users: int, n_items: int) -> Interactions:
    """Interactions of (user, time, item, weight) rows."""
    users, times, items, weights = (
        (np.array(column) for column in zip(*sorted(rows), strict=True)) if rows else (np.zeros(0),) * 4
    )
    return Interactions(
        users.astype(np.int32),
        items.astype(np.int32),
        weights.astype(np.float32),
        times.astype(np.int64),
        n_users,
        n_items,
    )
