"""The ridge regressions of one half-sweep of ALS: many rows at once, each against the same fixed factors.

`als.py` has the equations. Whitened (y~ = L^-1 y), a row's are (I + sum_i e_i y~_i y~_i') z = sum_i (1 + e_i)
y~_i with e = alpha v. Two solvers: a few conjugate-gradient steps for many rows together, which only need
weighted sums of vectors and inner products at the entries; and an exact one by batched Cholesky.

On the CPU the weighted sum is torch's embedding_bag: its kernel (FBGEMM's) prefetches the rows it gathers and
takes 7 to 11 ns an entry at 64 columns on one core where CSR products of torch, MKL and scipy take 23 to 60.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional

# Vectors of one block stay in a core's cache: 1 MiB of float32; entries bound a block of long rows, so that
# workers end together. A GPU wants blocks large enough to fill it.
BLOCK_NUMBERS = {"cpu": 1 << 18, "cuda": 1 << 24}
BLOCK_ENTRIES = {"cpu": 1 << 17, "cuda": 1 << 26}


@dataclass(frozen=True)
class Block:
    """Rows `first` ... of the observed matrix, on a device.

    csr: (r, n) on the host. pattern: the same as torch CSR. Its values are the observed ones.
    """

    first: int
    csr: sparse.csr_matrix
    pattern: torch.Tensor

    @property
    def rows(self) -> slice:
        """Where they lie in the whole matrix."""
        return slice(self.first, self.first + self.csr.shape[0])

    @property
    def values(self) -> torch.Tensor:
        """(nnz,) in row order."""
        return self.pattern.values()

    def weighted_sums(self, vectors: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(r, f): for each row the sum over its entries of weight (nnz,) times `vectors` (n, f)."""
        starts, columns = self.pattern.crow_indices(), self.pattern.col_indices()
        if vectors.device.type == "cpu":
            return functional.embedding_bag(
                columns, vectors, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
            )
        weighted = torch.sparse_csr_tensor(
            starts, columns, weights, size=self.csr.shape, check_invariants=False
        )
        return weighted @ vectors

    def scores(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """(nnz,) inner products of left (r, f) and right (n, f) at the entries."""
        if self.csr.nnz == 0:  # the kernel refuses a matrix without entries
            return left.new_zeros(0)
        return torch.sparse.sampled_addmm(self.pattern, left, right.T, beta=0.0).values()


def blocks(observed: sparse.csr_matrix, first: int, f: int, device: torch.device) -> list[Block]:
    """All rows of `observed`, whose first one is row `first` of the whole, in blocks that fit a core's
    cache.
    """
    most_rows = max(1, BLOCK_NUMBERS[device.type] // f)
    most_entries, m, start, cut = BLOCK_ENTRIES[device.type], observed.shape[0], 0, []
    while start < m:
        full = int(np.searchsorted(observed.indptr, observed.indptr[start] + most_entries, side="right") - 1)
        stop = min(m, start + most_rows, max(full, start + 1))
        rows = observed[start:stop]
        cut.append(Block(first + start, rows, _pattern(rows, device)))
        start = stop
    return cut


def approach(
    block: Block, whitened: torch.Tensor, alpha: float, start: torch.Tensor, steps: int
) -> torch.Tensor:
    """(r, f): `steps` conjugate-gradient steps from `start` towards the solution of every row at once.

    As many steps as a row has entries, plus one, are exact. The first residual needs one weighted sum since
    both of its sums run over the same vectors; the last step needs none, its length follows from the scores.
    A row that is solved already stays as it is.
    """
    extra = alpha * block.values
    weights = 1 + extra - extra * block.scores(start, whitened)
    residual = block.weighted_sums(whitened, weights).sub_(start)
    z, direction, size = start, residual.clone(), _row_dots(residual, residual)
    tiny = torch.finfo(torch.float32).tiny
    for left in range(steps - 1, -1, -1):
        scores = block.scores(direction, whitened)
        if left == 0:
            curved = torch.segment_reduce(
                extra * scores.square_(), "sum", offsets=block.pattern.crow_indices()
            )
            curvature = _row_dots(direction, direction).add_(curved[:, None])
            return torch.addcmul(z, size / curvature.clamp_min_(tiny), direction)
        image = block.weighted_sums(whitened, extra * scores).add_(direction)
        step = size / _row_dots(direction, image).clamp_min_(tiny)
        z = torch.addcmul(z, step, direction)
        residual.addcmul_(step, image, value=-1)
        before, size = size, _row_dots(residual, residual)
        direction.mul_(size / before.clamp_min_(tiny)).add_(residual)
    return z


def solve(block: Block, whitened: torch.Tensor, alpha: float) -> torch.Tensor:
    """(r, f) exact solutions by batched Cholesky; a row without entries gets zeros.

    With V = the row's vectors times sqrt(e), (I + V'V) z = b. Rows with fewer entries than factors solve the
    smaller I + VV' instead: z = b - V'(I + VV')^-1 V b (Woodbury).
    """
    f = whitened.shape[1]
    z = torch.zeros((block.csr.shape[0], f), device=whitened.device)
    for rows, columns, values, held in _padded(block.csr, f, BLOCK_NUMBERS[whitened.device.type]):
        vectors = whitened[columns.to(whitened.device)]
        extra = alpha * values.to(whitened.device)
        rhs = torch.einsum("bl,blf->bf", held.to(whitened.device) + extra, vectors)[:, :, None]
        V = vectors.mul_(extra.sqrt_()[:, :, None])
        if V.shape[1] < f:
            pull = torch.cholesky_solve(V @ rhs, _cholesky_of_identity_plus(V @ V.transpose(1, 2)))
            found = rhs - V.transpose(1, 2) @ pull
        else:
            found = torch.cholesky_solve(rhs, _cholesky_of_identity_plus(V.transpose(1, 2) @ V))
        z[rows.to(whitened.device)] = found[:, :, 0]
    return z


def _cholesky_of_identity_plus(gram: torch.Tensor) -> torch.Tensor:
    gram.diagonal(dim1=1, dim2=2).add_(1)
    return torch.linalg.cholesky(gram)


def _padded(
    observed: sparse.csr_matrix, f: int, numbers: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Rows of similar length together, padded: positions (b,), columns, values and 0/1 held (b, longest)."""
    lengths = np.diff(observed.indptr)
    # Lengths from one power of two to the next share a group, so that padding at most doubles the work.
    groups = np.ceil(np.log2(np.maximum(lengths, 4))).astype(int)
    for group in np.unique(groups[lengths > 0]):
        alike = np.flatnonzero((groups == group) & (lengths > 0))
        longest = int(lengths[alike].max())
        size = max(1, numbers // (longest * f + min(longest, f) ** 2))
        for start in range(0, len(alike), size):
            rows = alike[start : start + size]
            slots = np.arange(lengths[rows].max())
            held = slots < lengths[rows][:, None]
            at = np.where(held, observed.indptr[rows][:, None] + slots, 0)
            columns = torch.from_numpy(np.where(held, observed.indices[at], 0).astype(np.int64))
            values = torch.from_numpy(np.where(held, observed.data[at], 0).astype(np.float32))
            yield torch.from_numpy(rows), columns, values, torch.from_numpy(held.astype(np.float32))


def _row_dots(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vecdot(left, right)[:, None]


def _pattern(rows: sparse.csr_matrix, device: torch.device) -> torch.Tensor:
    with warnings.catch_warnings():  # torch announces on every start that its CSR support is in beta
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(rows.indptr.astype(np.int32)),
            torch.from_numpy(rows.indices.astype(np.int32)),
            torch.from_numpy(rows.data.astype(np.float32)),
            size=rows.shape,
            device=device,
            check_invariants=False,
        )
