"""Texts of unequal length in batches of equal work: by length, at most so many tokens, almost no padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import torch


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Positions of `lengths` in batches of at most `budget` padded tokens; a longer text is alone.

    Longest first, so that a batch that does not fit the memory is met at once and not at the end.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def pad_right(batch: Sequence[Sequence[int]], fill: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (b, longest) and attention mask (b, longest), int64; every row starts at position 0.

    On the right whatever the tokenizer's own side is: positions then count from 0 in every architecture,
    and under a causal mask no real token sees a filled one.
    """
    lengths = np.fromiter(map(len, batch), np.int64, len(batch))
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, fill, np.int64)
    ids[mask] = np.fromiter(chain.from_iterable(batch), np.int64, int(lengths.sum()))
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))
