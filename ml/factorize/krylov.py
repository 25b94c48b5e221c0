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

from ml.device import for_each, one_thread
from ml.factorize.dense import columns_of, length, orthonormal, unit
from ml.factorize.operators import Operator
from ml.factorize.shards import room

# A block of up to 32 is multiplied at little more than the price of one vector, but wider ones need more
# vectors in all: half of those wanted, within these bounds.
LEAST_BLOCK, BLOCK = 16, 32
# The share that a restart keeps of those beyond the wanted ones.
KEEP = 0.2
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
    wide = min(BLOCK, max(LEAST_BLOCK, k // 2))
    block = min(wide if known is None else max(LEAST_BLOCK, k - known.shape[1]), n)
    largest = max(int(ROOM * k), k + 8 * block)
    if known is not None:
        largest = max(largest, max_products * (known.shape[1] + block))
    largest = min(n, largest)
    space = Space(largest, room((largest + block, n), dtype, operator.device, workspace))
    random = np.random.default_rng(seed)
    fresh, scale = first_block(operator, random, block, space, known)
    products, converged, precise, pace, least = 0, False, True, Pace(), -math.inf
    ritz, vectors = torch.zeros(0), torch.zeros(0)
    goes_on = max_products > 0
    while goes_on:
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
            fresh = unseen(operator, random, block, k, space)
            before, least = least, float(ritz[k - 1]) if space.size >= k else math.nan
            converged = not len(fresh) or least - before <= max(space.noise, tolerance * before)
            precise = space.size < k or space.sees(ritz[k - 1], tolerance)
        elif space.size >= k:
            values = ritz[:k].clamp_min(0).sqrt()
            misfit = (coupling @ vectors[-space.last :, :k]).norm(dim=0)  # |A'A v - s^2 v| = s |A'u - s v|
            reached = pace.reached(products, misfit, tolerance * values[-1] * values)
            converged = reached and least == -math.inf
            precise = converged or space.sees(ritz[k - 1], tolerance)
        goes_on = products < max_products and precise and not converged
        if goes_on and space.size + len(fresh) > largest:
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
            self.due = products + max(1, int(0.8 * excess / rate))
        self._seen = products, excess
        return False


class Space:
    """An orthonormal basis, one vector a row, and the projection of A'A on it.

    Blocks are rows too: BLAS multiplies (b, n) with (n, size) three times as fast as its transpose.
    """

    def __init__(self, largest: int, room: torch.Tensor) -> None:
        self.largest, self.dtype, self.device = largest, room.dtype, room.device
        self._rows = room
        self._cuts = columns_of(room)
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
        rounding = 10 * torch.finfo(self.dtype).eps * length(remainder)
        fresh, coupling = orthonormal(remainder, max(self.noise, rounding))
        if len(fresh):
            fresh, further = orthonormal(self.remainder(fresh), 0.5)
            coupling = further @ coupling
        return fresh, coupling

    def added(self, rows: torch.Tensor, floor: float) -> torch.Tensor:
        """Orthonormal directions (r, n) of `rows` (b, n) outside the space; those shorter than `floor`, as a
        share of all their length, are dropped."""
        whole = length(rows)
        fresh, _ = orthonormal(self.remainder(rows), floor * whole)
        return orthonormal(self.remainder(fresh), 0.5)[0]

    def remainder(self, rows: torch.Tensor) -> torch.Tensor:
        """`rows` (b, n) less their projections on the space."""
        everything = slice(0, self.size)
        return self._less(rows, self._inside(rows, everything), everything)

    def _inside(self, rows: torch.Tensor, basis: slice) -> torch.Tensor:
        """(b, j) inner products of `rows` (b, n) with vectors of the basis."""
        parts: dict[int, torch.Tensor] = {}

        def multiply(cut: slice) -> None:
            parts[cut.start] = self._rows[basis, cut] @ rows[:, cut].T

        for_each(multiply, self._cuts, self.device)
        return torch.stack([parts[cut.start] for cut in self._cuts]).sum(dim=0).T

    def _less(self, rows: torch.Tensor, inside: torch.Tensor, basis: slice) -> torch.Tensor:
        """`rows` (b, n) less `inside` (b, j) times vectors of the basis, in their place."""

        def subtract(cut: slice) -> None:
            rows[:, cut].addmm_(inside, self._rows[basis, cut], alpha=-1)

        for_each(subtract, self._cuts, self.device)
        return rows

    def ritz(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Ritz values (size,) of A'A, descending, and their coefficients (size, size), float64."""
        with one_thread():  # LAPACK takes two to three times as long on two: its steps are too small
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


def first_block(
    operator: Operator, random: np.random.Generator, count: int, space: Space, known: torch.Tensor | None
) -> tuple[torch.Tensor, float]:
    """Orthonormal rows (r, n), random and `known`, and the power of two that brings A to about 1.

    A start in A's row space keeps the factors of empty columns at 0.
    """
    start = row_space(operator, random, count, space)
    scale = unit(length(start) / count**0.5)
    start *= scale
    if known is not None:
        start = torch.cat([known.T.to(start), start])
    fresh, _ = orthonormal(start, 1e-6 * length(start))
    if not len(fresh):
        fresh = random_rows(random, count, operator.shape[1], space)
    return orthonormal(fresh, 0.0)[0], scale


def unseen(operator: Operator, random: np.random.Generator, count: int, k: int, space: Space) -> torch.Tensor:
    """(r, n) random orthonormal rows outside the space, r <= count.

    In A's row space as long as that has any (so that factors of empty columns stay 0); beyond it only where
    the space has fewer than k; none where it is everything.
    """
    fresh = space.added(row_space(operator, random, count, space), 10 * torch.finfo(space.dtype).eps)
    if len(fresh) or space.size >= k:
        return fresh
    return space.added(random_rows(random, count, operator.shape[1], space), 1e-3)


def row_space(operator: Operator, random: np.random.Generator, count: int, space: Space) -> torch.Tensor:
    """(count, n) A' times standard normal rows (count, m)."""
    drawn = random_rows(random, count, operator.shape[0], space)
    return operator.transposed.matmul(drawn.T.contiguous()).T.contiguous()


def random_rows(random: np.random.Generator, count: int, n: int, space: Space) -> torch.Tensor:
    """(count, n) standard normal. Drawn on the CPU, so that a seed means the same on every device."""
    drawn = random.standard_normal((count, n), dtype=np.float32)
    return torch.from_numpy(drawn).to(space.device, space.dtype)


def _squared(operator: Operator, rows: torch.Tensor, scale: float) -> torch.Tensor:
    """(scale A)'(scale A) times each of the rows (b, n), which it takes the place of."""
    upright, cuts = rows.new_empty(rows.shape[::-1]), columns_of(rows)

    def stand(cut: slice) -> None:
        torch.mul(rows[:, cut].T, scale, out=upright[cut])

    def lie(cut: slice) -> None:
        torch.mul(squared[cut].T, scale, out=rows[:, cut])

    for_each(stand, cuts, rows.device)
    squared = operator.squared(upright)
    for_each(lie, cuts, rows.device)
    return rows
