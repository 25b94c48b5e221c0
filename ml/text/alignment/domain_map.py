"""Where the domains' texts lie, before and after alignment: a plane to look at, distances to compare."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ml.text.alignment.coral import aligned, common, coral_distance, coral_matrix
from ml.text.alignment.whitening import Moments, moments


@dataclass(frozen=True)
class Plane:
    """points: domain -> (n, 2) coordinates on the first two principal axes of all. share: (2,) variance on
    each."""

    points: Mapping[str, np.ndarray]
    share: np.ndarray


@dataclass(frozen=True)
class Distance:
    """Between two domains: |mean_a - mean_b|, and CORAL's distance of their covariances."""

    a: str
    b: str
    means_before: float
    coral_before: float
    means_after: float
    coral_after: float


@dataclass(frozen=True)
class DomainMap:
    """before: the embeddings as they are; after: aligned. items: how many vectors each domain has."""

    before: Plane
    after: Plane
    distances: list[Distance]
    items: Mapping[str, int]


def domain_map(
    domains: Iterable[tuple[str, np.ndarray]], sample: int = 1000, seed: int = 0
) -> DomainMap | None:
    """The map of the domains' (n, d) vectors, at most `sample` points of each, drawn by `seed`.

    Moments count every vector; the vectors themselves are held one domain at a time. A domain of fewer than
    two vectors is left out; None where no domain has two.
    """
    found: dict[str, Moments] = {}
    drawn: dict[str, np.ndarray] = {}
    for name, vectors in domains:
        held = np.flatnonzero(vectors.any(axis=1))
        if len(held) < 2:
            continue
        found[name] = moments(vectors)
        picked = np.random.default_rng(seed).permutation(held)[:sample]
        drawn[name] = np.asarray(vectors[np.sort(picked)], dtype=np.float64)
    if not found:
        return None
    reference = common(found.values())
    mapped = {
        name: each.through(coral_matrix(each, reference), reference.mean) for name, each in found.items()
    }
    moved = {name: aligned(points, found[name], reference) for name, points in drawn.items()}
    return DomainMap(
        before=_plane(drawn),
        after=_plane(moved),
        distances=[_distance(a, b, found, mapped) for a, b in itertools.combinations(sorted(found), 2)],
        items={name: each.rows for name, each in found.items()},
    )


def _plane(points: Mapping[str, np.ndarray]) -> Plane:
    whole = common(moments(each) for each in points.values())
    spread = np.mean([np.outer(m - whole.mean, m - whole.mean) for m in map(_mean, points.values())], axis=0)
    values, axes = np.linalg.eigh(whole.covariance + spread)
    axes = axes[:, ::-1][:, :2]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])  # an axis has no direction
    share = values[::-1][:2] / max(values.sum(), 1e-12)
    return Plane({name: (each - whole.mean) @ axes for name, each in points.items()}, share)


def _mean(points: np.ndarray) -> np.ndarray:
    return points.mean(axis=0)


def _distance(a: str, b: str, before: Mapping[str, Moments], after: Mapping[str, Moments]) -> Distance:
    measured = [
        value
        for found in (before, after)
        for value in (
            float(np.linalg.norm(found[a].mean - found[b].mean)),
            coral_distance(found[a], found[b]),
        )
    ]
    return Distance(a, b, *measured)
