"""Fine-tuning of the tiny encoder: it learns what the world holds, stops in time, and repeats itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from colour_world import tastes_that_texts_do_not_tell

from ml.device import pick_device
from ml.text.adapt.backbone import load_backbone
from ml.text.adapt.contrastive import Contrastive
from ml.text.adapt.masked import IGNORED, MaskedWords
from ml.text.adapt.pairs import Pairs, find_pairs
from ml.text.adapt.train import LOOKS_PER_EPOCH, PATIENCE, AdaptSettings, adapt, fit
from ml.text.encoding.encoder import EncoderConfig, TextEncoder
from ml.text.encoding.source import folder_digest, resolve_model

SETTINGS = AdaptSettings(rank=4, epochs=3, batch=32, learning_rate=5e-3, max_tokens=16, device="cpu")


def run(model: str, pairs: Pairs, folder: Path, **changes: Any) -> dict[str, Any]:
    texts = {text: text for text in pairs.texts.tolist()}
    settings = AdaptSettings(**{**vars(SETTINGS), **changes})
    return adapt(resolve_model(model), "mean", texts, pairs, settings, folder)


def test_it_finds_partners_that_the_base_did_not(tiny_bert, pairs, tmp_path):
    random_state = torch.get_rng_state()
    found = run(tiny_bert, pairs, tmp_path / "one")["contrastive"]
    assert found["held_out_loss"]["adapted"] < found["held_out_loss"]["base"] - 0.1
    assert found["held_out_accuracy"]["adapted"] > found["held_out_accuracy"]["base"]
    assert torch.equal(torch.get_rng_state(), random_state)
    again = run(tiny_bert, pairs, tmp_path / "two")
    assert folder_digest(tmp_path / "one") == folder_digest(tmp_path / "two")
    assert {**again["contrastive"], "seconds": 0} == {**found, "seconds": 0}


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_found_where_texts_do_not_tell(tiny_bert, world, hidden, rules, tmp_path, seed):
    """There is much to learn by heart, and nothing that a text unseen could show: the base stays, and the
    loop ends after the looks that it waits, far from its last step."""
    silent = find_pairs(tastes_that_texts_do_not_tell(world, seed), hidden, rules)
    found = run(tiny_bert, silent, tmp_path, epochs=6, rank=8)["contrastive"]
    assert found["steps_kept"] == 0
    looks_every = len(silent.training) // SETTINGS.batch // LOOKS_PER_EPOCH
    assert found["steps"] <= (PATIENCE + 1) * looks_every
    assert found["held_out_accuracy"]["adapted"] == found["held_out_accuracy"]["base"]


def test_held_out_pairs_are_never_learned_from(tiny_bert, pairs, tmp_path, monkeypatch):
    steps = []
    learn = Contrastive.loss
    monkeypatch.setattr(
        Contrastive,
        "loss",
        lambda self, batch, generator: steps.append(batch) or learn(self, batch, generator),
    )
    run(tiny_bert, pairs, tmp_path, epochs=1)
    assert set(np.concatenate(steps).ravel()).isdisjoint(pairs.validation.ravel())


def test_the_encoder_reads_what_was_saved(tiny_bert, tiny, pairs, tmp_path):
    run(tiny_bert, pairs, tmp_path)
    adapted = TextEncoder(EncoderConfig(tiny_bert, precision="fp32", device="cpu", adapter=tmp_path))
    texts = ["a red kettle", "the red tea", "the blue tea"]
    before, after = tiny.encode(texts), adapted.encode(texts)
    assert adapted.key != tiny.key
    red, blue = (v[0] @ v[1] - v[0] @ v[2] for v in (after, before))
    assert red > blue  # red goes with red, more than it did
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


class Falling:
    """Held-out losses given in advance: to see when a loop stops and which state it keeps."""

    def __init__(self, losses: list[float], parameter: torch.nn.Parameter) -> None:
        self.losses, self.parameter = iter(losses), parameter

    def parameters(self) -> list[dict[str, Any]]:
        return []

    def start(self, rows, size) -> None:
        pass

    def batches(self, rows, size, generator=None) -> list[np.ndarray]:
        return [rows[:1], rows[1:2]]

    def loss(self, batch, generator) -> torch.Tensor:
        return self.parameter.sum()

    def measure(self, rows, size) -> tuple[float, float]:
        return next(self.losses), 0.0


@pytest.mark.parametrize(
    ("losses", "best", "looks"),
    [([3, 2, 1, 1.5, 1.2, 0.1], 2, 5), ([3, 4, 5, 0], 0, 3), ([3, 2, 1, 0.5, 0.4, 0.3, 0.2], 6, 7)],
)
def test_the_best_look_is_kept(tiny_bert, losses, best, looks):
    backbone = load_backbone(resolve_model(tiny_bert), "mean", 2, 16, pick_device("cpu"), masked=False)
    watched = next(p for n, p in backbone.model.named_parameters() if "lora_A" in n)
    states = []

    def remember(line: str) -> None:
        states.append(watched.detach().clone())

    before = watched.detach().clone()
    settings = AdaptSettings(epochs=3, batch=1, learning_rate=1e-2, device="cpu")
    fitted = fit(backbone, Falling(losses, watched), np.arange(2), np.arange(1), settings, "x", remember)
    assert (fitted.best, len(fitted.looks)) == (best, looks)
    assert best == looks - 1 or looks - 1 - best == PATIENCE
    assert torch.equal(watched, [before, *states][best])


@pytest.mark.parametrize("objective", ["mlm", "mlm+contrastive"])
def test_masked_words_are_an_objective_too(tiny_bert, pairs, tmp_path, objective):
    found = run(tiny_bert, pairs, tmp_path, objective=objective)
    assert found["mlm"]["held_out_loss"]["adapted"] < found["mlm"]["held_out_loss"]["base"]
    assert ("contrastive" in found) == objective.endswith("contrastive")
    TextEncoder(EncoderConfig(tiny_bert, precision="fp32", device="cpu", adapter=tmp_path)).encode(
        ["red tea"]
    )


def test_words_are_hidden_as_devlin_hid_them(tiny_bert):
    backbone = load_backbone(resolve_model(tiny_bert), "mean", 2, 32, pick_device("cpu"), masked=True)
    tokens = backbone.tokens(["the red kettle with a small blue pan of green tea and rice"] * 2000)
    ids, _ = backbone.padded(tokens)
    words = MaskedWords(backbone, tokens, seed=0)
    hidden, labels = words.hide(ids, torch.Generator().manual_seed(0))
    asked = labels != IGNORED
    markers = torch.isin(ids, torch.tensor(backbone.tokenizer.all_special_ids))
    assert not (asked & markers).any()
    assert torch.equal(hidden[~asked], ids[~asked])
    assert torch.equal(labels[asked], ids[asked])
    assert asked.any(dim=1).float().mean() > 0.8
    assert float(asked.sum() / (~markers).sum()) == pytest.approx(0.15, abs=0.01)
    masked = hidden[asked] == backbone.tokenizer.mask_token_id
    assert float(masked.float().mean()) == pytest.approx(0.8, abs=0.02)
    same = hidden[asked] == ids[asked]
    assert float(same.float().mean()) == pytest.approx(0.1, abs=0.02)


def test_a_loss_that_is_not_finite_says_what_to_do(tiny_bert, pairs, tmp_path):
    with pytest.raises(FloatingPointError, match=r"encoder.adaptation.learning_rate"):
        run(tiny_bert, pairs, tmp_path, learning_rate=1e30, epochs=1)
