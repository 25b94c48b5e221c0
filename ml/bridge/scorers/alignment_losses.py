"""Losses that draw mapped source factors towards target factors without knowing who is who.

A map learned from users of both domains sees few of them. These losses compare whole clouds of vectors, so
that users of one domain alone take part.

coral: Sun & Saenko 2016, "Deep CORAL": the distance of the covariances; blind to a shift of the mean.
mmd: Gretton et al. 2012, "A kernel two-sample test": the distance of the kernel means, several widths summed
(Long et al. 2015).
adversarial: Ganin et al. 2016, "Domain-adversarial training": a discriminator tells the clouds apart, and its
gradient reaches the map with the sign turned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ml.bridge.scorers.networks import MLP, Parameters

KINDS = ("none", "coral", "mmd", "adversarial")
# Widths of the kernel, in medians of the distance between target vectors.
WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
MOST_PAIRED = 1000  # vectors whose distances are compared to find that median
DISCRIMINATOR = 32  # hidden units
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def coral(mapped: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared Frobenius distance of the covariances of (a, f) and (b, f), over 4 f^2. () and >= 0.

    Fewer than two vectors have no covariance: it counts as 0.
    """
    width = mapped.shape[1]
    return (_covariance(mapped) - _covariance(target)).square().sum() / (4 * width * width)


def _covariance(vectors: torch.Tensor) -> torch.Tensor:
    centred = vectors - vectors.mean(dim=0, keepdim=True)
    return centred.T @ centred / max(len(vectors) - 1, 1)


def median_squared_distance(vectors: torch.Tensor) -> float:
    """The median squared distance of pairs among the first MOST_PAIRED of (b, f); 1 where it would be 0."""
    few = vectors[:MOST_PAIRED]
    distances = _squared_distances(few, few)[~torch.eye(len(few), dtype=torch.bool, device=few.device)]
    median = float(distances.median()) if len(distances) else 0.0
    return median if median > 0 else 1.0


def mmd(mapped: torch.Tensor, target: torch.Tensor, squared_width: float) -> torch.Tensor:
    """Squared maximum mean discrepancy of (a, f) and (b, f), pairs with themselves included. () and >= 0.

    squared_width: the squared distance at which the middle kernel exp(-d^2 / 2 width^2) is e^-1/2.
    """

    def mean(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        distances = _squared_distances(a, b)
        widths = (2 * squared_width * factor * factor for factor in WIDTHS)
        return torch.stack([torch.exp(-distances / width).mean() for width in widths]).mean()

    return mean(mapped, mapped) + mean(target, target) - 2 * mean(mapped, target)


def _squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    # Not cdist: the gradient of a distance of 0 is not defined, that of its square is.
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp_min(0)


class ReverseGradient(torch.autograd.Function):
    """The identity; its gradient is minus the identity's."""

    @staticmethod
    def forward(ctx: Any, vectors: torch.Tensor) -> torch.Tensor:
        """The vectors as they are."""
        return vectors.view_as(vectors)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """The gradient turned round."""
        return -gradients[0]


def adversarial(mapped: torch.Tensor, target: torch.Tensor, discriminator: MLP) -> torch.Tensor:
    """Binary cross-entropy of a discriminator that says which of (a, f) and (b, f) a vector is from.

    To minimise it makes the discriminator better and, through the reversed gradient, the map harder to tell.
    Both clouds count alike however many vectors each has.
    """
    # -log sigmoid(x) for a target vector, -log sigmoid(-x) for a mapped one.
    turned: torch.Tensor = ReverseGradient.apply(mapped)
    losses = torch.nn.functional.softplus
    return (losses(discriminator(turned)).mean() + losses(-discriminator(target)).mean()) / 2


def alignment(kind: str, target: torch.Tensor, generator: torch.Generator) -> tuple[Loss | None, Parameters]:
    """(the loss of a kind, what it learns itself). target: (b, f) all target vectors, to set scales by.

    Raises ValueError for a kind that is not one of KINDS.
    """
    if kind not in KINDS:
        raise ValueError(f"alignment {kind!r}: expected one of {', '.join(KINDS)}")
    if kind == "none" or not len(target):
        return None, []
    if kind == "coral":
        # In units in which a coordinate of the target has variance 1, as the features of its authors had.
        unit = math.sqrt(target.shape[1]) / max(float(target.square().sum(dim=1).mean().sqrt()), 1e-12)
        return lambda mapped, sample: coral(unit * mapped, unit * sample), []
    if kind == "mmd":
        squared_width = median_squared_distance(target)
        return lambda mapped, sample: mmd(mapped, sample, squared_width), []
    discriminator = MLP.random(target.shape[1], DISCRIMINATOR, 1, generator, target.device)
    return lambda mapped, sample: adversarial(mapped, sample, discriminator), discriminator.parameters()
