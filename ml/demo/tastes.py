"""Users and what they like: one taste for films, books and music, another, independent one for the garden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.demo.plan import DOMAINS, THEMES, TONES, stream

AGE_BANDS = ("18-24", "25-34", "35-49", "50-64", "65+")
REGIONS = ("north", "south", "east", "west", "islands")
# A user's share of choices by rank of theme: three favourites, and a little of everything.
_THEME_SHARES = np.array([0.56, 0.24, 0.08] + [0.12 / (THEMES - 3)] * (THEMES - 3))
_TONE_SHARES = np.array([0.55, 0.25, 0.12, 0.08])
FAVOURITE = 0.05  # a theme of at least this share is a favourite


@dataclass(frozen=True)
class Tastes:
    """Preferences of n users; every row is a distribution.

    early, late: (n, THEMES), at the calendar's start and end. tones: (n, TONES).
    """

    early: np.ndarray
    late: np.ndarray
    tones: np.ndarray


@dataclass(frozen=True)
class Users:
    """A chunk of n users. first: position of the first. members: (n, domains) bool; the codes are (n,)."""

    first: int
    members: np.ndarray
    media: Tastes
    garden: Tastes
    age_bands: np.ndarray
    regions: np.ndarray


def _permutations(count: int, width: int, rng: np.random.Generator) -> np.ndarray:
    return np.argsort(rng.random((count, width)), axis=1)


def draw_tastes(count: int, rng: np.random.Generator) -> Tastes:
    """Random tastes that drift: the second favourite overtakes the first, the third gives way."""
    order = _permutations(count, THEMES, rng)
    moved = order[:, [1, 0, 3, 2, *range(4, THEMES)]]
    early, late = np.empty((count, THEMES)), np.empty((count, THEMES))
    np.put_along_axis(early, order, np.broadcast_to(_THEME_SHARES, order.shape), axis=1)
    np.put_along_axis(late, moved, np.broadcast_to(_THEME_SHARES, moved.shape), axis=1)
    tones = _TONE_SHARES[_permutations(count, TONES, rng)]
    return Tastes(early, late, tones)


def draw_users(first: int, count: int, seed: int) -> Users:
    """Users `first` to `first + count`; the same call gives the same users for every domain."""
    rng = np.random.default_rng(stream(seed, 0, first))
    members = rng.random((count, len(DOMAINS))) < [domain.member for domain in DOMAINS]
    # Everybody is somewhere.
    homeless = ~members.any(axis=1)
    members[homeless, rng.integers(len(DOMAINS), size=int(homeless.sum()))] = True
    return Users(
        first=first,
        members=members,
        media=draw_tastes(count, rng),
        garden=draw_tastes(count, rng),
        age_bands=rng.integers(len(AGE_BANDS), size=count),
        regions=rng.integers(len(REGIONS), size=count),
    )
