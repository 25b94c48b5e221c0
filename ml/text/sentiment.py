"""How a text sounds, from -1 (the worst) to 1 (the best): a rating on its scale, or a text classifier.

The classifier is any of transformers whose labels form a scale; its score is the mean of their probabilities
over the scale, so that a doubtful text lies between them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ml.device import pick_device
from ml.text.encoding.batches import pad_right, token_batches
from ml.text.encoding.source import EncoderError, resolve_model

MAX_TOKENS = 256
TOKEN_BUDGET = 4096
# Words of labels from worst to best, as published classifiers use them.
_WORDS = ("very negative", "negative", "neutral", "positive", "very positive")
_SHORT = {"neg": "negative", "neu": "neutral", "pos": "positive", "mixed": "neutral"}


def rating_sentiment(ratings: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """(n,) float32 in [-1, 1] of `ratings` (n,); NaN where there is none or it lies outside [worst, best]."""
    worst, best = scale
    sentiment = 2 * (np.asarray(ratings, np.float64) - worst) / (best - worst) - 1
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(sentiment) <= 1, sentiment, np.nan).astype(np.float32)


def label_order(labels: Mapping[int, str]) -> list[int]:
    """The label ids from worst to best.

    By words (negative, neutral, positive) or numbers (1 star, 5 stars); LABEL_0, LABEL_1, ... stand as they
    are. Raises ValueError for labels that are no scale.
    """
    names = {i: re.sub(r"[\W_]+", " ", name).strip().lower() for i, name in labels.items()}
    names = {i: _SHORT.get(name, name) for i, name in names.items()}
    numbers = {i: re.search(r"\d+", name) for i, name in names.items()}
    if len(names) > 1 and all(name in _WORDS for name in names.values()):
        return sorted(names, key=lambda i: _WORDS.index(names[i]))
    if len(names) > 1 and all(numbers.values()):
        return sorted(names, key=lambda i: int(numbers[i][0]))  # type: ignore[index]
    raise ValueError(
        f"the labels {', '.join(labels.values())} are no scale from worst to best: choose a model whose "
        "labels are negative, (neutral,) positive, or stars"
    )


class SentimentScorer:
    """A frozen text classifier. Weights load at the first `score`."""

    def __init__(self, model: str, revision: str | None = None, device: str = "auto") -> None:
        try:
            self.source = resolve_model(model, revision)
        except EncoderError as error:
            raise EncoderError(str(error).replace("encoder.model", "reviews.model")) from error
        self.device = pick_device(device)

    @property
    def key(self) -> str:
        """Names the scores: model and revision or content; a folder name."""
        name = re.sub(r"[^a-z0-9.]+", "-", self.source.name.lower()).strip("-.") or "model"
        return f"{name}-{self.source.digest[:12]}-{MAX_TOKENS}"

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.source.location, **self.source.load_arguments)

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForSequenceClassification as Classifier

        try:
            model, told = Classifier.from_pretrained(
                self.source.location, **self.source.load_arguments, output_loading_info=True
            )
        except (OSError, ValueError) as error:
            raise EncoderError(f"reviews.model {self.source.location} cannot be loaded: {error}") from error
        if told["missing_keys"]:
            raise EncoderError(
                f"reviews.model {self.source.location} is no trained text classifier: it lacks "
                f"{sorted(told['missing_keys'])[0]}; choose a model for text classification"
            )
        return model.to(self.device).eval()

    @cached_property
    def _scale(self) -> torch.Tensor:
        """(labels,) what each label says."""
        order = label_order(self._model.config.id2label)
        scale = torch.empty(len(order))
        scale[order] = torch.linspace(-1, 1, len(order))
        return scale.to(self.device)

    @torch.inference_mode()
    def score(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) float32 in [-1, 1]. Raises ValueError where the labels are no scale."""
        out = np.zeros(len(texts), np.float32)
        if not len(texts):
            return out
        positions = getattr(self._model.config, "max_position_embeddings", None) or MAX_TOKENS
        limit = min(MAX_TOKENS, self._tokenizer.model_max_length, positions)
        tokens = self._tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
        for batch in token_batches([len(ids) for ids in tokens], TOKEN_BUDGET):
            ids, mask = pad_right([tokens[i] for i in batch], self._tokenizer.pad_token_id or 0)
            logits = self._model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device)).logits
            out[batch] = (logits.float().softmax(dim=1) @ self._scale).cpu().numpy()
        return out
