"""One space for the texts of several domains: each centred by itself, all whitened along the same axes.

Centring takes away what a domain's texts share (all kitchen tools are kitchen tools), which says nothing of
taste. Whitening with a domain's own axes, as blocks do, would leave coordinates that mean something else in
every domain; here the axes are those of the mean covariance, so that vectors of two domains can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ml.text.alignment.coral import common
from ml.text.alignment.whitening import Whitening, moments


def common_space(vectors: Mapping[str, np.ndarray], rank: int, floor: float) -> dict[str, np.ndarray]:
    """Domain -> (n, r) float32, r at most `rank` and the width; zero rows (no text) stay zero.

    A domain of fewer than two texts is all zeros: there is nothing to centre it by. Raises ValueError where
    the widths differ.
    """
    found = {domain: moments(rows) for domain, rows in vectors.items()}
    known = [each for each in found.values() if each.rows > 1]
    if not known:
        return {d: np.zeros((len(rows), min(rank, rows.shape[1])), np.float32) for d, rows in vectors.items()}
    shared = Whitening.fit(common(known), rank, floor)
    spaces = {d: replace(shared, mean=found[d].mean).apply(rows) for d, rows in vectors.items()}
    return {d: space if found[d].rows > 1 else np.zeros_like(space) for d, space in spaces.items()}
