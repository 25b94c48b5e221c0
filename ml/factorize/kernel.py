"""Text kernels as features: K = Z Z' with Z (n items, r) and r in the hundreds; K itself is never formed.

A kernel says how alike two items' texts are. Linear: the inner product of whitened embeddings. Cosine: of
those at length 1. RBF: exp(-|x - y|^2 / 2 width^2), by Nystroem on landmarks that randomly pivoted Cholesky
picks (Chen, Epperly, Tropp & Webber 2023) or by orthogonal random Fourier features (Rahimi & Recht 2007; Yu
et al. 2016). An item without text has a row of zeros in all of them: it is like nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ml.text.alignment.whitening import whitened

# Landmarks are picked among this many rows at most: past that the pivots cost more than they gain.
PIVOT_ROWS = 8192
# Rows whose features are computed at a time, and pairs whose median distance sets the width of an RBF.
BLOCK = 1 << 14
PAIRS = 4096
# Landmarks that the ones before explain to this share of their length add rounding noise and no direction.
NUGGET = 1e-6


@dataclass(frozen=True)
class TextKernel:
    """What is compared and how; the features are a function of these, the vectors and the seed.

    rank, floor: of the whitening that comes first (`whitened`). features: columns of an RBF's approximation.
    width: of the RBF, in medians of the distance between two texts.
    """

    kind: Literal["linear", "cosine", "rbf_nystroem", "rbf_fourier"] = "linear"
    rank: int = 128
    floor: float = 0.05
    features: int = 256
    width: float = 0.5
    seed: int = 0

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """(n, r) float32 features of (n, d) embeddings, centred and scaled to an eigenvalue of 1.

        Centred: what all texts share is popularity's business. Scaled so that the mean eigenvalue of Z Z',
        each weighted by itself, is 1: a beta then means the same for every kernel and size of catalogue.
        Raises ValueError on NaN or infinite vectors and on a kind that is not known.
        """
        text = whitened(checked(vectors), self.rank, self.floor)
        if self.kind == "linear":
            found = text
        elif self.kind == "cosine":
            found = cosine(text)
        elif self.kind == "rbf_nystroem":
            found = rbf_nystroem(
                text, self.features, self.width * median_distance(text, self.seed), self.seed
            )
        elif self.kind == "rbf_fourier":
            found = rbf_fourier(text, self.features, self.width * median_distance(text, self.seed), self.seed)
        else:
            raise ValueError(
                f"kernel {self.kind!r} is not known: linear, cosine, rbf_nystroem or rbf_fourier"
            )
        return unit_eigenvalue(centred(found))


def cosine(vectors: np.ndarray) -> np.ndarray:
    """(n, d) float32 rows at length 1; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros(vectors.shape, np.float32), where=lengths > 0)


def rbf_nystroem(vectors: np.ndarray, features: int, width: float, seed: int = 0) -> np.ndarray:
    """(n, r) float32, r <= `features`: Z Z' is K projected on the landmarks' columns, and never above K.

    Exact where there are as many landmarks as different texts. The error of an entry is at most the geometric
    mean of the two items' shortfalls 1 - |z|^2.
    """
    held = np.flatnonzero(vectors.any(axis=1))
    random = np.random.default_rng(seed)
    sample = held if len(held) <= PIVOT_ROWS else np.sort(random.choice(held, PIVOT_ROWS, replace=False))
    marks = vectors[sample[_pivots(vectors[sample], features, width, random)]].astype(np.float64)
    values, axes = np.linalg.eigh(_rbf(marks, marks, width))
    solid = values > NUGGET * values.max(initial=0)
    root = axes[:, solid] / np.sqrt(values[solid])
    Z = np.zeros((len(vectors), root.shape[1]), np.float32)
    for rows in _blocks(held):
        Z[rows] = _rbf(vectors[rows], marks, width) @ root
    return Z


def rbf_fourier(vectors: np.ndarray, features: int, width: float, seed: int = 0) -> np.ndarray:
    """(n, features) float32 rows of length 1, E[Z Z'] = K; the error of an entry is about 1/sqrt(features).

    `features` is even: each frequency gives a cosine and a sine. Frequencies are orthogonal in groups of d,
    with the lengths of Gaussian ones.
    """
    if features < 2 or features % 2:
        raise ValueError(f"random Fourier features come in pairs: {features} is not an even number >= 2")
    half, d = features // 2, vectors.shape[1]
    random = np.random.default_rng(seed)
    groups = [np.linalg.qr(random.standard_normal((d, d)))[0] for _ in range(-(-half // d))]
    lengths = np.linalg.norm(random.standard_normal((half, d)), axis=1)
    frequencies = np.hstack(groups)[:, :half] * (lengths / width)
    Z = np.zeros((len(vectors), features), np.float32)
    for rows in _blocks(np.flatnonzero(vectors.any(axis=1))):
        phases = vectors[rows] @ frequencies
        Z[rows] = np.hstack([np.cos(phases), np.sin(phases)]) / np.sqrt(half)
    return Z


def median_distance(vectors: np.ndarray, seed: int = 0) -> float:
    """The median distance between two different items that have a vector; 1 where no two differ."""
    held = np.flatnonzero(vectors.any(axis=1))
    if len(held) < 2:
        return 1.0
    first, second = np.random.default_rng(seed).choice(held, (2, PAIRS))
    found = np.linalg.norm(vectors[first].astype(np.float64) - vectors[second], axis=1)
    return float(np.median(found[found > 0])) if (found > 0).any() else 1.0


def centred(features: np.ndarray) -> np.ndarray:
    """Rows minus their mean, of the rows that are not zero: Z Z' becomes the centred kernel H K H."""
    held = np.asarray(features.any(axis=1))
    mean = features[held].mean(axis=0, dtype=np.float64) if held.any() else 0.0
    return np.where(held[:, None], features - mean, 0).astype(np.float32)


def unit_eigenvalue(features: np.ndarray) -> np.ndarray:
    """Z over the root of |K|_F^2 / trace(K): the mean eigenvalue of K = Z Z', each weighted by itself."""
    gram = features.T.astype(np.float64) @ features
    trace = np.trace(gram)
    return features if trace <= 0 else (features * np.sqrt(trace / np.square(gram).sum())).astype(np.float32)


def stacked(vectors: Sequence[np.ndarray | None], sizes: Sequence[int]) -> np.ndarray:
    """(sum of sizes, d): the domains' embeddings one below the other, each centred on its own mean.

    What all items of a domain share tells the domain, not the taste. None: a domain without text, zero rows.
    """
    widths = {part.shape[1] for part in vectors if part is not None}
    if len(widths) > 1:
        raise ValueError(f"domains with vectors of {sorted(widths)} numbers: embed all with one encoder")
    width = max(widths, default=1)
    parts = [
        np.zeros((size, width), np.float32) if part is None else centred(checked(part))
        for part, size in zip(vectors, sizes, strict=True)
    ]
    return np.concatenate(parts)


def checked(vectors: np.ndarray) -> np.ndarray:
    """The vectors; ValueError where one is NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(vectors)} vectors hold NaN or infinite numbers, the first in row {bad[0]}: "
            "embed those texts again, or leave the rows zero"
        )
    return vectors


def _pivots(vectors: np.ndarray, most: int, width: float, random: np.random.Generator) -> np.ndarray:
    """Positions of landmarks, each drawn by how badly the ones before explain it; none twice."""
    n = len(vectors)
    factor, left = np.zeros((n, min(most, n))), np.ones(n)
    chosen: list[int] = []
    while len(chosen) < factor.shape[1] and left.max() > NUGGET:
        pivot = int(random.choice(n, p=left / left.sum()))
        step = len(chosen)
        column = _rbf(vectors, vectors[pivot : pivot + 1], width)[:, 0]
        column -= factor[:, :step] @ factor[pivot, :step]
        factor[:, step] = column / np.sqrt(column[pivot])
        left = np.where(left > NUGGET, (left - factor[:, step] ** 2).clip(min=0), 0)
        left[pivot] = 0
        chosen.append(pivot)
    return np.array(chosen, dtype=int)


def _rbf(first: np.ndarray, second: np.ndarray, width: float) -> np.ndarray:
    a, b = first.astype(np.float64), second.astype(np.float64)
    squared = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return np.exp(-squared.clip(min=0) / (2 * width**2))


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]
