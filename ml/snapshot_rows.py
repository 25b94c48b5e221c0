"""One domain's interactions in a snapshot as a matrix that is never in memory whole.

The file is sorted by domain and user, so whole rows of the matrix lie together: they are read a row group at
a time, again in every pass. What stays in memory are the ids of users and items.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import sparse

from ml import columns as c
from ml.factorize.shards import PIECE_ENTRIES
from ml.snapshot_files import GROUP_ROWS, INTERACTIONS_FILE

_READ = [c.DOMAIN, c.USER_ID, c.ITEM_ID, c.EVENT_TIME, c.WEIGHT]
# One interaction: positions of user and item, microseconds since epoch, weight.
_ENTRY = np.dtype([("user", "i8"), ("item", "i8"), ("time", "i8"), ("weight", "f4")])


def user_ids(snapshot: Path) -> pa.Array:
    """The users of all domains, sorted: the positions of `read_snapshot`."""
    found, waiting, size = pa.array([], pa.string()), [], 0
    with pq.ParquetFile(snapshot / INTERACTIONS_FILE) as file:
        for batch in file.iter_batches(GROUP_ROWS, columns=[c.USER_ID]):
            waiting.append(pc.unique(batch.column(0)))
            size += len(waiting[-1])
            if size > len(found):  # so that an id is looked at a few times only, however many batches
                found, waiting, size = pc.unique(pa.chunked_array([found, *waiting])), [], 0
    found = pc.unique(pa.chunked_array([found, *waiting], pa.string()))
    return found.take(pc.sort_indices(found))


def rows_of(snapshot: Path, domain: str) -> int:
    """The interactions of a domain."""
    with pq.ParquetFile(snapshot / INTERACTIONS_FILE) as file:
        batches = file.iter_batches(GROUP_ROWS, row_groups=_groups(file, domain), columns=[c.DOMAIN])
        return sum(pc.sum(pc.equal(batch.column(0), domain)).as_py() for batch in batches)


class DomainRows:
    """A domain's (users, items) matrix as `ml.factorize.shards.Shards`.

    users: sorted ids of all rows (`user_ids`). item_ids: (n,) of the columns. values: times (m,),
    microseconds since epoch, and weights (m,) -> (m,) the entries' values. Raises KeyError where an item is
    not in `item_ids`.
    """

    def __init__(
        self,
        snapshot: Path,
        domain: str,
        users: pa.Array,
        item_ids: np.ndarray,
        values: Callable[[np.ndarray, np.ndarray], np.ndarray],
        entries: int = PIECE_ENTRIES,
    ) -> None:
        self.shape, self.nnz = (len(users), len(item_ids)), rows_of(snapshot, domain)
        self._path, self._domain, self._users = snapshot / INTERACTIONS_FILE, domain, users
        self._items, self._values, self._entries = pa.array(item_ids, pa.string()), values, entries

    def __iter__(self) -> Iterator[tuple[int, sparse.csr_matrix]]:
        first, held, size = 0, [], 0
        for batch in self._batches():
            held.append(batch)
            size += len(batch)
            last = int(batch["user"][-1])
            if size < self._entries or last == first:
                continue
            # The last user's interactions may go on in the next batch.
            entries = np.concatenate(held)
            cut = int(np.searchsorted(entries["user"], last))
            yield first, self._piece(entries[:cut], first, last)
            first, held, size = last, [entries[cut:]], len(entries) - cut
        entries = np.concatenate([np.zeros(0, _ENTRY), *held])
        yield first, self._piece(entries, first, self.shape[0])

    def _batches(self) -> Iterator[np.ndarray]:
        """(b,) of _ENTRY, b > 0."""
        with pq.ParquetFile(self._path) as file:
            groups = _groups(file, self._domain)
            for batch in file.iter_batches(GROUP_ROWS, row_groups=groups, columns=_READ):
                mine = batch.filter(pc.equal(batch[c.DOMAIN], self._domain))
                if not len(mine):
                    continue
                items = pc.index_in(mine[c.ITEM_ID], value_set=self._items)
                if items.null_count:
                    strange = mine[c.ITEM_ID].filter(items.is_null())[0]
                    raise KeyError(f"{self._path}: item {strange} of {self._domain} is not in its catalogue")
                entries = np.empty(len(mine), _ENTRY)
                entries["user"], entries["item"] = self._positions(mine[c.USER_ID]), items.to_numpy()
                entries["time"] = mine[c.EVENT_TIME].cast(pa.int64()).to_numpy()
                entries["weight"] = mine[c.WEIGHT].to_numpy()
                yield entries

    def _positions(self, ids: pa.Array) -> np.ndarray:
        """Positions of sorted ids: only the range of users between the first and the last is hashed."""
        low, high = (
            bisect_left(self._users, ids[end].as_py(), key=lambda found: found.as_py()) for end in (0, -1)
        )
        return low + pc.index_in(ids, value_set=self._users[low : high + 1]).to_numpy().astype(np.int64)

    def _piece(self, entries: np.ndarray, first: int, last: int) -> sparse.csr_matrix:
        shape = (last - first, self.shape[1])
        values = self._values(entries["time"], entries["weight"]).astype(np.float32)
        return sparse.csr_matrix((values, (entries["user"] - first, entries["item"])), shape=shape)


def _groups(file: pq.ParquetFile, domain: str) -> list[int]:
    """The row groups that may hold the domain."""
    column, found = file.schema_arrow.get_field_index(c.DOMAIN), []
    for group in range(file.num_row_groups):
        known = file.metadata.row_group(group).column(column).statistics
        if known is None or not known.has_min_max or known.min <= domain <= known.max:
            found.append(group)
    return found
