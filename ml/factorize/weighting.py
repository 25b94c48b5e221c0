"""One weighted matrix with what it takes to weigh later users and items alike: fold-in needs both.

A new user is weighed against the items as they were when the factors were made, by his own sums; a new item
against the users as they were. So the rows and columns of the matrix itself come out as they stand in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import sparse

from ml.factorize import normalise
from ml.factorize.shards import Shards
from ml.factorize.sparse import check_matrix

Kind = Literal["none", "degree", "tf_idf", "bm25"]


@dataclass(frozen=True)
class Weighting:
    """users (m,), items (n,): the factors of every entry. lengths (m,): row sums relative to their mean.

    mean_length: their mean. smoothing: see `normalise.degree`.
    """

    kind: Kind
    users: np.ndarray
    items: np.ndarray
    lengths: np.ndarray
    mean_length: float
    smoothing: float

    def of_users(self, rows: sparse.csr_matrix) -> sparse.csr_matrix:
        """Raw histories (u, n) as rows of the weighted matrix: the items' part fixed."""
        csr = check_matrix(rows, "the new histories").astype(np.float32)
        if csr.shape[1] != len(self.items):
            raise ValueError(
                f"histories have {csr.shape[1]} columns, but the matrix has {len(self.items)} items: "
                "place them in the catalogue that the factors were made for"
            )
        if self.kind == "bm25":
            csr = normalise.saturated(csr, normalise.row_sums(csr) / self.mean_length)
        return normalise.scaled(csr, _user_factors(self.kind, csr, self.items, self.smoothing), self.items)

    def of_items(self, columns: sparse.csr_matrix) -> sparse.csr_matrix:
        """Raw columns (m, i) of new items as columns of the weighted matrix: the users' part fixed."""
        csr = check_matrix(columns, "the new items").astype(np.float32)
        if csr.shape[0] != len(self.users):
            raise ValueError(
                f"new items have {csr.shape[0]} rows, but the matrix has {len(self.users)} users: "
                "place them in the user space that the factors were made for"
            )
        totals = _column_totals(self.kind, csr)
        items = _item_factors(self.kind, totals, len(self.users), self.smoothing)
        if self.kind == "bm25":
            csr = normalise.saturated(csr, self.lengths)
        return normalise.scaled(csr, self.users, items)


def weighting(matrix: sparse.csr_matrix | Shards, kind: Kind = "degree", smoothing: float = 0.0) -> Weighting:
    """How the raw `matrix` (m, n), values >= 0, is weighed by `kind`; the formulas stand in `normalise`.

    `weighting(X, kind).of_users(X)` is the weighted matrix. Shards are read twice, a piece at a time, and
    weighed piece by piece: `MappedShards(X, weighting(X, kind).of_users)`.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"unknown weighting {kind!r}: expected one of {', '.join(get_args(Kind))}")
    if smoothing < 0:
        raise ValueError(f"smoothing is {smoothing}: give a number of events from 0 on")
    m, n = matrix.shape
    sums, totals = [], np.zeros(n)
    for csr in _pieces(matrix):
        sums.append(normalise.row_sums(csr))
        totals += _column_totals(kind, csr)
    items = _item_factors(kind, totals, m, smoothing)
    users = [_user_factors(kind, csr, items, smoothing) for csr in _pieces(matrix)]
    lengths = np.concatenate(sums)
    mean = max(float(lengths.mean()) if m else 0.0, normalise.TINY)
    return Weighting(kind, np.concatenate(users), items, lengths / mean, mean, smoothing)


def _pieces(matrix: sparse.csr_matrix | Shards) -> Iterator[sparse.csr_matrix]:
    if sparse.issparse(matrix):
        yield normalise.checked(matrix)
    else:
        yield from (normalise.checked(rows) for _, rows in matrix)


def _column_totals(kind: Kind, csr: sparse.csr_matrix) -> np.ndarray:
    """(n,) what the items' factors are made of, to be added over pieces of rows: sums, or counts of users."""
    return normalise.row_sums(csr.T.tocsr()) if kind == "degree" else normalise.held_by(csr)


def _item_factors(kind: Kind, totals: np.ndarray, users: int, smoothing: float) -> np.ndarray:
    if kind == "degree":
        return normalise.inverse_power(totals, 0.5, smoothing)
    if kind == "none":
        return np.ones(len(totals), np.float32)
    return normalise.inverse_document_frequency(totals, users)


def _user_factors(kind: Kind, csr: sparse.csr_matrix, items: np.ndarray, smoothing: float) -> np.ndarray:
    if kind == "degree":
        return normalise.inverse_power(normalise.row_sums(csr), 0.5, smoothing)
    if kind == "tf_idf":
        weighed = normalise.scaled(csr, None, items)
        return normalise.inverse_power(normalise.row_sums(weighed.multiply(weighed).tocsr()), 0.5)
    return np.ones(csr.shape[0], np.float32)
