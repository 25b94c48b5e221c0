"""Alignment: the domains' vectors brought to one mean and one covariance, so that they can be compared.

CORAL (Sun, Feng and Saenko 2016, "Return of frustratingly easy domain adaptation"): whiten with a domain's
own covariance, colour with another's. Here the other is the mean of all domains, so that none is preferred.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ml.text.alignment.whitening import Moments

# Added to every eigenvalue, as a share of their mean. The paper adds 1 to features of variance about 1.
RIDGE = 1.0


def common(domains: Iterable[Moments]) -> Moments:
    """The reference: the mean of the domains' moments, each domain counting alike whatever its size.

    Raises ValueError without a domain, or where two have vectors of different widths.
    """
    found = list(domains)
    if len({len(each.mean) for each in found}) != 1:
        widths = sorted({len(each.mean) for each in found})
        raise ValueError(f"vectors of widths {widths}: expected one width, so embed with one encoder")
    mean = np.mean([each.mean for each in found], axis=0)
    return Moments(sum(each.rows for each in found), mean, np.mean([e.covariance for e in found], axis=0))


def coral_matrix(own: Moments, reference: Moments, ridge: float = RIDGE) -> np.ndarray:
    """(d, d) C_own^-1/2 C_reference^1/2, each C with `ridge` times the reference's mean variance on top.

    The ridge keeps a direction that a small domain never showed from being blown up.
    """
    width = len(own.mean)
    added = ridge * np.trace(reference.covariance) / width + 1e-12
    return _power(own.covariance, -0.5, added) @ _power(reference.covariance, 0.5, added)


def aligned(vectors: np.ndarray, own: Moments, reference: Moments, ridge: float = RIDGE) -> np.ndarray:
    """(n, d) float32: the vectors of a domain with the reference's mean and, nearly, covariance.

    A zero row (an item without a vector) stays one.
    """
    held = vectors.any(axis=1)
    out = np.zeros(vectors.shape, np.float32)
    out[held] = (vectors[held] - own.mean) @ coral_matrix(own, reference, ridge) + reference.mean
    return out


def coral_distance(a: Moments, b: Moments) -> float:
    """|C_a - C_b|^2 / (4 d^2) in the Frobenius norm (Sun and Saenko 2016, "Deep CORAL")."""
    width = len(a.mean)
    return float(np.square(a.covariance - b.covariance).sum() / (4 * width**2))


def _power(covariance: np.ndarray, exponent: float, added: float) -> np.ndarray:
    values, axes = np.linalg.eigh(covariance)
    return (axes * (np.maximum(values, 0) + added) ** exponent) @ axes.T
