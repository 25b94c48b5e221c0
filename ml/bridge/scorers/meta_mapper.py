"""The meta-mapper: a map of its own for every user, made from what the user had in the source.

Zhu et al. 2022, "Personalized transfer of user preferences for cross-domain recommendation" (PTUPCDR): the
source history's item factors, pooled by attention, go into a small network that writes the matrix by which
the user's source factor is mapped to the target's space.

A score is linear in the source factor once the user's map is made: `parts` sums over the history through
that map. What an item did to the map itself is not in its contribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse

from ml.bridge.blocks.profiles import ALSUserFactors
from ml.bridge.contract import Parts, Task
from ml.bridge.histories import Histories
from ml.bridge.scorers.mapper_fit import Mapped, MapTraining
from ml.bridge.scorers.networks import MLP, Parameters
from ml.device import pick_device

# Attention logits beyond this are cut: e^20 still leaves float32 room for a sum.
MOST_LOGIT = 20.0
# Share of its random start that the personal part of a map keeps: it begins as one map for all.
PERSONAL_START = 0.1
CHUNK_NUMBERS = 1 << 23  # numbers of personal maps held at once when scoring


class SourceMap:
    """One source's part: attention over item factors (n, f), and the network that writes (f, out) maps."""

    def __init__(self, items: np.ndarray, attention: MLP, writer: MLP) -> None:
        self.attention, self.writer = attention, writer
        norm = np.sqrt(np.square(items).sum() / max(np.count_nonzero(items.any(axis=1)), 1))
        self.items = torch.from_numpy(items / np.float32(max(norm, 1e-12))).to(writer.first.weight.device)

    @classmethod
    def random(
        cls, items: np.ndarray, hidden: int, out: int, generator: torch.Generator, device: torch.device
    ) -> Self:
        """Both networks at random."""
        width = items.shape[1]
        attention = MLP.random(width, hidden, 1, generator, device)
        writer = MLP.random(width, hidden, width * out, generator, device)
        with torch.no_grad():
            writer.second.weight.mul_(PERSONAL_START)
            # The bias is the map that all users share: it starts as a linear layer does.
            shared = (2 * torch.rand(width * out, generator=generator) - 1) / np.sqrt(width)
            writer.second.bias.copy_(shared)
        return cls(items, attention, writer)

    def pooled(self, indices: np.ndarray, indptr: np.ndarray) -> torch.Tensor:
        """(u, f) attention means of the factors of users' past items, which are CSR rows; 0 of no items."""
        of = torch.from_numpy(np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))).to(self.items.device)
        had = self.items[torch.from_numpy(indices.astype(np.int64)).to(self.items.device)]
        shares = torch.exp(self.attention(had).clamp(-MOST_LOGIT, MOST_LOGIT))
        none = torch.zeros(len(indptr) - 1, had.shape[1] + 1, device=had.device)
        sums = none.index_add(0, of, torch.cat([shares * had, shares], dim=1))
        return sums[:, :-1] / sums[:, -1:].clamp_min(1e-12)

    def maps(self, past: sparse.csr_matrix) -> torch.Tensor:
        """(u, f, out) the maps of users by their histories (u, n)."""
        width = self.items.shape[1]
        written = self.writer(self.pooled(past.indices, past.indptr))
        return written.view(past.shape[0], width, written.shape[1] // width)

    def parameters(self) -> Parameters:
        """What is trained."""
        return [*self.attention.parameters(), *self.writer.parameters()]


class MetaMapper:
    """A personal linear map from the folded-in factors of every source to the target's factors.

    domains: the sources. als: settings of their factorisations. training: settings of MapTraining.
    hidden: units of the attention and of the network that writes maps.
    """

    def __init__(
        self, domains: Sequence[str], als: Mapping[str, Any], training: Mapping[str, Any], hidden: int = 16
    ) -> None:
        self.domains, self.als, self.hidden = tuple(domains), dict(als), hidden
        self.training = MapTraining.of(training)
        self._blocks = [ALSUserFactors(d, **self.als) for d in self.domains]

    @property
    def settings(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {
            "domains": list(self.domains),
            "als": self.als,
            "training": asdict(self.training),
            "hidden": self.hidden,
        }

    def fit(self, task: Task) -> Self:
        """Factorise the sources, then train the networks that write maps to the target's factors."""
        self.device = task.device
        for block in self._blocks:
            block.fit(task)
        self._out = self.training.fit(task, self.domains, self._start)
        return self

    def _start(self, past: Histories, out: int, generator: torch.Generator) -> tuple[Mapped, Parameters]:
        device = pick_device(self.device)
        self._sources = [
            SourceMap.random(b.arrays()["items"], self.hidden, out, generator, device) for b in self._blocks
        ]
        self._bias = torch.zeros(out, device=device, requires_grad=True)
        factors = self._factors(past)
        parameters = [p for source in self._sources for p in source.parameters()]
        return lambda rows: self._mapped(past, factors, rows.numpy()), [*parameters, self._bias]

    def _factors(self, past: Histories) -> list[torch.Tensor]:
        return [torch.from_numpy(b.encode(past)).to(pick_device(self.device)) for b in self._blocks]

    def _mapped(self, past: Histories, factors: list[torch.Tensor], rows: np.ndarray) -> torch.Tensor:
        """(r, out) the mapped users at `rows`."""
        total = self._bias.expand(len(rows), -1)
        for domain, source, x in zip(self.domains, self._sources, factors, strict=True):
            maps = source.maps(past.weights[domain][rows])
            total = total + torch.einsum("rf,rfo->ro", x[torch.from_numpy(rows).to(x.device)], maps)
        return total

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) inner products of the mapped users with the target's items."""
        widths = sum(source.items.shape[1] for source in self._sources)
        factors, size = self._factors(past), max(1, CHUNK_NUMBERS // (widths * self._out.shape[1]))
        rows = np.split(np.arange(len(past)), range(size, len(past), size))
        mapped = torch.cat([self._mapped(past, factors, part) for part in rows])
        return mapped @ torch.from_numpy(self._out).to(mapped.device).T

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """Every past item's share of the source factor, through the user's map."""
        out = self._out[items].T.astype(np.float64)
        found = {}
        for block, source in zip(self._blocks, self._sources, strict=True):
            positions, features = block.items(past)
            user_map = source.maps(past.weights[block.domain])[0].cpu().numpy().astype(np.float64)
            found[block.domain] = (positions, features @ user_map @ out)
        return Parts(self._bias.cpu().numpy().astype(np.float64) @ out, found)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The networks, the item factors of both sides and the blocks' scales."""
        arrays = {"out": self._out, "bias": self._bias.cpu().numpy()}
        for i, (block, source) in enumerate(zip(self._blocks, self._sources, strict=True)):
            held: list[tuple[str, Mapping[str, np.ndarray]]] = [
                ("block", block.arrays()),
                ("attention", source.attention.arrays()),
                ("writer", source.writer.arrays()),
            ]
            arrays |= {f"{part}{i}.{name}": array for part, mine in held for name, array in mine.items()}
        return {"device": self.device}, arrays

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""

        def below(prefix: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

        self.device, self._out = facts["device"], arrays["out"]
        device = pick_device(self.device)
        self._bias = torch.from_numpy(np.array(arrays["bias"])).to(device)
        self._sources = []
        for i, block in enumerate(self._blocks):
            block.restore(below(f"block{i}."))
            networks = [MLP.restore(below(f"{name}{i}."), device) for name in ("attention", "writer")]
            self._sources.append(SourceMap(block.arrays()["items"], *networks))
        return self
