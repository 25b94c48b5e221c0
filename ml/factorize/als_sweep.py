"""A half-sweep of ALS over rows in memory or on disk, a block of them to each core.

Blocks are the same however many cores there are, and each is computed by one thread: the number of cores
changes no result. Streamed rows are read again in every half-sweep and only one shard of them is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from scipy import sparse

from ml.factorize.als_solve import Block, blocks
from ml.factorize.shards import Shards
from ml.factorize.sparse import check_weights

# Rows of a factor matrix that are whitened and squared at once.
STRIP = 1 << 13

Observed: TypeAlias = sparse.csr_matrix | Shards


def observed_rows(matrix: Observed) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """The pieces of `matrix` (one, where it is in memory), checked: (first row, rows).

    Raises ValueError for NaN, infinite or negative values and for shards that leave rows out.
    """
    if sparse.issparse(matrix):
        yield 0, check_weights(matrix)
        return
    expected, (m, n) = 0, matrix.shape
    for first, rows in matrix:
        if first != expected or rows.shape[1] != n:
            raise ValueError(
                f"a shard has shape {rows.shape} and starts at row {first}, expected row {expected} and {n} "
                "columns: write the shards again, in the order of their rows"
            )
        expected += rows.shape[0]
        yield first, check_weights(rows)
    if expected != m:
        raise ValueError(f"the shards end at row {expected} of {m}: write them again")


class Side:
    """One side's factors (m, f), its rows of the observed matrix, and room for the whitened factors."""

    def __init__(self, matrix: Observed, factors: torch.Tensor, whitened: torch.Tensor) -> None:
        self.factors, self.whitened = factors, whitened
        self._matrix = matrix
        self._held = list(self._read()) if sparse.issparse(matrix) else None

    def pieces(self) -> Iterable[list[Block]]:
        """The blocks that are in memory together, piece by piece."""
        return self._read() if self._held is None else self._held

    def _read(self) -> Iterator[list[Block]]:
        for first, rows in observed_rows(self._matrix):
            yield blocks(rows, first, self.factors.shape[1], self.factors.device)


def whiten(factors: torch.Tensor, regularisation: float, out: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """L and L^-1 (f, f) of factors' factors + regularisation I = L L'; `out` (n, f) gets factors L^-T.

    Sums and Cholesky are in float64: the matrix is as ill-conditioned as the regularisation is small.
    """
    f, device = factors.shape[1], factors.device
    gram = regularisation * torch.eye(f, dtype=torch.float64, device=device)
    for start in range(0, len(factors), STRIP):
        strip = factors[start : start + STRIP].double()
        gram.addmm_(strip.T, strip)
    L = torch.linalg.cholesky(gram)
    identity = torch.eye(f, dtype=torch.float64, device=device)
    inverse = torch.linalg.solve_triangular(L, identity, upper=False).float()
    for start in range(0, len(factors), STRIP):
        torch.mm(factors[start : start + STRIP], inverse.T, out=out[start : start + STRIP])
    return L.float(), inverse


class Room:
    """Where factor matrices lie: on the device, or memory-mapped files of a folder."""

    def __init__(self, device: torch.device, folder: Path | None) -> None:
        if folder is not None and device.type != "cpu":
            raise ValueError(
                f"a workspace holds factors on disk, which {device} cannot read: use device='cpu' with it"
            )
        self._device, self._folder = device, folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def zeros(self, name: str, shape: tuple[int, int]) -> torch.Tensor:
        """A float32 matrix; in a folder it is the file `name`.npy, made anew."""
        if self._folder is None or 0 in shape:  # an empty file cannot be mapped
            return torch.zeros(shape, device=self._device)
        path = self._folder / f"{name}.npy"
        return torch.from_numpy(np.lib.format.open_memmap(path, "w+", np.float32, shape))

    def drop(self, name: str) -> None:
        """Remove the file of `zeros`, if there is one."""
        if self._folder is not None:
            (self._folder / f"{name}.npy").unlink(missing_ok=True)
