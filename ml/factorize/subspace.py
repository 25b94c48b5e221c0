"""How far a domain's tastes have turned between two moments: angles between the item subspaces of two SVDs.

Factors are only defined up to a rotation of their space, so the spaces are compared, not the columns: on the
items that both have, and weighted by how much of the matrix each direction explains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import orth, subspace_angles

# A direction with less than this of the longest is what is left of factors that live on items of one side.
NOISE = 1e-5


@dataclass(frozen=True)
class Drift:
    """angles: (min(k, l),) principal angles in degrees, least first. turned: the share of the earlier
    factors' energy that lies outside the later space, 0 (the same space) to 1 (orthogonal). shared: items in
    both.
    """

    angles: np.ndarray
    turned: float
    shared: int


def principal_angles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(min(k, l),) degrees, ascending, between the column spaces of (n, k) and (n, l).

    Bjoerck & Golub (1973), with sines for small angles. Columns that depend on others count once.
    """
    if len(first) != len(second):
        raise ValueError(f"spaces of {len(first)} and {len(second)} items: compare them on shared items")
    one, two = (orth(side.astype(np.float64), rcond=NOISE) for side in (first, second))
    if not one.shape[1] or not two.shape[1]:
        return np.zeros(0)
    return np.degrees(subspace_angles(one, two))[::-1]


def drift(
    earlier: np.ndarray,
    strength: np.ndarray,
    earlier_ids: np.ndarray,
    later: np.ndarray,
    later_ids: np.ndarray,
) -> Drift:
    """From `earlier` (n, k) with singular values `strength` (k,) to `later` (p, l), by their items' ids.

    Items of one side only are left out: what left the catalogue or came new turns nothing by itself.
    """
    shared, old, new = np.intersect1d(earlier_ids, later_ids, assume_unique=True, return_indices=True)
    before, after = earlier[old].astype(np.float64), later[new].astype(np.float64)
    weighted = before * strength
    total = np.square(weighted).sum()
    space = orth(after, rcond=NOISE) if after.size else after
    kept = np.square(space.T @ weighted).sum()
    turned = float(np.clip(1 - kept / total, 0, 1)) if total else 0.0
    return Drift(principal_angles(before, after), turned, len(shared))
