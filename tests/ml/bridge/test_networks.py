"""Small networks by hand: AdamW against its formulas, the linear map inside an MLP, when training stops."""

import numpy as np
import pytest
import torch

from ml.bridge.scorers.networks import LEAST_HELD_OUT, MLP, AdamW, Descent, Linear, descend, hold_out

CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_adamw_is_its_formulas():
    """Five steps of numpy in float64, as Loshchilov & Hutter write algorithm 2 with a constant rate."""
    start = np.array([1.0, -2.0, 0.5])
    gradients = np.random.default_rng(0).standard_normal((5, 3))
    parameter = torch.tensor(start)
    adam = AdamW([parameter], 0.1, 0.2)
    theta, m, v = start.copy(), np.zeros(3), np.zeros(3)
    for t, g in enumerate(gradients, 1):
        adam.step([torch.tensor(g)])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        theta = theta - 0.1 * 0.2 * theta
        theta = theta - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert parameter.numpy() == pytest.approx(theta, abs=1e-12)


def test_the_map_of_an_mlp_at_a_point_by_hand():
    """Two hidden units; at x = (1, 0) the first is on (1 - 0.5), the second off (-1 + 0.25)."""
    first = Linear(torch.tensor([[1.0, -1.0], [2.0, 3.0]]), torch.tensor([-0.5, 0.25]))
    second = Linear(torch.tensor([[10.0], [100.0]]), torch.tensor([7.0]))
    weight, bias = MLP(first, second).at(np.array([1.0, 0.0]))
    assert weight.tolist() == [[10.0], [20.0]]
    assert bias.tolist() == [2.0]


@pytest.mark.parametrize("seed", range(5))
def test_the_map_at_a_point_gives_the_value_and_the_slope_there(seed):
    network = MLP.random(4, 9, 3, generator(seed), CPU)
    x = torch.randn(4, generator=generator(seed + 50))
    weight, bias = network.at(x.double().numpy())
    assert x.numpy() @ weight + bias == pytest.approx(network(x).detach().numpy(), abs=1e-5)
    slope = torch.autograd.functional.jacobian(network, x).numpy()
    assert np.abs(weight.T - slope).max() < 1e-5


def test_random_networks_come_from_their_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = (MLP.random(3, 4, 2, generator(), CPU) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_rows_are_held_out_once_there_are_enough_to_say_something():
    learn, held = hold_out(200, generator())
    assert sorted([*learn.tolist(), *held.tolist()]) == list(range(200))
    assert len(held) == 20
    few = 10 * LEAST_HELD_OUT - 1
    learn, held = hold_out(few, generator())
    assert sorted(learn.tolist()) == sorted(held.tolist()) == list(range(few))


def test_descent_finds_the_least_squares_solution():
    rng = np.random.default_rng(0)
    x, truth = rng.standard_normal((400, 3)).astype(np.float32), np.array([[1.0], [-2.0], [0.5]], np.float32)
    A, y = torch.from_numpy(x), torch.from_numpy(x @ truth + 3)
    network = Linear.random(3, 1, generator(), CPU)

    def loss(rows):
        return (network(A[rows]) - y[rows]).square().mean()

    everyone = torch.arange(400)
    how = Descent(learning_rate=0.05, weight_decay=0.0, epochs=100, batch=64, patience=100)
    assert descend(network.parameters(), loss, lambda: loss(everyone), everyone, how, generator()) == 100
    assert network.weight.numpy() == pytest.approx(truth, abs=0.01)
    assert network.bias.numpy() == pytest.approx([3.0], abs=0.01)


def test_training_stops_when_held_out_rows_say_so_and_goes_back_to_the_best():
    """A held-out loss that is best when the parameter passes 1, on its way to 10."""
    p, seen = torch.zeros(1, requires_grad=True), []

    def held_out():
        seen.append(p.item())
        return (p - 1).square().sum()

    how = Descent(learning_rate=0.1, weight_decay=0.0, epochs=50, batch=1, patience=4)
    epochs = descend(
        [p], lambda rows: (p - 10).square().sum(), held_out, torch.zeros(1).long(), how, generator()
    )
    best = int(np.argmin(np.abs(np.array(seen) - 1)))
    assert epochs == len(seen) == best + 1 + how.patience
    assert p.item() == seen[best]
    assert not p.requires_grad


def test_nothing_to_learn_from_changes_nothing():
    network = Linear.random(2, 2, generator(), CPU)
    before = network.weight.detach().clone()
    none = torch.zeros(0, dtype=torch.long)
    assert (
        descend(
            network.parameters(),
            lambda rows: network.weight.sum(),
            torch.Tensor,
            none,
            Descent(),
            generator(),
        )
        == 0
    )
    assert torch.equal(network.weight, before)
