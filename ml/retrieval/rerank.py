"""Another order of a list's candidates: less alike, less of what everybody sees anyway.

Maximal marginal relevance (Carbonell and Goldstein 1998) takes items one by one, each time the one with the
best (1 - diversity) * relevance - diversity * likeness - popularity_penalty * popularity. Relevance is the
score scaled to [0, 1] over the user's candidates, likeness the greatest cosine to what is already taken (0
for the first), popularity the item's fame in [0, 1] on a logarithmic scale. Seen and filtered items are no
candidates, so that they cannot come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch

_CHUNK_NUMBERS = 1 << 24  # vector entries gathered at once


@dataclass(frozen=True)
class RerankRules:
    """diversity: in [0, 1). popularity_penalty: in [0, 1]. depth: candidates of a list, at least its length.

    With both strengths 0 lists stay as they are. Raises ValueError for values outside.
    """

    diversity: float = 0.0
    popularity_penalty: float = 0.0
    depth: int = 50

    def __post_init__(self) -> None:
        if not 0 <= self.diversity < 1:
            raise ValueError(f"diversity is {self.diversity}: give a number from 0 on and below 1")
        if not 0 <= self.popularity_penalty <= 1:
            raise ValueError(f"popularity_penalty is {self.popularity_penalty}: give a number from 0 to 1")
        if self.depth < 1:
            raise ValueError(f"depth is {self.depth}: give at least 1")

    @property
    def change(self) -> bool:
        """Whether any list may come out otherwise than it went in."""
        return self.diversity > 0 or self.popularity_penalty > 0

    def __str__(self) -> str:
        strengths = f"diversity {self.diversity:g}, popularity penalty {self.popularity_penalty:g}"
        return f"{strengths}, among the best {self.depth}"


@dataclass(frozen=True)
class Reranker:
    """Rules with what they read of a catalogue.

    vectors: (n, d) float16, rows of length 1 or 0. popularity: (n,) float32 in [0, 1], 1 the best known.
    """

    rules: RerankRules
    vectors: np.ndarray
    popularity: np.ndarray

    @classmethod
    def of(cls, rules: RerankRules, vectors: np.ndarray, popularity: np.ndarray) -> Self:
        """Half precision: a model carries the vectors, and likeness needs no more."""
        return cls(rules, vectors.astype(np.float16), popularity.astype(np.float32))

    def depth(self, k: int) -> int:
        """How many candidates a list of k is made from."""
        return max(k, self.rules.depth)

    def __call__(self, positions: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k items to show of each row of candidates, in the order to show them, with their own scores.

        positions: (q, m) int64, best first, -1 in empty slots; scores: (q, m) float32, which then need not
        fall from rank to rank. Ties go to the earlier candidate. Returns (q, k) both, as
        `ml.retrieval.exact.top_k`.
        """
        m = positions.shape[1]
        order = np.full((len(positions), min(k, m)), -1, dtype=np.int64)
        step = max(1, _CHUNK_NUMBERS // max(m * self.vectors.shape[1], m * m, 1))
        for first in range(0, len(positions), step):
            rows = slice(first, first + step)
            order[rows] = self._order(positions[rows], scores[rows], order.shape[1])
        taken = np.take_along_axis(positions, order, axis=1), np.take_along_axis(scores, order, axis=1)
        short = ((0, 0), (0, max(0, k - m)))
        return (
            np.pad(taken[0], short, constant_values=-1),
            np.pad(taken[1], short, constant_values=-np.inf),
        )

    def _order(self, positions: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
        """(q, k) columns of the candidates, in the order they are taken; empty slots come last."""
        held = torch.as_tensor(positions >= 0)
        vectors = torch.as_tensor(self.vectors[positions].astype(np.float32))
        alike = vectors @ vectors.transpose(1, 2)
        worth = (1 - self.rules.diversity) * relevance(torch.as_tensor(scores), held)
        worth -= self.rules.popularity_penalty * torch.as_tensor(self.popularity[positions])
        worth[~held] = -torch.inf
        left = torch.ones_like(held)
        nearest = torch.zeros(positions.shape)
        columns = torch.empty((len(positions), k), dtype=torch.int64)
        rows = torch.arange(len(positions))
        for slot in range(k):
            value = worth - self.rules.diversity * nearest
            best = _first_greatest(value, left)
            columns[:, slot], left[rows, best] = best, False
            likeness = alike[rows, best]
            nearest = likeness if slot == 0 else torch.maximum(nearest, likeness)
        return columns.numpy()

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON-able rules and arrays: all that `restore` needs."""
        return asdict(self.rules), {"vectors": self.vectors, "popularity": self.popularity}

    @classmethod
    def restore(cls, rules: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        return cls(RerankRules(**rules), arrays["vectors"], arrays["popularity"])


def relevance(scores: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """(q, m) the scores scaled so that the best held one of a row is 1 and the worst 0; all 1 where alike."""
    top = scores.masked_fill(~held, -torch.inf).amax(dim=1, keepdim=True)
    low = scores.masked_fill(~held, torch.inf).amin(dim=1, keepdim=True)
    span = top - low
    return torch.where(held & (span > 0), (scores - low) / span, 1.0)


def _first_greatest(value: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    """(q,) the first column of the greatest value among those left; the first left where all are -inf."""
    greatest = value.masked_fill(~left, -torch.inf).amax(dim=1, keepdim=True)
    return (left & (value == greatest)).to(torch.uint8).argmax(dim=1)
