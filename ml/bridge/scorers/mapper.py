"""The mapper: source histories to source factors, and a learned map from those to the target's factors.

Man et al. 2017, "Cross-domain recommendation: an embedding and mapping approach" (EMCDR), with a map that is
linear or an MLP, trained on the users of both domains, and a loss between the clouds of mapped and of target
factors, in which users of one domain take part as well. Where the ridge bridge solves in closed form for the
squared error of the factors, a mapper descends, and may bend.

An MLP of ReLUs is linear around a point: f(x) = x W(x) + b(x), exactly. `parts` goes through the W(x) of the
user's own x, so contributions sum to the score of this history; they do not say what another would score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, Self

import numpy as np
import torch

from ml.bridge.blocks.profiles import ALSUserFactors, Block, TextProfile
from ml.bridge.contract import Parts, Task
from ml.bridge.histories import Histories
from ml.bridge.scorers.mapper_fit import Mapped, MapTraining
from ml.bridge.scorers.networks import MLP, Linear, Parameters
from ml.device import pick_device

BLOCKS: dict[str, type] = {block.kind: block for block in (ALSUserFactors, TextProfile)}


class Mapper:
    """Blocks of source features through a trained network to target factors.

    blocks: [(block, scale)], of the kinds in BLOCKS. training: settings of MapTraining. kind: of the network.
    hidden: units of an MLP.
    """

    def __init__(
        self,
        blocks: list[tuple[Block, float]],
        training: Mapping[str, Any],
        kind: Literal["linear", "mlp"] = "mlp",
        hidden: int = 128,
    ) -> None:
        if kind not in ("linear", "mlp"):
            raise ValueError(f"mapper {kind!r}: expected linear or mlp")
        self.blocks, self.training = blocks, MapTraining.of(training)
        self.kind, self.hidden = kind, hidden

    @property
    def settings(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {
            "blocks": [{"kind": b.kind, "scale": s, **b.settings} for b, s in self.blocks],
            "training": asdict(self.training),
            "kind": self.kind,
            "hidden": self.hidden,
        }

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains its blocks read."""
        return tuple(dict.fromkeys(b.domain for b, _ in self.blocks))

    def fit(self, task: Task) -> Self:
        """Fit the blocks, then train the network between them and the target's factors."""
        self.device = task.device
        for block, _ in self.blocks:
            block.fit(task)
        self._out = self.training.fit(task, self.domains, self._start)
        return self

    def _start(self, past: Histories, out: int, generator: torch.Generator) -> tuple[Mapped, Parameters]:
        x, device = self._features(past), pick_device(self.device)
        if self.kind == "linear":
            network: Linear | MLP = Linear.random(x.shape[1], out, generator, device)
        else:
            network = MLP.random(x.shape[1], self.hidden, out, generator, device)
        self._network = network
        return lambda rows: network(x[rows.to(device)]), network.parameters()

    def _features(self, past: Histories) -> torch.Tensor:
        blocks = [block.encode(past) * np.float32(scale) for block, scale in self.blocks]
        return torch.from_numpy(np.hstack(blocks)).to(pick_device(self.device))

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) inner products of the mapped users with the target's items."""
        mapped = self._network(self._features(past))
        return mapped @ torch.from_numpy(self._out).to(mapped.device).T

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """The features are a sum over the history; the map around them is linear."""
        held = [(block.domain, scale, *block.items(past)) for block, scale in self.blocks]
        x = np.concatenate([scale * features.sum(axis=0) for _, scale, _, features in held])
        weight, bias = self._network.at(x)
        out, first = self._out[items].T.astype(np.float64), 0
        found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for domain, scale, positions, features in held:
            mine = weight[first : (first := first + features.shape[1])]
            values = scale * features @ mine @ out
            if domain in found:
                before, earlier = found[domain]
                positions, values = np.concatenate([before, positions]), np.concatenate([earlier, values])
            found[domain] = (positions, values)
        return Parts(bias @ out, found)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The network, the target's item factors and what the blocks learned."""
        arrays = {"out": self._out}
        arrays |= {f"network.{name}": array for name, array in self._network.arrays().items()}
        for i, (block, _) in enumerate(self.blocks):
            arrays.update({f"block{i}.{name}": array for name, array in block.arrays().items()})
        return {"device": self.device}, arrays

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""

        def below(prefix: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

        self.device, self._out = facts["device"], arrays["out"]
        network = Linear if self.kind == "linear" else MLP
        self._network = network.restore(below("network."), pick_device(self.device))
        for i, (block, _) in enumerate(self.blocks):
            block.restore(below(f"block{i}."))
        return self


def mapper_from_settings(settings: Mapping[str, Any]) -> Mapper:
    """A mapper from what `Mapper.settings` said."""
    blocks = []
    for entry in settings["blocks"]:
        facts = {key: value for key, value in entry.items() if key not in ("kind", "scale")}
        blocks.append((BLOCKS[entry["kind"]](**facts), entry["scale"]))
    return Mapper(blocks, **{key: value for key, value in settings.items() if key != "blocks"})
