"""How a difference is told from chance, and what a comparison could have found at all.

Three figures beside an interval: p, from the resamples the interval is made of; q, p adjusted for the cohorts
that are asked together; and the least true difference that so many users would have shown, without which
"no difference" and "too few users" read alike.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

LEVEL = 0.95
# q up to here is called certain.
CERTAIN = 1 - LEVEL
POWER = 0.8
# Users that are not level: with fewer, intervals of `ml.metrics.intervals` hold about 90 times in 100.
FEWEST = 10


def tail(level: float, users: int) -> float:
    """Share of resamples to cut off at either end, so that few users do not make an interval too narrow.

    Resamples of n users vary by (n - 1) / n of what means of n users do, and they know nothing of how unsure
    that spread itself is; cutting where Student's t would corrects both (Hesterberg 2015, "What teachers
    should know about the bootstrap", expanded percentile interval). Tends to (1 - level) / 2.
    """
    if users < 2:
        return 0.0
    return float(stats.norm.cdf(np.sqrt(users / (users - 1)) * stats.t.ppf((1 - level) / 2, users - 1)))


def bootstrap_p(resampled: np.ndarray, users: int) -> np.ndarray:
    """p of no difference, two-sided, for every column of `resampled` (draws, c): resampled means of n users.

    The level at which the interval of the same resamples would end at 0, 1 where all means are 0. Never below
    1 / (draws + 1) for many users and well above for few: two users who agree prove little.
    """
    if users < 2:
        return np.ones(resampled.shape[1])
    draws = len(resampled)
    beyond = np.minimum((resampled <= 0).sum(axis=0), (resampled >= 0).sum(axis=0))
    score = stats.norm.ppf(np.minimum((beyond + 0.5) / (draws + 1), 0.5))
    return np.minimum(2 * stats.t.cdf(score * np.sqrt((users - 1) / users), users - 1), 1.0)


def student(mean: np.ndarray, deviation: np.ndarray, users: int) -> tuple[np.ndarray, np.ndarray]:
    """Student's t for means (c,) of n users with sample deviations (c,): half the interval's width, and p.

    One user has no deviation: width 0 and p 1.
    """
    if users < 2:
        return np.zeros_like(mean), np.ones_like(mean)
    error = deviation / np.sqrt(users)
    ratio = np.divide(np.abs(mean), error, out=np.where(mean == 0, 0.0, np.inf), where=error > 0)
    return error * stats.t.ppf((1 + LEVEL) / 2, users - 1), 2 * stats.t.sf(ratio, users - 1)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """q (m,) of the p-values of one family: the least false discovery rate at which each would be called.

    Step-up: q of the i-th smallest is the least of p_j m / j over j >= i (Benjamini and Hochberg 1995). NaN
    stays NaN and is no member of the family. Raises ValueError for a p outside [0, 1].
    """
    p = np.asarray(p, np.float64)
    asked = ~np.isnan(p)
    known = p[asked]
    if ((known < 0) | (known > 1)).any():
        raise ValueError(f"p-values are between 0 and 1, got {known.min()} to {known.max()}")
    order = np.argsort(known)[::-1]
    ranks = np.arange(len(known), 0, -1)
    adjusted = np.empty(len(known))
    adjusted[order] = np.minimum.accumulate(np.minimum(known[order] * len(known) / ranks, 1.0))
    q = np.full(len(p), np.nan)
    q[asked] = adjusted
    return q


def detectable_lift(differences: np.ndarray, level: float = LEVEL, power: float = POWER) -> float:
    """The least true mean difference that as many users would show at `level` in `power` of all tests.

    (z_level + z_power) sd / sqrt(n), sd of the paired differences (u,); NaN are left out. NaN for fewer than
    two users; 0 where all differ alike.
    """
    kept = differences[~np.isnan(differences)]
    if len(kept) < 2:
        return float("nan")
    quantiles = stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power)
    return float(quantiles * kept.std(ddof=1) / np.sqrt(len(kept)))
