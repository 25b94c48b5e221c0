"""The small networks of the mappers, and how they are trained.

Parameters are plain tensors drawn from a torch.Generator: torch's own layers start from the global one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

Parameters = list[torch.Tensor]
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam, as its authors set them


@dataclass(frozen=True)
class Linear:
    """x W + b. weight: (in, out). bias: (out,)."""

    weight: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def random(
        cls, width: int, out: int, generator: torch.Generator, device: torch.device, gain: float = 1.0
    ) -> Self:
        """Uniform weights of variance gain^2 / (3 width), as in torch's layers; biases of 0."""
        bound = gain / math.sqrt(max(width, 1))
        weight = (2 * torch.rand(width, out, generator=generator) - 1) * bound
        return cls(weight.to(device).requires_grad_(), torch.zeros(out, device=device, requires_grad=True))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(r, out) of x (r, in)."""
        return x @ self.weight + self.bias

    def parameters(self) -> Parameters:
        """What is trained."""
        return [self.weight, self.bias]

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(W, b) in float64: the map is itself, wherever it is asked."""
        return _double(self.weight), _double(self.bias)

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights by name."""
        return {"weight": _array(self.weight), "bias": _array(self.bias)}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray], device: torch.device) -> Self:
        """Undo `arrays`."""
        return cls(*(torch.from_numpy(np.array(arrays[name])).to(device) for name in ("weight", "bias")))


@dataclass(frozen=True)
class MLP:
    """relu(x W1 + b1) W2 + b2."""

    first: Linear
    second: Linear

    @classmethod
    def random(
        cls, width: int, hidden: int, out: int, generator: torch.Generator, device: torch.device
    ) -> Self:
        """Both layers at random."""
        first = Linear.random(width, hidden, generator, device)
        return cls(first, Linear.random(hidden, out, generator, device))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(r, out) of x (r, in)."""
        return self.second(torch.relu(self.first(x)))

    def parameters(self) -> Parameters:
        """What is trained."""
        return [*self.first.parameters(), *self.second.parameters()]

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(W, b) in float64 of the linear map that the network is around `x` (in,): f(x) = x W + b exactly.

        Where a hidden unit is off it says nothing, where it is on it is linear.
        """
        (W1, b1), (W2, b2) = self.first.at(x), self.second.at(x)
        on = x @ W1 + b1 > 0
        return W1[:, on] @ W2[on], b1[on] @ W2[on] + b2

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights by name."""
        layers = {"first": self.first, "second": self.second}
        return {f"{name}.{key}": a for name, layer in layers.items() for key, a in layer.arrays().items()}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray], device: torch.device) -> Self:
        """Undo `arrays`."""
        layers = ({k.removeprefix(p): a for k, a in arrays.items() if k.startswith(p)} for p in PREFIXES)
        return cls(*(Linear.restore(mine, device) for mine in layers))


PREFIXES = ("first.", "second.")


@dataclass(frozen=True)
class Descent:
    """How a network is trained. patience: epochs without a better held-out loss before it stops."""

    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    epochs: int = 60
    batch: int = 256
    patience: int = 5


HELD_OUT = 0.1  # share of the rows that say when to stop
LEAST_HELD_OUT = 5  # fewer than that say nothing: training then stops by its own loss


def hold_out(rows: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows to learn from, rows that say when to stop), at random; the same rows twice if few."""
    order = torch.randperm(rows, generator=generator)
    held = int(HELD_OUT * rows)
    return (order, order) if held < LEAST_HELD_OUT else (order[held:], order[:held])


class AdamW:
    """Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019).

    Not torch.optim's: the first use of that imports torch's compiler, which takes longer than a fit.
    """

    def __init__(self, parameters: Parameters, learning_rate: float, weight_decay: float) -> None:
        self.parameters, self.learning_rate, self.weight_decay = parameters, learning_rate, weight_decay
        self.means = [torch.zeros_like(p) for p in parameters]
        self.squares = [torch.zeros_like(p) for p in parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: Iterable[torch.Tensor]) -> None:
        """Move the parameters by one step against the gradients."""
        self.steps += 1
        corrections = (1 - BETAS[0] ** self.steps, 1 - BETAS[1] ** self.steps)
        for p, m, v, g in zip(self.parameters, self.means, self.squares, gradients, strict=True):
            m.lerp_(g, 1 - BETAS[0])
            v.lerp_(g * g, 1 - BETAS[1])
            p.mul_(1 - self.learning_rate * self.weight_decay)
            p.addcdiv_(m / corrections[0], (v / corrections[1]).sqrt() + EPSILON, value=-self.learning_rate)


def descend(
    parameters: Parameters,
    loss: Callable[[torch.Tensor], torch.Tensor],
    held_out_loss: Callable[[], torch.Tensor],
    rows: torch.Tensor,
    how: Descent,
    generator: torch.Generator,
) -> int:
    """Minimise over random batches of `rows`; leave the parameters at their best held-out loss.

    Returns the epochs taken.
    """
    adam = AdamW(parameters, how.learning_rate, how.weight_decay)
    best, kept, since, epoch = math.inf, [p.detach().clone() for p in parameters], 0, 0
    while epoch < how.epochs and since < how.patience and len(rows):
        for batch in _batches(rows, how.batch, generator):
            adam.step(torch.autograd.grad(loss(batch), parameters))
        with torch.no_grad():
            value = float(held_out_loss())
        epoch, since = epoch + 1, since + 1
        if value < best:
            best, kept, since = value, [p.detach().clone() for p in parameters], 0
    for parameter, found in zip(parameters, kept, strict=True):
        parameter.requires_grad_(False).copy_(found)
    return epoch


def _batches(rows: torch.Tensor, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    yield from rows[torch.randperm(len(rows), generator=generator)].split(size)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _double(tensor: torch.Tensor) -> np.ndarray:
    return _array(tensor).astype(np.float64)
