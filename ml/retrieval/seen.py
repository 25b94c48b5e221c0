"""What each query must not get, cut into the blocks in which scores are made."""

from __future__ import annotations

import numpy as np
from scipy import sparse


class Seen:
    """The stored non-zero entries of `exclude` (q, n), sorted once by block of columns, then by query.

    shown: positions of the items that may be returned, ascending; the columns of the scores are theirs.
    None for all. step: columns in a block.
    """

    def __init__(self, exclude: sparse.csr_matrix, shown: np.ndarray | None, step: int) -> None:
        entries = exclude.tocoo()
        row, column = (axis[entries.data != 0].astype(np.int64) for axis in (entries.row, entries.col))
        if shown is not None:
            place = np.full(exclude.shape[1], -1, dtype=np.int64)
            place[shown] = np.arange(len(shown))
            kept = place[column] >= 0
            row, column = row[kept], place[column[kept]]
        self._step, self._queries = step, exclude.shape[0]
        key = column // step * self._queries + row
        order = np.argsort(key, kind="stable")
        self._key, self._row, self._column = key[order], row[order], column[order] % step

    def of(self, rows: slice, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows counted from `rows.start` and columns counted from `first`, a multiple of the step."""
        base = first // self._step * self._queries
        start, stop = np.searchsorted(self._key, [base + rows.start, base + rows.stop])
        return self._row[start:stop] - rows.start, self._column[start:stop]
