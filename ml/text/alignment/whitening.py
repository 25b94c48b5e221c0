"""Whitening: a catalogue's vectors centred, decorrelated and brought to one length.

Off the shelf, embeddings share one strong direction and a few loud ones, so that everything looks alike to
everything (Su et al. 2021, "Whitening sentence representations for better semantics and faster retrieval").
It is done per domain: what all garden tools share says nothing about which garden tool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

# Rows held in double precision at a time: 200 MB of 384 numbers each, however large the catalogue.
BLOCK = 1 << 16


@dataclass(frozen=True)
class Moments:
    """What the rows of a domain have in common. mean: (d,), covariance: (d, d), float64; rows: how many."""

    rows: int
    mean: np.ndarray
    covariance: np.ndarray

    def through(self, matrix: np.ndarray, mean: np.ndarray) -> Moments:
        """The moments of (row - own mean) @ matrix + mean."""
        return Moments(self.rows, mean, matrix.T @ self.covariance @ matrix)


@dataclass(frozen=True)
class Whitening:
    """PCA whitening. mean: (d,). axes: (d, r), strongest first. scales: (r,) deviations along them."""

    mean: np.ndarray
    axes: np.ndarray
    scales: np.ndarray

    @classmethod
    def fit(cls, found: Moments, rank: int, floor: float) -> Self:
        """From a domain's moments, `rank` axes at most.

        Eigenvalues below `floor` times the largest are raised to it: noise is not blown up to a signal.
        """
        values, axes = np.linalg.eigh(found.covariance)
        values, axes = values[::-1][:rank], axes[:, ::-1][:, :rank]
        return cls(found.mean, axes, np.sqrt(np.maximum(values, floor * values[0] + 1e-12)))

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """(n, r) float32; a zero row (an item without a vector) stays one.

        A row's expected length is 1, whatever the rank, where no eigenvalue was below the floor.
        """
        out = np.zeros((len(vectors), self.axes.shape[1]), np.float32)
        for rows, block in _blocks(vectors):
            held = block.any(axis=1)
            out[rows][held] = (block[held] - self.mean) @ self.axes / self.scales / np.sqrt(out.shape[1])
        return out


def moments(vectors: np.ndarray) -> Moments:
    """The moments of (n, d) vectors; zero rows are items without a vector and do not count."""
    width = vectors.shape[1]
    count, total = 0, np.zeros(width)
    for _, block in _blocks(vectors):
        count += int(block.any(axis=1).sum())
        total += block.sum(axis=0)
    mean, scatter = total / max(count, 1), np.zeros((width, width))
    for _, block in _blocks(vectors):
        centred = block[block.any(axis=1)] - mean
        scatter += centred.T @ centred
    return Moments(count, mean, scatter / max(count, 1))


def whitened(vectors: np.ndarray, rank: int, floor: float) -> np.ndarray:
    """(n, rank) float32 centred and whitened vectors; zero rows where there is none, and below two of them.

    rank: axes kept, at most the width. floor: as in `Whitening.fit`.
    """
    found = moments(vectors)
    if found.rows < 2:
        return np.zeros((len(vectors), min(rank, vectors.shape[1])), np.float32)
    return Whitening.fit(found, rank, floor).apply(vectors)


def _blocks(vectors: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    for start in range(0, len(vectors), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, vectors[rows].astype(np.float64)
