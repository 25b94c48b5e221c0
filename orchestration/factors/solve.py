"""A domain's two factorisations, in memory where they fit and from a scratch folder on disk where not.

Both ways give the same factors up to the solvers' tolerance. On disk the snapshot is read row group by row
group, the matrix lies in Parquet shards, and the solvers' large dense blocks in files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.config import Home
from orchestration.factors.files import Earlier, entry_values, solve, weigh
from orchestration.factors.memory import usable_memory
from orchestration.factors.scratch import scratch_folder
from orchestration.factors_config import Factors

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from ml.factorize.als import ALSFactors
    from ml.factorize.svd import SVD

# A row of the whole snapshot while it is read, with ids of about ten letters: as text and as positions, the
# one beside the other. Measured: 144.
ROW_BYTES = 150
# An entry as CSR (column and value, 8 bytes): the plain and the weighted matrix, each with its transpose and
# once more in the solver's own form.
ENTRY_BYTES = 8 * 2 * 3
# What streaming holds for each entry of a piece: its rows as read, the piece, its transpose, the solver's
# form, and what the allocators keep of the pieces before. Measured: about 650.
PIECE_ENTRY_BYTES = 800
# A smaller piece saves no memory worth having, and every pass over the matrix takes longer.
LEAST_PIECE = 1 << 16
GIB = 1 << 30


@dataclass(frozen=True)
class Size:
    """What decides how much memory a factorisation takes. rows: interactions of all domains; entries: of
    this one. users, items: the matrix's sides. rank: factors.
    """

    rows: int
    entries: int
    users: int
    items: int
    rank: int

    @property
    def needed(self) -> int:
        """Bytes in memory, estimated.

        The snapshot is read whole, with its other domains. The SVD's space holds about 4 rank vectors of the
        smaller side and `rank` of the larger, ALS two of everything (factors and whitened factors), all
        float32.
        """
        small, large = sorted((self.users, self.items))
        rank = min(self.rank, max(small, 1))
        dense = 4 * rank * small + rank * large + 2 * rank * (small + large)
        return self.rows * ROW_BYTES + self.entries * ENTRY_BYTES + 4 * dense


@dataclass(frozen=True)
class Factorised:
    """Both factorisations of a domain. origin: solved, or updated from which as-of. size: of the matrix."""

    svd: SVD
    als: ALSFactors
    origin: str
    size: Size
    out_of_core: bool


def memory_limit(settings: Factors) -> int:
    """Bytes that a factorisation may take: as configured, else half of what the process may use."""
    return usable_memory() // 2 if settings.memory_gb is None else int(settings.memory_gb * GIB)


@contextmanager
def factorised(
    snapshot: Path, domain: str, item_ids: np.ndarray, earlier: Earlier | None, settings: Factors
) -> Iterator[Factorised]:
    """The factors of a domain in the snapshot at `snapshot`, its catalogue's `item_ids` (n,).

    The arrays may lie in files that are gone when the block ends. Out of core `earlier` is not carried on:
    the update needs the matrix in memory.
    """
    from ml.snapshot_files import read_manifest
    from ml.snapshot_rows import rows_of, user_ids

    manifest, users = read_manifest(snapshot), user_ids(snapshot)
    entries, rank = rows_of(snapshot, domain), settings.rank
    size = Size(manifest["interactions"], entries, len(users), len(item_ids), rank)
    if size.needed <= memory_limit(settings):
        yield Factorised(*_in_memory(snapshot, domain, item_ids, earlier, settings), size, False)
        return
    with scratch_folder(Home(), "factors") as folder:
        found = _from_disk(snapshot, domain, users, item_ids, manifest["as_of"], settings, folder)
        yield Factorised(*found, "solved", size, True)


def _in_memory(
    path: Path, domain: str, item_ids: np.ndarray, earlier: Earlier | None, settings: Factors
) -> tuple[SVD, ALSFactors, str]:
    from ml.factorize.als import WeightedALS
    from ml.snapshot_files import read_snapshot

    snapshot = read_snapshot(path)
    log = snapshot.interactions[domain]
    values, matrix = weigh(log, snapshot.as_of, settings)
    svd, origin = solve(matrix, item_ids, earlier, settings)
    return svd, WeightedALS(rank=max(1, len(svd.s))).fit(log.matrix(values)), origin


def _from_disk(
    snapshot: Path,
    domain: str,
    users: pa.Array,
    item_ids: np.ndarray,
    now: int,
    settings: Factors,
    folder: Path,
) -> tuple[SVD, ALSFactors]:
    from ml.factorize.als import WeightedALS
    from ml.factorize.shards import PIECE_ENTRIES, MappedShards, transpose_shards, write_shards
    from ml.factorize.svd import truncated_svd
    from ml.factorize.weighting import weighting
    from ml.snapshot_rows import DomainRows

    piece = max(LEAST_PIECE, min(PIECE_ENTRIES, memory_limit(settings) // PIECE_ENTRY_BYTES))
    values = partial(entry_values, now=now, settings=settings)
    rows = DomainRows(snapshot, domain, users, item_ids, values, piece)
    plain = write_shards(folder / "plain.parquet", rows)
    by_kind = weighting(plain, settings.normalise, settings.smoothing)
    weighted = write_shards(folder / "weighted.parquet", MappedShards(plain, by_kind.of_users))
    rank = max(1, min(settings.rank, *weighted.shape))
    # On the CPU: what lies in files is not on a GPU, and the GPU's memory may be less than this machine's.
    svd = truncated_svd(weighted, rank, device="cpu", workspace=folder)
    transposed = transpose_shards(plain, folder / "transposed.parquet", piece)
    als = WeightedALS(rank=max(1, len(svd.s)), device="cpu").fit(plain, transposed, folder / "als")
    return svd, als
