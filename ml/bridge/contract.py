"""What every scorer of a bridge can do, so that one blend, one evaluation and one explanation serve them all.

Each scorer is linear in the user's past items once the user's own normalisation is fixed; `parts` returns
that sum.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
from scipy import sparse

from ml.bridge.histories import Histories
from ml.data import Catalogue, Interactions

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """What a scorer may read when it is fitted: the visible interactions of the target and of its sources.

    A twin's task has no sources. Weights are scaled to mean 1 per domain. subsets: scenario -> fewer sources
    that candidates may also read (`ml.bridge.select.transferability`). found: scenario -> (name, settings) of
    further candidates (`ml.bridge.select.search_space`).
    """

    target: str
    sources: tuple[str, ...]
    interactions: Mapping[str, Interactions]
    catalogues: Mapping[str, Catalogue]
    seed: int = 0
    device: str = "auto"
    memo: dict[Hashable, tuple[Any, Any]] = field(default_factory=dict, repr=False, compare=False)
    subsets: Mapping[str, Sequence[tuple[str, ...]]] = field(default_factory=dict)
    found: Mapping[str, Sequence[tuple[str, Mapping[str, float]]]] = field(default_factory=dict)

    @property
    def domains(self) -> tuple[str, ...]:
        """Sources, then the target: the order of every union."""
        return (*self.sources, self.target)

    def twin(self) -> Task:
        """The same task with every source dropped."""
        return self.reading(())

    def reading(self, sources: Sequence[str]) -> Task:
        """The same task with these sources alone."""
        kept = {d: self.interactions[d] for d in (*sources, self.target)}
        return replace(self, sources=tuple(sources), interactions=kept, subsets={})

    def cold_items(self) -> np.ndarray:
        """(n,) bool: the target's items with text and without any interaction that may be read."""
        log = self.interactions[self.target]
        untouched = np.bincount(log.items, minlength=log.n_items) == 0
        return self.catalogues[self.target].has_vector & untouched

    def remember(self, data: object, key: Hashable, make: Callable[[], T]) -> T:
        """`make()`, computed once per `data` object and key: factors of a source that no split changes."""
        # The object is kept beside the result, so that its id cannot come to mean another.
        if (id(data), key) not in self.memo:
            self.memo[id(data), key] = (data, make())
        return self.memo[id(data), key][1]


@dataclass(frozen=True)
class Parts:
    """A score as a sum. constant: (j,). by_domain: domain -> (item positions (h,), contributions (h, j)).

    blocks: domain -> (h,) the block that each of these rows came through; a scorer that is one block leaves
    it out, and its blend names them after the scorer. known: (domain, what is known of the user) -> (j,),
    what attributes say; no past item carries it.
    """

    constant: np.ndarray
    by_domain: Mapping[str, tuple[np.ndarray, np.ndarray]]
    blocks: Mapping[str, np.ndarray] = field(default_factory=dict)
    known: Mapping[tuple[str, str], np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls, constant: np.ndarray, rows: Iterable[tuple[str, np.ndarray, np.ndarray, np.ndarray]]
    ) -> Parts:
        """From groups of rows, any number for a domain: (domain, positions, contributions, blocks)."""
        groups: dict[str, list[tuple[np.ndarray, ...]]] = {}
        for domain, *columns in rows:
            groups.setdefault(domain, []).append(tuple(columns))
        joined = {d: [np.concatenate(column) for column in zip(*g, strict=True)] for d, g in groups.items()}
        by_domain = {d: (positions, values) for d, (positions, values, _) in joined.items()}
        return cls(constant, by_domain, {d: blocks for d, (_, _, blocks) in joined.items()})

    def total(self) -> np.ndarray:
        """(j,) the score."""
        past = sum(values.sum(axis=0) for _, values in self.by_domain.values())
        return self.constant + past + sum(self.known.values())


class Scorer(Protocol):
    """Scores every target item for a batch of users."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings it was made with, JSON-able."""

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains whose histories it reads, once fitted."""

    def fit(self, task: Task) -> Self:
        """Learn from the task's interactions."""

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n_target) float32 scores, on the scorer's device."""

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """The scores of `items` (j,) for the one user in `past`, as a sum over the user's past items."""

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON-able facts and arrays: with `settings` all that `restore` needs."""

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""


def pack_csr(name: str, matrix: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """A CSR matrix as named arrays."""
    return {
        f"{name}.data": matrix.data.astype(np.float32),
        f"{name}.indices": matrix.indices.astype(np.int32),
        f"{name}.indptr": matrix.indptr.astype(np.int64),
        f"{name}.shape": np.array(matrix.shape, dtype=np.int64),
    }


def unpack_csr(name: str, arrays: Mapping[str, np.ndarray]) -> sparse.csr_matrix:
    """Undo `pack_csr`."""
    data, indices, indptr = (arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix((data, indices, indptr), shape=tuple(arrays[f"{name}.shape"]))
