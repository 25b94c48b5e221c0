"""The alignment losses by hand, their gradients by finite differences, and the direction they pull in."""

import math

import pytest
import torch

from ml.bridge.scorers.alignment_losses import (
    WIDTHS,
    ReverseGradient,
    adversarial,
    alignment,
    coral,
    median_squared_distance,
    mmd,
)
from ml.bridge.scorers.networks import MLP, AdamW


def cloud(rows, width, seed=0, dtype=torch.float64):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def discriminator(width, seed=0):
    found = MLP.random(width, 5, 1, torch.Generator().manual_seed(seed), torch.device("cpu"))
    for layer in (found.first, found.second):
        layer.weight.data, layer.bias.data = layer.weight.data.double(), layer.bias.data.double()
    return found


def test_coral_by_hand():
    """Variances 2 and 8 of one coordinate: (8 - 2)^2 / 4."""
    narrow, wide = torch.tensor([[-1.0], [1.0]]), torch.tensor([[-2.0], [2.0]])
    assert coral(wide, narrow) == pytest.approx(9.0)
    # Two coordinates that go together against two that go against each other: off-diagonals 2 and -2.
    together, against = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
    assert coral(together, against) == pytest.approx(2 * 16 / (4 * 4))


def test_coral_sees_the_spread_and_not_the_place():
    here = cloud(30, 4)
    assert coral(here, here) == 0
    assert coral(here + 7, here) == pytest.approx(0, abs=1e-20)
    assert coral(2 * here, here) > 0.01
    assert coral(here[:1], here[:1]) == 0


def test_mmd_by_hand():
    """One vector each at distance 1: 2 - 2 k, k the mean of the kernels of all widths."""
    kernels = [math.exp(-1 / (2 * 4.0 * factor**2)) for factor in WIDTHS]
    found = mmd(torch.tensor([[0.0]]), torch.tensor([[1.0]]), 4.0)
    assert found == pytest.approx(2 - 2 * sum(kernels) / len(kernels))


def test_mmd_sees_place_and_spread():
    here, width = cloud(30, 4), median_squared_distance(cloud(30, 4))
    assert mmd(here, here, width) == pytest.approx(0, abs=1e-12)
    assert mmd(here + 1, here, width) > 0.05
    assert mmd(here + 2, here, width) > mmd(here + 1, here, width)
    assert mmd(2 * here, here, width) > 0.05


def test_the_median_distance_by_hand():
    # Pairs at distances 1, 2 and 3.
    assert median_squared_distance(torch.tensor([[0.0], [1.0], [3.0]])) == pytest.approx(4.0)
    assert median_squared_distance(torch.ones(5, 2)) == 1.0
    assert median_squared_distance(torch.ones(1, 2)) == 1.0


def test_a_discriminator_that_knows_nothing_costs_log_2():
    blind = discriminator(3)
    blind.second.weight.data.zero_()
    assert adversarial(cloud(9, 3), cloud(4, 3, 1), blind).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("loss", ["coral", "mmd", "adversarial"])
def test_gradients_are_those_of_finite_differences(loss):
    mapped, target = cloud(6, 3).requires_grad_(), cloud(7, 3, 1)
    if loss == "coral":
        assert torch.autograd.gradcheck(lambda x: coral(x, target), (mapped,))
    elif loss == "mmd":
        assert torch.autograd.gradcheck(lambda x: mmd(x, target, 1.5), (mapped,))
    else:
        # By the target's vectors: what comes back to the mapped ones is turned round on purpose.
        judge, theirs = discriminator(3), cloud(7, 3, 1).requires_grad_()
        assert torch.autograd.gradcheck(lambda y: adversarial(mapped.detach(), y, judge), (theirs,))


def test_a_reversed_gradient_is_minus_the_gradient():
    x = cloud(4, 3).requires_grad_()
    (plain,) = torch.autograd.grad((x**3).sum(), x)
    (turned,) = torch.autograd.grad((ReverseGradient.apply(x) ** 3).sum(), x)
    assert torch.equal(turned, -plain)
    assert torch.equal(ReverseGradient.apply(x), x)


def test_the_map_and_the_discriminator_pull_apart():
    """A small step against each gradient: the discriminator's lowers the loss, the map's raises it."""
    mapped, target, judge = (cloud(20, 3) + 2).requires_grad_(), cloud(20, 3, 1), discriminator(3)
    before = adversarial(mapped, target, judge)
    of_map, *of_judge = torch.autograd.grad(before, [mapped, *judge.parameters()])
    assert adversarial((mapped - 0.1 * of_map).detach(), target, judge) > before
    with torch.no_grad():
        for parameter, gradient in zip(judge.parameters(), of_judge, strict=True):
            parameter -= 0.1 * gradient
    assert adversarial(mapped, target, judge) < before


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("coral", 0.9, 1.1), ("mmd", 0.7, 1.3), ("adversarial", 0.5, 2.7)]
)
def test_descending_on_a_loss_brings_the_clouds_together(kind, least, most):
    """The spread of what is free to move goes from 3 towards the target's 1; adversaries are slow."""
    generator = torch.Generator().manual_seed(0)
    target, start = cloud(100, 2, 1, torch.float32), 3 * cloud(100, 2, 2, torch.float32)
    loss, own = alignment(kind, target, generator)
    scale = torch.ones(2, requires_grad=True)
    adam = AdamW([scale, *own], 0.02, 0.0)
    for _ in range(200):
        adam.step(torch.autograd.grad(loss(start * scale, target), adam.parameters))
    spread = (start * scale).std(dim=0)
    assert least < spread.min()
    assert spread.max() < most


def test_no_alignment_is_none_and_another_word_is_refused():
    assert alignment("none", cloud(5, 2), torch.Generator()) == (None, [])
    assert alignment("mmd", cloud(0, 2), torch.Generator()) == (None, [])
    with pytest.raises(ValueError, match="expected one of none, coral, mmd, adversarial"):
        alignment("wasserstein", cloud(5, 2), torch.Generator())
