"""Fine-tuning of an encoder on the logs: one objective or two, stopped when held-out pairs stop gaining.

The result is a folder with a LoRA adapter, and the figures of how it came about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ml.device import pick_device
from ml.text.adapt.backbone import Backbone, load_backbone
from ml.text.adapt.contrastive import Contrastive
from ml.text.adapt.masked import MaskedWords
from ml.text.adapt.pairs import Pairs
from ml.text.encoding.source import ModelSource

Say = Callable[[str], object]
WARM_UP = 0.1
# Twice an epoch, on at most this many held-out rows: a look costs a tenth of the training between two.
LOOKS_PER_EPOCH = 2
MOST_HELD_OUT = 1024
PATIENCE = 2
# Nats. A held-out loss wanders by some thousandths where there is nothing to learn; less is no gain.
LEAST_FALL = 0.01
HELD_OUT_TEXTS = 0.05


@dataclass(frozen=True)
class AdaptSettings:
    """objective: contrastive, mlm or mlm+contrastive. rank: of the update. batch: pairs, or texts, a step.

    max_tokens: where texts are cut while training.
    """

    objective: str = "contrastive"
    rank: int = 8
    epochs: int = 3
    batch: int = 64
    learning_rate: float = 5e-4
    max_tokens: int = 64
    seed: int = 0
    device: str = "auto"


class Objective(Protocol):
    """What a loop of steps needs to know. A row is what the objective learns from: a pair, or a text."""

    def parameters(self) -> list[dict[str, Any]]:
        """Parameter groups that learn beside the backbone."""

    def start(self, rows: np.ndarray, size: int) -> None:
        """Fit what only calibrates the loss, so that the base is not judged by it."""

    def batches(
        self, rows: np.ndarray, size: int, generator: torch.Generator | None = None
    ) -> list[np.ndarray]:
        """One epoch's batches, shuffled where there is a generator."""

    def loss(self, batch: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """The loss of one batch of rows."""

    def measure(self, rows: np.ndarray, size: int) -> tuple[float, float]:
        """Loss and accuracy on held-out rows."""


@dataclass(frozen=True)
class Fitted:
    """One objective's course. looks: (step, held-out loss, held-out accuracy), the base at step 0 first."""

    looks: list[tuple[int, float, float]]
    best: int
    seconds: float

    @property
    def improved(self) -> bool:
        """Whether any look was better than the base."""
        return self.best > 0

    def summary(self) -> dict[str, Any]:
        """JSON-able figures: held-out loss and accuracy before and after, steps kept and taken."""
        base, kept = self.looks[0], self.looks[self.best]
        return {
            "held_out_loss": {"base": base[1], "adapted": kept[1]},
            "held_out_accuracy": {"base": base[2], "adapted": kept[2]},
            "steps_kept": kept[0],
            "steps": self.looks[-1][0],
            "seconds": round(self.seconds, 1),
        }


def adapt(
    source: ModelSource,
    pooling: str,
    texts: Mapping[str, str],
    pairs: Pairs,
    settings: AdaptSettings,
    folder: Path,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Train an adapter on `pairs` (and, with mlm, on all `texts`, hash -> text), save it in `folder`.

    Returns JSON-able figures by objective. The same seed on the same kind of machine gives the same adapter;
    the caller's random state is left as it was.
    """
    device = pick_device(settings.device)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(settings.seed)  # LoRA's first values and dropout know no generator of their own
        masked = settings.objective.startswith("mlm")
        backbone = load_backbone(source, pooling, settings.rank, settings.max_tokens, device, masked)
        course: dict[str, Fitted] = {}
        if masked:
            course["mlm"] = _fit_words(backbone, list(texts.values()), settings, say)
        if settings.objective.endswith("contrastive"):
            course["contrastive"] = _fit_pairs(backbone, texts, pairs, settings, say)
    backbone.save(folder)
    return {
        "settings": asdict(settings),
        "pairs": {
            "training": len(pairs.training),
            "held_out": len(pairs.validation),
            "across_domains": int(pairs.crosses.sum()),
        },
        **{name: fitted.summary() for name, fitted in course.items()},
    }


def _fit_pairs(
    backbone: Backbone, texts: Mapping[str, str], pairs: Pairs, settings: AdaptSettings, say: Say
) -> Fitted:
    tokens = backbone.tokens([texts[text_hash] for text_hash in pairs.texts])
    objective = Contrastive(backbone, tokens, pairs.domains, pairs.known)
    return fit(
        backbone, objective, pairs.training, pairs.validation[:MOST_HELD_OUT], settings, "contrastive", say
    )


def _fit_words(backbone: Backbone, texts: list[str], settings: AdaptSettings, say: Say) -> Fitted:
    order = np.random.default_rng(settings.seed).permutation(len(texts))
    held = max(1, min(MOST_HELD_OUT, round(HELD_OUT_TEXTS * len(texts))))
    objective = MaskedWords(backbone, backbone.tokens(texts), settings.seed)
    return fit(backbone, objective, order[held:], order[:held], settings, "mlm", say)


def fit(
    backbone: Backbone,
    objective: Objective,
    rows: np.ndarray,
    held_out: np.ndarray,
    settings: AdaptSettings,
    name: str,
    say: Say,
) -> Fitted:
    """Steps over shuffled `rows` until held-out loss has not fallen by LEAST_FALL in PATIENCE looks; the
    best is kept."""
    began, generator = time.monotonic(), torch.Generator().manual_seed(settings.seed)
    per_epoch = len(objective.batches(rows, settings.batch))
    steps, every = per_epoch * settings.epochs, max(1, per_epoch // LOOKS_PER_EPOCH)
    groups = [{"params": list(backbone.learnable())}, *objective.parameters()]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    objective.start(rows[:MOST_HELD_OUT], settings.batch)
    looks = [(0, *_look(backbone, objective, held_out, settings.batch))]
    best, state = 0, backbone.state()
    for step, batch in enumerate(_epochs(objective, rows, settings, generator), start=1):
        _step(backbone, objective.loss(batch, generator), optimiser)
        schedule.step()
        if step % every and step < steps:
            continue
        looks.append((step, *_look(backbone, objective, held_out, settings.batch)))
        rate = step * settings.batch / (time.monotonic() - began)
        say(
            f"{name}: step {step:,} of {steps:,}, held-out loss {looks[0][1]:.4f} → {looks[-1][1]:.4f}, "
            f"accuracy {looks[0][2]:.3f} → {looks[-1][2]:.3f}, {rate:.0f} rows/s"
        )
        if looks[-1][1] < looks[best][1] - LEAST_FALL:
            best, state = len(looks) - 1, backbone.state()
        elif len(looks) - 1 - best >= PATIENCE:
            break
    backbone.restore(state)
    return Fitted(looks, best, time.monotonic() - began)


def _epochs(
    objective: Objective, rows: np.ndarray, settings: AdaptSettings, generator: torch.Generator
) -> Iterator[np.ndarray]:
    for _ in range(settings.epochs):
        yield from objective.batches(rows, settings.batch, generator)


def _rate(step: int, steps: int) -> float:
    """Share of the learning rate: up over the first tenth, then down to zero at the end."""
    warm = max(1, round(WARM_UP * steps))
    return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))


def _step(backbone: Backbone, loss: torch.Tensor, optimiser: torch.optim.Optimizer) -> None:
    if not torch.isfinite(loss):
        raise FloatingPointError(
            "the loss is not finite: lower encoder.adaptation.learning_rate and materialise "
            "adapted_encoder again"
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(backbone.learnable()), 1.0)
    optimiser.step()


def _look(backbone: Backbone, objective: Objective, rows: np.ndarray, batch: int) -> tuple[float, float]:
    whole = backbone.model if backbone.head is None else backbone.head
    whole.eval()
    figures = objective.measure(rows, batch)
    whole.train()
    return figures
