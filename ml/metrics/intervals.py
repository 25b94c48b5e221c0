"""How sure a mean over users is: percentile bootstrap intervals (Efron 1979), paired by user for differences.

Users are drawn with replacement; one user is one unit, whatever the number of their items. NaN marks a user
without relevant items: left out, and counted in `left_out`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95
# Index draws held at once (about 32 MiB): memory stays flat however many users there are.
CHUNK_NUMBERS = 1 << 22


@dataclass(frozen=True)
class Interval:
    """A mean over n users with its 95 % interval [low, high]; all NaN where n is 0. left_out: users without
    value.
    """

    mean: float
    low: float
    high: float
    n: int
    left_out: int = 0

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0


def bootstrap_mean(values: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The mean of `values` (u,) and its percentile interval over `draws` resamples of the users."""
    values = np.asarray(values, np.float64)
    kept = values[~np.isnan(values)]
    left_out = len(values) - len(kept)
    if not len(kept):
        return Interval(np.nan, np.nan, np.nan, 0, left_out)
    low, high = np.quantile(_resampled_means(kept, draws, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(kept.mean()), float(low), float(high), len(kept), left_out)


def bootstrap_means(values: np.ndarray, draws: int = DRAWS, seed: int = 0) -> list[Interval]:
    """`bootstrap_mean` of every column of `values` (u, c), each resample of the users being drawn once for
    all.

    A user with a NaN anywhere is left out of every column: columns are measures of the same users.
    """
    values = np.asarray(values, np.float64)
    kept = values[~np.isnan(values).any(axis=1)]
    left_out = len(values) - len(kept)
    if not len(kept):
        return [Interval(np.nan, np.nan, np.nan, 0, left_out)] * values.shape[1]
    # A resample's mean from how often it draws each user: one product for all columns. Distances from the
    # first user, so that where all users are alike the interval is their value and no rounding beside it.
    first, apart = kept[0], kept - kept[0]
    means = np.concatenate([_counts(drawn, len(kept)) @ apart for drawn in _drawn(len(kept), draws, seed)])
    low, high = np.quantile(means / len(kept), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    figures = (first + apart.mean(axis=0), first + low, first + high)
    bounds = zip(*(figure.tolist() for figure in figures), strict=True)
    return [Interval(mean, below, above, len(kept), left_out) for mean, below, above in bounds]


def paired_lift(a: np.ndarray, b: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The mean of a - b over the users that have both, and its interval; `a`, `b` (u,) in the same user
    order.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired values must be of the same users: got {a.shape} and {b.shape}")
    return bootstrap_mean(a - b, draws, seed)


def pooled_lift(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], draws: int = DRAWS, seed: int = 0
) -> Interval:
    """The paired lift over several targets' users together: every user of a target counts once, none is
    reweighted.

    A user who is evaluated in two targets counts as two; their dependence is not modelled.
    """
    if not pairs:
        return Interval(np.nan, np.nan, np.nan, 0)
    return paired_lift(
        np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs]), draws, seed
    )


def _resampled_means(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    return np.concatenate([values[drawn].mean(1) for drawn in _drawn(len(values), draws, seed)])


def _drawn(users: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """(chunk, users) positions of the users of each resample; chunks add up to `draws`."""
    random = np.random.default_rng(seed)
    step = max(1, CHUNK_NUMBERS // users)
    for first in range(0, draws, step):
        yield random.integers(0, users, (min(step, draws - first), users), np.int32)


def _counts(drawn: np.ndarray, users: int) -> np.ndarray:
    """(chunk, users) float64, how often each resample draws each user."""
    cells = drawn + np.arange(len(drawn), dtype=np.int64)[:, None] * users
    return np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
