"""Weightings of an interaction matrix before it is factorised; each one states its formula.

First the values: how much an event's weight counts (`power_damped`) and how long (`time_decay`); their
product is the value of an entry. Then the matrix: `degree`, `tf_idf` or `bm25`. A row or column without
entries keeps weight 0. Values must be >= 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ml.factorize.sparse import check_weights

DAY = 86_400_000_000  # microseconds
TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class Scaled:
    """matrix = diag(users) @ X @ diag(items); users: (m,) and items: (n,) float32, 0 where there is no
    entry.
    """

    matrix: sparse.csr_matrix
    users: np.ndarray
    items: np.ndarray


def power_damped(values: np.ndarray, power: float) -> np.ndarray:
    """(m,) float32 x^power, 0 <= power <= 1: 1 leaves the values, 0 keeps only that there is one."""
    if not 0 <= power <= 1:
        raise ValueError(f"power is {power}: a damping lies between 0 (presence only) and 1 (no damping)")
    found = _checked_values(values)
    return np.where(found > 0, found**power, 0).astype(np.float32)


def time_decay(times: np.ndarray, now: int, half_life_days: float) -> np.ndarray:
    """(m,) float32 2^(-age / half-life) of `times` before `now`, both in microseconds since epoch."""
    if not half_life_days > 0:
        raise ValueError(f"half_life_days is {half_life_days}: give a number of days above 0")
    if len(times) and times.max() > now:
        raise ValueError(f"an interaction at {times.max()} lies after now ({now}): nothing decays backwards")
    # A floor, so that float32 holds the weight and an old interaction stays an entry.
    return np.maximum(np.exp2((times - now) / (DAY * half_life_days)), 1e-30).astype(np.float32)


def degree(
    matrix: sparse.csr_matrix, user_power: float = 0.5, item_power: float = 0.5, smoothing: float = 0.0
) -> Scaled:
    """(D_u + smoothing)^-user_power X (D_i + smoothing)^-item_power, D the row and column sums.

    .5 and .5 bound the singular values by 1. Without smoothing every island of the graph has one of exactly
    1, however small it is, so that on a sparse log the leading factors are single users with their single
    items; an addend of a few events puts them behind what many users share (Amini et al. 2013).
    """
    if smoothing < 0:
        raise ValueError(f"smoothing is {smoothing}: give a number of events from 0 on")
    csr = checked(matrix)
    users = inverse_power(csr.sum(axis=1), user_power, smoothing)
    items = inverse_power(csr.sum(axis=0), item_power, smoothing)
    return Scaled(scaled(csr, users, items), users, items)


def tf_idf(matrix: sparse.csr_matrix) -> Scaled:
    """x_ui * log(1 + m / df_i), df_i the users of item i among m, then each user's row L2-normalised."""
    csr = checked(matrix)
    items = inverse_document_frequency(held_by(csr), csr.shape[0])
    weighted = scaled(csr, None, items)
    users = inverse_power(weighted.multiply(weighted).sum(axis=1), 0.5)
    return Scaled(scaled(csr, users, items), users, items)


def bm25(matrix: sparse.csr_matrix, k1: float = 1.2, b: float = 0.75) -> sparse.csr_matrix:
    """x (k1 + 1) / (x + k1 (1 - b + b len_u / mean len)) * log(1 + m / df_i), len_u the row sum (Robertson
    1994).
    """
    csr = checked(matrix)
    lengths = row_sums(csr)
    weighed = saturated(csr, lengths / max(lengths.mean() if len(lengths) else 0, TINY), k1, b)
    return scaled(weighed, None, inverse_document_frequency(held_by(csr), csr.shape[0]))


def saturated(
    matrix: sparse.csr_matrix, lengths: np.ndarray, k1: float = 1.2, b: float = 0.75
) -> sparse.csr_matrix:
    """BM25's x (k1 + 1) / (x + k1 (1 - b + b len)), `lengths` (m,) relative to the mean length."""
    found = matrix.copy()
    per_entry = np.repeat(lengths, np.diff(matrix.indptr))
    found.data = (matrix.data * (k1 + 1) / (matrix.data + k1 * (1 - b + b * per_entry))).astype(np.float32)
    return found


def row_sums(matrix: sparse.csr_matrix) -> np.ndarray:
    """(m,) float64."""
    return np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()


def checked(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The matrix as canonical float32 CSR; ValueError where a value is negative, NaN or infinite."""
    return check_weights(matrix).astype(np.float32)


def _checked_values(values: np.ndarray) -> np.ndarray:
    found = np.asarray(values, np.float64)
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"value {first} is {found[first]}: weights must be numbers from 0 on; drop others first"
        )
    return found


def inverse_power(sums: np.ndarray, power: float, addend: float = 0.0) -> np.ndarray:
    """(n,) float32 (sum + addend)^-power; 0 where the sum is."""
    flat = np.asarray(sums, np.float64).ravel()
    result = np.zeros_like(flat)
    np.power(flat + addend, -power, out=result, where=flat > 0)
    return result.astype(np.float32)


def held_by(matrix: sparse.csr_matrix) -> np.ndarray:
    """(n,) how many rows hold each column."""
    return np.bincount(matrix.indices[matrix.data > 0], minlength=matrix.shape[1])


def inverse_document_frequency(held: np.ndarray, users: int) -> np.ndarray:
    """(n,) float32 log(1 + users / df_i), `held` (n,) the df_i; 0 where none does."""
    return np.where(held > 0, np.log1p(users / np.maximum(held, 1)), 0).astype(np.float32)


def scaled(
    matrix: sparse.csr_matrix, users: np.ndarray | None, items: np.ndarray | None
) -> sparse.csr_matrix:
    """diag(users) @ matrix @ diag(items), float32; None leaves a side as it is."""
    found = matrix.astype(np.float32, copy=True)
    if users is not None:
        found.data *= np.repeat(users, np.diff(found.indptr))
    if items is not None:
        found.data *= items[found.indices]
    return found
