"""The leading right singular space of an operator: thick-restarted block Lanczos on A'A.

The space spanned by the products of a random block (Musco & Musco 2015) is kept orthonormal and grows by one
block a product; when it is full it is compressed to its best Ritz vectors and grows again (thick restart, Wu
& Simon 2000; Stathopoulos 1998), so that memory is bounded and orthogonalisation stays cheap. The residual of
every wanted vector is known without further products: it is the last block row of the recurrence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ml.device import cores, for_each
from ml.factorize.operators import Operator
from ml.factorize.shards import room

# A block is multiplied at little more than the price of one vector, but wider ones need more vectors in all.
BLOCK = 16
# The share that a restart keeps of those beyond the wanted ones.
KEEP = 0.2
# Columns of a range that is worth a thread.
CUT = 1 << 12
# Vectors that the space holds, in multiples of those wanted.
ROOM = 3.0


@dataclass(frozen=True)
class RitzBasis:
    """vectors: (n, k) Ritz vectors of A'A, best first. products: with A'A, of one block each. precise: False
    where rounding hides the wanted residual; the search then ended early."""

    vectors: torch.Tensor
    products: int
    precise: bool


def ritz_basis(
    operator: Operator,
    k: int,
    *,
    seed: int,
    tolerance: float,
    max_products: int,
    dtype: torch.dtype = torch.float32,
    workspace: Path | None = None,
    known: torch.Tensor | None = None,
) -> RitzBasis:
    """The k leading right singular directions of `operator` (m, n) to |A'u - s v| <= tolerance * s_k.

    The space holds about 3 k vectors of n numbers, in memory or in a file under `workspace` (`shards.room`).
    known: (n, j) directions that the search starts from, beside random ones; of one width in all products, so
    that `max_products` should be small.
    """
    n = operator.shape[1]
    block = min(BLOCK if known is None else max(BLOCK, k - known.shape[1]), n)
    largest = max(int(ROOM * k), k + 16 * block)
    if known is not None:
        largest = max(largest, max_products * (known.shape[1] + block))
    largest = min(n, largest)
    space = Space(largest, room((largest + block, n), dtype, operator.device, workspace))
    random = np.random.default_rng(seed)
    # A start in A's row space keeps the factors of empty columns at 0.
    drawn = random_rows(random, block, operator.shape[0], space)
    start = operator.transposed.matmul(drawn.T.contiguous()).T.contiguous()
    scale = _unit(_length(start) / block**0.5)
    if known is not None:
        start = torch.cat([known.T.to(start), start * scale])
    fresh, _ = orthonormal(start, 1e-6 * _length(start))
    fresh, _ = orthonormal(fresh if len(fresh) else random_rows(random, block, n, space), 0.0)
    products, converged, precise, pace, least = 0, False, True, Pace(), -math.inf
    ritz, vectors = torch.zeros(0), torch.zeros(0)
    while products < max_products and precise and not converged:
        products += 1
        space.append(fresh)
        image = space.absorb(_squared(operator, fresh, scale))
        fresh, coupling = space.outside(image)
        must_look = not len(coupling) or space.size + len(fresh) > largest or products == max_products
        if not must_look and (space.size < 2 * k or products < pace.due):
            continue
        ritz, vectors = space.ritz()
        if not len(coupling):
            # The space is invariant: what the start missed needs a new block, unless nothing is left. It may
            # be more of the wanted: of a value that occurs more often than the block is wide, only so many.
            fresh = unseen(random, block, space)
            before, least = least, float(ritz[k - 1]) if space.size >= k else math.nan
            converged = not len(fresh) or least - before <= max(space.noise, tolerance * before)
            precise = space.size < k or space.sees(ritz[k - 1], tolerance)
        elif space.size >= k:
            values = ritz[:k].clamp_min(0).sqrt()
            misfit = (coupling @ vectors[-space.last :, :k]).norm(dim=0)  # |A'A v - s^2 v| = s |A'u - s v|
            reached = pace.reached(products, misfit, tolerance * values[-1] * values)
            converged = reached and least == -math.inf
            precise = converged or space.sees(ritz[k - 1], tolerance)
        if not converged and space.size + len(fresh) > largest:
            space.compress(ritz, vectors, k)
    return RitzBasis(space.rotated(vectors[:, :k]).T.contiguous(), products, precise)


class Pace:
    """When to look next: a decomposition of the projection costs as much as several products."""

    def __init__(self) -> None:
        self.due = 0
        self._seen: tuple[int, float] | None = None

    def reached(self, products: int, misfit: torch.Tensor, wanted: torch.Tensor) -> bool:
        """Whether every `misfit` (k,) is at most what is `wanted`; else `due` is set by the rate so far."""
        if bool((misfit <= wanted).all()):
            return True
        excess = float((misfit / wanted.clamp_min(torch.finfo(wanted.dtype).tiny)).max().log())
        self.due = products + 1
        if self._seen is not None and excess < self._seen[1]:
            rate = (self._seen[1] - excess) / (products - self._seen[0])
            self.due = products + max(1, int(0.9 * excess / rate))
        self._seen = products, excess
        return False


class Space:
    """An orthonormal basis, one vector a row, and the projection of A'A on it.

    Blocks are rows too: BLAS multiplies (b, n) with (n, size) three times as fast as its transpose.
    """

    def __init__(self, largest: int, room: torch.Tensor) -> None:
        self.largest, self.dtype, self.device = largest, room.dtype, room.device
        self._rows = room
        n = room.shape[1]
        # BLAS gains nothing from threads on such thin blocks; each core takes a range of columns instead.
        width = n if room.device.type == "cuda" else max(CUT, -(-n // cores()))
        self._cuts = [slice(start, min(start + width, n)) for start in range(0, n, width)]
        self._projected = torch.zeros((len(room),) * 2, dtype=torch.float64, device=room.device)
        self.size = self.last = self._start = self._before = 0
        self._scale = 0.0

    @property
    def noise(self) -> float:
        """The rounding error of a product with A'A."""
        return 10 * torch.finfo(self.dtype).eps * self._scale

    def sees(self, ritz: torch.Tensor, tolerance: float) -> bool:
        """Whether |A'u - s v| <= tolerance * s can be told from rounding, eps s_1^2 / s: float64's is what
        there is, float32's can be bettered."""
        return self.dtype == torch.float64 or self.noise <= tolerance * float(ritz)

    @property
    def rows(self) -> torch.Tensor:
        """(size, n) the basis."""
        return self._rows[: self.size]

    def append(self, fresh: torch.Tensor) -> None:
        """Add orthonormal rows (b, n) that lie outside."""
        self.last, self._before, self._start = len(fresh), self._start, self.size
        self._rows[self.size : self.size + self.last] = fresh
        self.size += self.last

    def absorb(self, image: torch.Tensor) -> torch.Tensor:
        """Enter A'A times the last block (b, n) into the projection; returns what of it lies outside.

        But for rounding it lies outside all but this block and the one before (after a restart, all that was
        kept): the Lanczos recurrence.
        """
        near, new = slice(self._before, self.size), slice(self._start, self.size)
        inside = self._inside(image, near)
        entries = inside.double()
        self._projected[new, near] = entries
        self._projected[near, new] = entries.T
        own = entries[:, self._start - self._before :]
        self._projected[new, new] = (own + own.T) / 2
        self._scale = max(self._scale, float(own.diagonal().max()))
        return self._less(image, inside, near)

    def outside(self, remainder: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Orthonormal directions (r, n) of a remainder (b, n), r <= b, and their coefficients (r, b).

        Directions not longer than rounding noise are dropped. What the recurrence loses in orthogonality is
        taken out of every block again: left alone, it grows by |A'A| / |remainder| a step.
        """
        rounding = 10 * torch.finfo(self.dtype).eps * _length(remainder)
        fresh, coupling = orthonormal(remainder, max(self.noise, rounding))
        if len(fresh):
            fresh, further = orthonormal(self.remainder(fresh), 0.5)
            coupling = further @ coupling
        return fresh, coupling

    def remainder(self, rows: torch.Tensor) -> torch.Tensor:
        """`rows` (b, n) less their projections on the space."""
        everything = slice(0, self.size)
        return self._less(rows, self._inside(rows, everything), everything)

    def _inside(self, rows: torch.Tensor, basis: slice) -> torch.Tensor:
        """(b, j) inner products of `rows` (b, n) with vectors of the basis."""
        parts: dict[int, torch.Tensor] = {}

        def multiply(cut: slice) -> None:
            parts[cut.start] = rows[:, cut] @ self._rows[basis, cut].T

        for_each(multiply, self._cuts, self.device)
        return torch.stack([parts[cut.start] for cut in self._cuts]).sum(dim=0)

    def _less(self, rows: torch.Tensor, inside: torch.Tensor, basis: slice) -> torch.Tensor:
        """`rows` (b, n) less `inside` (b, j) times vectors of the basis, in their place."""

        def subtract(cut: slice) -> None:
            rows[:, cut].addmm_(inside, self._rows[basis, cut], alpha=-1)

        for_each(subtract, self._cuts, self.device)
        return rows

    def ritz(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Ritz values (size,) of A'A, descending, and their coefficients (size, size), float64."""
        values, vectors = torch.linalg.eigh(self._projected[: self.size, : self.size])
        return values.flip(0), vectors.flip(1)

    def rotated(self, coefficients: torch.Tensor) -> torch.Tensor:
        """(j, n) the vectors of the space with these coefficients (size, j)."""
        return coefficients.T.to(self.dtype) @ self.rows

    def compress(self, ritz: torch.Tensor, vectors: torch.Tensor, k: int) -> None:
        """Keep the wanted k Ritz vectors and the next best."""
        kept = min(k + int(KEEP * (self.size - k)), self.size - 1)
        coefficients = vectors[:, :kept].T.to(self.dtype)

        def rotate(cut: slice) -> None:
            self._rows[:kept, cut] = coefficients @ self.rows[:, cut]

        for_each(rotate, self._cuts, self.device)
        self._projected.zero_()
        self._projected[:kept, :kept] = torch.diag(ritz[:kept])
        self.size, self._start = kept, 0


def orthonormal(block: torch.Tensor, floor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions Q (r, n) of the rows of `block` (b, n) longer than `floor`, and R (r, b) float64 with
    block ~ R' Q.

    By the eigenvectors of the Gram matrix (SVQB, Stathopoulos & Wu 2002). Q is orthonormal to rounding times
    the square of the ratio of the directions' lengths: twice is enough.
    """
    wide = block.double()
    squares, vectors = torch.linalg.eigh(wide @ wide.T)
    lengths = squares.clamp_min(0).sqrt()
    held = lengths > floor
    lengths, vectors = lengths[held], vectors[:, held]
    return (vectors / lengths).T.to(block.dtype) @ block, (vectors * lengths).T


def unseen(random: np.random.Generator, count: int, space: Space) -> torch.Tensor:
    """(r, n) random orthonormal rows outside the space, r <= count; none where it is everything."""
    drawn = random_rows(random, count, space.rows.shape[1], space)
    fresh, _ = orthonormal(space.remainder(drawn), 1e-3)
    return orthonormal(space.remainder(fresh), 0.5)[0]


def random_rows(random: np.random.Generator, count: int, n: int, space: Space) -> torch.Tensor:
    """(count, n) standard normal. Drawn on the CPU, so that a seed means the same on every device."""
    drawn = random.standard_normal((count, n), dtype=np.float32)
    return torch.from_numpy(drawn).to(space.device, space.dtype)


def _squared(operator: Operator, rows: torch.Tensor, scale: float) -> torch.Tensor:
    """(b, n) (scale A)'(scale A) times each row (n,)."""
    image = operator.matmul(rows.T.contiguous()).mul_(scale)
    return operator.transposed.matmul(image).mul_(scale).T.contiguous()


def _unit(length: float) -> float:
    """The power of two that brings `length` to about 1: exact, and A'A neither overflows nor vanishes."""
    if not math.isfinite(length):
        raise ValueError(
            "a product with the operator holds NaN or infinite values: clean its entries, or scale them "
            "where their sums pass 3.4e38, the end of float32"
        )
    return 2.0 ** -round(math.log2(length)) if length else 1.0


def _length(block: torch.Tensor) -> float:
    """The Frobenius norm, whose squares would not fit float32 for values above 1e19 or below 1e-19."""
    return float(torch.linalg.vector_norm(block, dtype=torch.float64))
