"""Dense blocks of a few vectors: inner products, lengths and orthonormal bases, float32 or float64.

What is summed over many numbers is summed in float64; products are in float32 where that shows nothing.
"""

from __future__ import annotations

import math

import torch

from ml.device import for_each
from ml.factorize.sparse import ranges

# Columns of a block that a core works on at a time.
CUT = 1 << 12
# Products that are summed in the block's precision before they enter a sum in double.
SUMMED = 1 << 10
# Columns whose Gram matrix has eigenvalues this far apart are too dependent for products in float32.
DEPENDENT = 1e-4
# Rows of a tall block that are held in float64 at a time.
CHUNK_ROWS = 1 << 13
# A Gram matrix as near to the identity as float32 vectors come.
ORTHONORMAL = 1e-6
# Below this ratio of the least to the greatest length a Gram matrix does not show a block's directions.
STEEP = 1e-4


def orthonormal(block: torch.Tensor, floor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions Q (r, n) of the rows of `block` (b, n) longer than `floor`, which take its place, and
    R (r, b) float64 with block ~ R' Q.

    By the eigenvectors of the Gram matrix (SVQB, Stathopoulos & Wu 2002). Q is orthonormal to rounding times
    the square of the ratio of the directions' lengths: twice is enough.
    """
    squares, vectors = torch.linalg.eigh(gram(block.T))
    lengths = squares.clamp_min(0).sqrt()
    held = lengths > floor
    lengths, vectors = lengths[held], vectors[:, held]
    coefficients, found = (vectors / lengths).T.to(block.dtype), block[: len(lengths)]

    def turn(cut: slice) -> None:
        found[:, cut] = coefficients @ block[:, cut]

    for_each(turn, columns_of(block), block.device)
    return found, (vectors * lengths).T


def gram(block: torch.Tensor) -> torch.Tensor:
    """Inner products (b, b) float64 of the columns of `block` (n, b).

    Products and short sums are in float32 where the block is, unless its columns turn out so dependent that
    their rounding shows.
    """
    total = _gram(block, block.dtype)
    values = torch.linalg.eigvalsh(total)
    if block.dtype == torch.float32 and len(values) and values[0] < DEPENDENT * values[-1]:
        return _gram(block, torch.float64)
    return total


def _gram(block: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    total = torch.zeros((block.shape[1],) * 2, dtype=torch.float64, device=block.device)
    for rows in block.split(64 * SUMMED):
        wide = rows.to(dtype)
        whole = len(rows) // SUMMED * SUMMED
        pieces = wide[:whole].unflatten(0, (-1, SUMMED))
        total += torch.bmm(pieces.transpose(1, 2), pieces).double().sum(dim=0)
        total += wide[whole:].T @ wide[whole:]
    return total


def columns_of(rows: torch.Tensor) -> list[slice]:
    """The columns of a thin block in ranges: BLAS gains nothing from threads on it, so each core takes some.

    Of a fixed width, so that the number of cores changes no bit.
    """
    return ranges(rows.shape[1], max(1, rows.shape[1]) if rows.device.type == "cuda" else CUT)


def orthonormal_columns(block: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Q (m, k), which takes the place of `block` (m, k), and R (k, k) float64 with block = Q R.

    Cholesky QR twice (Yamamoto et al. 2015); a block whose directions are too unequal for it goes through
    LAPACK in float64.
    """
    # Squares that float32 cannot hold come into its range; an orthonormal basis stays as it is.
    scale = unit(length(block) / block.shape[1] ** 0.5)
    block *= scale
    identity = torch.eye(block.shape[1], dtype=torch.float64, device=block.device)
    R, inner = identity, gram(block)
    lengths = torch.linalg.eigvalsh(inner).clamp_min(0).sqrt()
    if float(lengths[0]) <= STEEP * float(lengths[-1]):
        Q, R = torch.linalg.qr(block.double())
        return Q.to(block.dtype), R / scale
    for _ in range(2):
        if float((inner - identity).abs().max()) <= ORTHONORMAL:
            break
        upper = torch.linalg.cholesky(inner, upper=True)
        rotate(block, torch.linalg.solve_triangular(upper, identity, upper=True))
        R, inner = upper @ R, gram(block)
    return block, R / scale


def rotate(block: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """block @ by (k, k) in its place, a chunk of rows at a time."""
    for rows in block.split(CHUNK_ROWS):
        rows.copy_(rows @ by.to(block.dtype))
    return block


def unit(size: float) -> float:
    """The power of two that brings `size` to about 1: exact, and A'A neither overflows nor vanishes."""
    if not math.isfinite(size):
        raise ValueError(
            "a product with the operator holds NaN or infinite values: clean its entries, or scale them "
            "where their sums pass 3.4e38, the end of float32"
        )
    return 2.0 ** -round(math.log2(size)) if size else 1.0


def length(block: torch.Tensor) -> float:
    """The Frobenius norm, whose squares would not fit float32 for values above 1e19 or below 1e-19."""
    return float(torch.linalg.vector_norm(block, dtype=torch.float64))
