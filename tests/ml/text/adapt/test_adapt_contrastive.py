"""The contrastive objective against a loss worked out in NumPy, and what may not be a negative."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from ml.device import pick_device
from ml.text.adapt.backbone import load_backbone
from ml.text.adapt.contrastive import Contrastive, false_negatives, info_nce
from ml.text.encoding.source import resolve_model


def by_hand(left: np.ndarray, right: np.ndarray, mask: np.ndarray, temperature: float) -> float:
    """Both directions, pair by pair, in plain sums."""
    losses = []
    for scores, hidden in ((left @ right.T, mask), (right @ left.T, mask.T)):
        for i in range(len(scores)):
            kept = [j for j in range(len(scores)) if not hidden[i, j]]
            total = sum(np.exp(scores[i, j] / temperature) for j in kept)
            losses.append(-np.log(np.exp(scores[i, i] / temperature) / total))
    return float(np.mean(losses))


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_loss_is_that_of_its_definition(temperature):
    random = np.random.default_rng(0)
    left, right = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in random.normal(size=(2, 6, 8)))
    mask = random.random((6, 6)) < 0.3
    np.fill_diagonal(mask, False)
    tensors = [torch.from_numpy(array) for array in (left, right, mask)]
    assert float(info_nce(*tensors, temperature)) == pytest.approx(by_hand(left, right, mask, temperature))


def test_false_negatives_by_hand():
    """Rows: (0, 1), (0, 2), (3, 1), (4, 5), (6, 3); 4 is known to go with 1."""
    known = sparse.csr_matrix((np.ones(2, bool), ([4, 1], [1, 4])), shape=(7, 7))
    mask = false_negatives(np.array([[0, 1], [0, 2], [3, 1], [4, 5], [6, 3]]), known)
    assert {tuple(map(int, place)) for place in np.argwhere(mask)} == {
        (0, 1), (1, 0),  # the same text asks
        (0, 2), (2, 0),  # the same text answers
        (2, 4),  # 3 would be pushed from itself
        (3, 0), (3, 2),  # 4 goes with 1
    }  # fmt: skip


@pytest.fixture(scope="module")
def objective(tiny_bert, pairs) -> Contrastive:
    backbone = load_backbone(resolve_model(tiny_bert), "mean", 4, 16, pick_device("cpu"), masked=False)
    backbone.model.eval()
    return Contrastive(backbone, backbone.tokens(pairs.texts.tolist()), pairs.domains, pairs.known)


def test_a_batch_never_mixes_pairs_of_domains(objective, pairs):
    generator = torch.Generator().manual_seed(3)
    batches = objective.batches(pairs.training, 32, generator)
    for batch in batches:
        assert len(np.unique(pairs.domains[batch], axis=0)) == 1
        assert 2 <= len(batch) <= 32
    drawn = np.concatenate(batches)
    assert len(np.unique(drawn, axis=0)) == len(drawn) >= len(pairs.training) - 3


def test_vectors_are_those_of_the_encoder(objective, pairs, tiny):
    """A fresh update changes nothing, and pooling and padding here are those that embedding uses."""
    texts = ["red", "a large blue kettle with rice", *pairs.texts[:40]]
    with torch.no_grad():
        ours = objective.backbone.vectors(objective.backbone.tokens(texts)).numpy()
    np.testing.assert_allclose(ours, tiny.encode(texts), atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.filterwarnings("error")
def test_loading_warns_of_nothing(tiny_bert, masked):
    load_backbone(resolve_model(tiny_bert), "mean", 2, 16, pick_device("cpu"), masked=masked)


def test_start_takes_the_temperature_with_the_least_loss(objective, pairs):
    with torch.no_grad():
        batches = [objective._sides(part) for part in objective.batches(pairs.training[:200], 32)]

    def loss(temperature: float) -> float:
        return sum(float(info_nce(*sides, temperature)) for sides in batches)

    objective.start(pairs.training[:200], 32)
    chosen = objective.log_temperature.exp().item()
    assert all(loss(chosen) <= loss(other) + 1e-4 for other in (0.03, 0.1, 0.3, 1.0, 10.0))


def test_what_is_measured_does_not_depend_on_the_learned_temperature(objective, pairs):
    figures = []
    for log_temperature in (-3.0, 0.0, 2.0):
        with torch.no_grad():
            objective.log_temperature.fill_(log_temperature)
        figures.append(objective.measure(pairs.validation, 32))
    assert figures[0] == figures[1] == figures[2]
