"""The tiny world with books that come out late: in the horizon that is tested or in the one before."""

from __future__ import annotations

from dataclasses import replace

import bridge_world
import numpy as np
from bridge_world import AS_OF, DAY

from ml.bridge.protocol import Protocol
from ml.data import Snapshot

HORIZON = 14 * DAY
LATE = {AS_OF - HORIZON: np.arange(4, 16), AS_OF - 2 * HORIZON: np.arange(16, 28)}


def world(seed: int = 1, users: int = 400) -> Snapshot:
    """Books 4 to 15 are untouched before the last horizon, books 16 to 27 before the last but one."""
    made = bridge_world.snapshot(seed, users)
    log = made.interactions["books"]
    kept = np.ones(len(log), dtype=bool)
    for cut, items in LATE.items():
        kept &= ~np.isin(log.items, items) | (log.times >= cut)
    return made.with_interactions(books=log.select(kept))


def never_touched(made: Snapshot, items: np.ndarray) -> Snapshot:
    """The world without any interaction on these books."""
    log = made.interactions["books"]
    return made.with_interactions(books=log.select(~np.isin(log.items, items)))


def meaningless(made: Snapshot, seed: int = 0) -> Snapshot:
    """The world with every text's vector drawn at random."""
    rng, catalogues = np.random.default_rng(seed), {}
    for domain, catalogue in made.catalogues.items():
        noise = rng.standard_normal(catalogue.vectors.shape).astype(np.float32)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        catalogues[domain] = replace(catalogue, vectors=noise * catalogue.has_vector[:, None])
    return replace(made, catalogues=catalogues)


def protocol_of(made: Snapshot, sources: tuple[str, ...] = ("films",)) -> Protocol:
    """Books, as `bridge_world` users take them."""
    return Protocol(made, "books", sources, 0.3, HORIZON, 0, "cpu")
