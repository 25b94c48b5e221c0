"""Weightings of an interaction matrix before it is factorised; each one states its formula.

A row or column without entries keeps weight 0. Values must be >= 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ml.factorize.sparse import check_matrix


@dataclass(frozen=True)
class Scaled:
    """matrix = diag(users) @ X @ diag(items); users: (m,) and items: (n,) float32, 0 where there is no
    entry.
    """

    matrix: sparse.csr_matrix
    users: np.ndarray
    items: np.ndarray


def degree(matrix: sparse.csr_matrix, user_power: float = 0.5, item_power: float = 0.5) -> Scaled:
    """D_u^-user_power X D_i^-item_power, D the row and column sums; .5 and .5 bound the singular values by
    1.
    """
    csr = _checked(matrix)
    users, items = _inverse_power(csr.sum(axis=1), user_power), _inverse_power(csr.sum(axis=0), item_power)
    return Scaled(_scaled(csr, users, items), users, items)


def tf_idf(matrix: sparse.csr_matrix) -> Scaled:
    """x_ui * log(1 + m / df_i), df_i the users of item i among m, then each user's row L2-normalised."""
    csr = _checked(matrix)
    items = _inverse_document_frequency(csr)
    weighted = _scaled(csr, np.ones(csr.shape[0], np.float32), items)
    users = _inverse_power(weighted.multiply(weighted).sum(axis=1), 0.5)
    return Scaled(_scaled(csr, users, items), users, items)


def bm25(matrix: sparse.csr_matrix, k1: float = 1.2, b: float = 0.75) -> sparse.csr_matrix:
    """x (k1 + 1) / (x + k1 (1 - b + b len_u / mean len)) * log(1 + m / df_i), len_u the row sum (Robertson
    1994).
    """
    csr = _checked(matrix)
    lengths = np.asarray(csr.sum(axis=1), np.float64).ravel()
    relative = (
        np.repeat(lengths / max(lengths.mean(), np.finfo(float).tiny), np.diff(csr.indptr))
        if csr.nnz
        else 1.0
    )
    saturated = csr.copy()
    saturated.data = (csr.data * (k1 + 1) / (csr.data + k1 * (1 - b + b * relative))).astype(np.float32)
    return _scaled(saturated, np.ones(csr.shape[0], np.float32), _inverse_document_frequency(csr))


def _checked(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    csr = check_matrix(matrix, "the interaction matrix").astype(np.float32)
    if csr.nnz and csr.data.min() < 0:
        raise ValueError(
            f"the interaction matrix has negative values (least {csr.data.min()}): drop them first"
        )
    return csr


def _inverse_power(sums: np.ndarray, power: float) -> np.ndarray:
    flat = np.asarray(sums, np.float64).ravel()
    result = np.zeros_like(flat)
    np.power(flat, -power, out=result, where=flat > 0)
    return result.astype(np.float32)


def _inverse_document_frequency(csr: sparse.csr_matrix) -> np.ndarray:
    held = np.bincount(csr.indices[csr.data > 0], minlength=csr.shape[1])
    return np.where(held > 0, np.log1p(csr.shape[0] / np.maximum(held, 1)), 0).astype(np.float32)


def _scaled(csr: sparse.csr_matrix, users: np.ndarray, items: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix(sparse.diags(users) @ csr @ sparse.diags(items)).astype(np.float32)
