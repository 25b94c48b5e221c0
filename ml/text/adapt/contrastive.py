"""Contrastive learning on pairs: each text must find its partner among all the other texts of its batch.

Symmetric InfoNCE with in-batch negatives and a learned temperature (van den Oord et al. 2018; Radford et al.
2021). A text that is the same as, or known to go with, the one that asks is no negative: its score is left
out. A batch holds pairs of the same two domains: else telling domains apart, which no bridge needs (it
whitens each by itself), would be the easiest thing to learn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse

from ml.text.adapt.backbone import Backbone

# Up to where scores that say nothing are as good as equal.
TEMPERATURES = (0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 3.0, 10.0)
TEMPERATURE_RATE = 1e-2


def false_negatives(pairs: np.ndarray, known: sparse.csr_matrix) -> np.ndarray:
    """(n, n) bool: where the left of row i must not be pushed from the right of row j.

    pairs: (n, 2) text positions. The two are the same text, or known to go together, or j's right is i's
    right. The diagonal is false: that is the pair itself.
    """
    left, right = pairs[:, 0], pairs[:, 1]
    mask = np.asarray(known[left][:, right].toarray(), bool)
    mask |= (left[:, None] == right[None]) | (right[:, None] == right[None]) | (left[:, None] == left[None])
    np.fill_diagonal(mask, False)
    return mask


def info_nce(
    left: torch.Tensor, right: torch.Tensor, mask: torch.Tensor, temperature: float | torch.Tensor
) -> torch.Tensor:
    """The mean loss of both directions. left, right: (n, d) unit rows. mask: (n, n) bool, pairs left out."""
    scores = (left @ right.T / temperature).masked_fill(mask, -torch.inf)
    truth = torch.arange(len(scores), device=scores.device)
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(scores, truth) + cross_entropy(scores.T, truth)) / 2


class Contrastive:
    """The objective over tokenised texts. rows: (n, 2) text positions. domains: (t,) the domain of each."""

    def __init__(
        self,
        backbone: Backbone,
        tokens: Sequence[list[int]],
        domains: np.ndarray,
        known: sparse.csr_matrix,
    ) -> None:
        self.backbone, self.tokens, self.domains, self.known = backbone, tokens, domains, known
        self.log_temperature = torch.nn.Parameter(torch.tensor(0.0, device=backbone.device))

    def parameters(self) -> list[dict[str, Any]]:
        """What learns beside the backbone."""
        return [{"params": [self.log_temperature], "lr": TEMPERATURE_RATE, "weight_decay": 0.0}]

    def start(self, rows: np.ndarray, size: int) -> None:
        """Begin with the temperature that fits the base best."""
        with torch.no_grad():
            sides = [self._sides(part) for part in self.batches(rows, size)]
            losses = {t: sum(float(info_nce(*side, t)) for side in sides) for t in TEMPERATURES}
            self.log_temperature.fill_(math.log(min(losses, key=losses.__getitem__)))

    def batches(
        self, rows: np.ndarray, size: int, generator: torch.Generator | None = None
    ) -> list[np.ndarray]:
        """`rows` in batches of at most `size`, each of one pair of domains, of two rows at least; shuffled
        where there is a generator, the batches too."""
        left, right = self.domains[rows[:, 0]], self.domains[rows[:, 1]]
        kinds = left * (int(self.domains.max(initial=0)) + 1) + right
        parts = []
        for kind in np.unique(kinds):
            mine = np.flatnonzero(kinds == kind)
            if generator is not None:
                mine = mine[torch.randperm(len(mine), generator=generator).numpy()]
            parts += [rows[mine[first : first + size]] for first in range(0, len(mine), size)]
        parts = [part for part in parts if len(part) > 1]
        if generator is None:
            return parts
        return [parts[i] for i in torch.randperm(len(parts), generator=generator).tolist()]

    def loss(self, batch: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """The loss of one batch; nothing here is drawn from `generator`."""
        return info_nce(*self._sides(batch), self.log_temperature.exp())

    @torch.no_grad()
    def measure(self, rows: np.ndarray, size: int) -> tuple[float, float]:
        """Mean loss, and the share of pairs whose left finds its right first in its batch.

        The loss is that of the temperature that fits these rows best, not of the one learned: a temperature
        that is fitted better makes no better vectors, and must not pass for them.
        """
        losses, hits, count = np.zeros(len(TEMPERATURES)), 0, 0
        for part in self.batches(rows, size):
            left, right, mask = self._sides(part)
            losses += [float(info_nce(left, right, mask, t)) * len(part) for t in TEMPERATURES]
            best = (left @ right.T).masked_fill(mask, -torch.inf).argmax(dim=1).cpu()
            hits += int((best == torch.arange(len(part))).sum())
            count += len(part)
        return float(losses.min()) / max(count, 1), hits / max(count, 1)

    def _sides(self, pairs: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        texts, positions = np.unique(pairs, return_inverse=True)
        vectors = self.backbone.vectors([self.tokens[i] for i in texts])
        places = torch.from_numpy(positions.reshape(pairs.shape)).to(vectors.device)
        mask = torch.from_numpy(false_negatives(pairs, self.known)).to(vectors.device)
        return vectors[places[:, 0]], vectors[places[:, 1]], mask
