"""Masked-language modelling on item texts: the domain's words before its pairs (Gururangan et al. 2020).

15 % of the tokens are asked for, of those 80 % masked, 10 % exchanged, 10 % left (Devlin et al. 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ml.text.adapt.backbone import Backbone

ASKED, MASKED, EXCHANGED = 0.15, 0.8, 0.1
IGNORED = -100  # what cross_entropy leaves out


class MaskedWords:
    """The objective over a list of tokenised texts. batches are (n,) text positions."""

    def __init__(self, backbone: Backbone, tokens: Sequence[list[int]], seed: int) -> None:
        self.backbone, self.tokens, self.seed = backbone, tokens, seed
        self._markers = torch.tensor(backbone.tokenizer.all_special_ids)

    def parameters(self) -> list[dict[str, Any]]:
        """Nothing learns beside the backbone and its head."""
        return []

    def start(self, rows: np.ndarray, size: int) -> None:
        """Nothing to set."""

    def batches(
        self, rows: np.ndarray, size: int, generator: torch.Generator | None = None
    ) -> list[np.ndarray]:
        """`rows` in batches of at most `size`, shuffled where there is a generator."""
        if generator is not None:
            rows = rows[torch.randperm(len(rows), generator=generator).numpy()]
        return [rows[first : first + size] for first in range(0, len(rows), size)]

    def loss(self, rows: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """The loss over the asked tokens of one batch."""
        scores, labels = self._asked(rows, generator)
        return torch.nn.functional.cross_entropy(scores, labels)

    @torch.no_grad()
    def measure(self, rows: np.ndarray, size: int) -> tuple[float, float]:
        """Mean loss and share of asked tokens that are guessed right; the same tokens at every call."""
        generator = torch.Generator().manual_seed(self.seed)
        total, hits, count = 0.0, 0, 0
        for part in self.batches(rows, size):
            scores, labels = self._asked(part, generator)
            total += float(torch.nn.functional.cross_entropy(scores, labels, reduction="sum"))
            hits += int((scores.argmax(dim=1) == labels).sum())
            count += len(labels)
        return total / max(count, 1), hits / max(count, 1)

    def _asked(self, rows: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = self.backbone.padded([self.tokens[i] for i in rows])
        hidden, labels = self.hide(ids.cpu(), generator)
        with self.backbone.autocast():
            output = self.backbone.head(input_ids=hidden.to(ids.device), attention_mask=mask)
        asked = labels != IGNORED
        return output.logits[asked.to(ids.device)].float(), labels[asked].to(ids.device)

    def hide(self, ids: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """ids (n, t) with tokens hidden, and labels (n, t): the token where it is asked for, else IGNORED.

        Every batch asks for one token at least, or its loss would be the mean of nothing.
        """
        words = ~torch.isin(ids, self._markers)
        draw = torch.rand(ids.shape, generator=generator).masked_fill(~words, 2.0)
        asked = draw < max(ASKED, float(draw.min())) + 1e-9
        asked &= words
        fate = torch.rand(ids.shape, generator=generator)
        others = torch.randint(len(self.backbone.tokenizer), ids.shape, generator=generator)
        hidden = torch.where(asked & (fate < MASKED), self.backbone.tokenizer.mask_token_id, ids)
        exchanged = asked & (fate >= MASKED) & (fate < MASKED + EXCHANGED)
        return torch.where(exchanged, others, hidden), torch.where(asked, ids, IGNORED)
