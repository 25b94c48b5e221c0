"""Text to vectors with a transformer: masked pooling and L2 norm, in batches that waste no padding.

Texts are sorted by length and cut into batches of a fixed number of tokens. The result is the mean-pooled
embedding of Reimers and Gurevych, Sentence-BERT (2019), without importing sentence-transformers (7 s).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from ml.device import pick_device
from ml.text.source import EncoderError, ModelSource, resolve_model

Progress = Callable[[int, int], None]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_POOLINGS = ("auto", "mean", "cls")


@dataclass(frozen=True)
class EncoderConfig:
    """What decides a vector, and where it is computed.

    model: "embedded", a folder or a Hugging Face id. precision: auto, fp32, bf16, fp16. pooling: mean, cls.
    token_budget: tokens in one batch, padding included; None takes what measured best on the device. It
    changes speed, not vectors, and so is not part of the encoder's key.
    """

    model: str = "embedded"
    revision: str | None = None
    max_tokens: int = 256
    precision: str = "auto"
    pooling: str = "mean"
    token_budget: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *_DTYPES):
            raise ValueError(f"precision {self.precision!r}: expected auto, {', '.join(_DTYPES)}")
        if self.pooling not in _POOLINGS:
            raise ValueError(f"pooling {self.pooling!r}: expected {' or '.join(_POOLINGS)}")
        if self.max_tokens < 3:
            raise ValueError(f"max_tokens {self.max_tokens}: expected at least 3, two of which are markers")
        if self.token_budget is not None and self.token_budget < 1:
            raise ValueError(f"token_budget {self.token_budget}: expected a positive number or None")


def pick_precision(name: str, device: torch.device) -> str:
    """The precision of "auto": the narrowest float that the device multiplies in hardware.

    A CPU without AVX-512-BF16 or AMX emulates bf16: measured 20 times slower than fp32 on AVX2.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "fp32"


def pick_token_budget(config: EncoderConfig, device: torch.device, precision: str) -> int:
    """Tokens in one batch, padding included.

    1,024 keep fp32 activations in a CPU's cache: with 4,096 long texts took half as long again (AVX2).
    """
    if config.token_budget is not None:
        return config.token_budget
    if device.type == "cuda":
        return 65_536
    return 1024 if precision == "fp32" else 4096


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Positions of `lengths` in batches of at most `budget` padded tokens; a longer text is alone.

    Longest first, so that a batch that does not fit the memory is met at once and not at the end.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


class TextEncoder:
    """A frozen encoder. Weights load at the first `encode`, so that asking for `key` stays cheap."""

    def __init__(self, config: EncoderConfig | None = None) -> None:
        self.config = config or EncoderConfig()
        self.device = pick_device(self.config.device)
        self.precision = pick_precision(self.config.precision, self.device)
        self.token_budget = pick_token_budget(self.config, self.device, self.precision)
        self.source: ModelSource = resolve_model(self.config.model, self.config.revision)

    @property
    def key(self) -> str:
        """Names the vectors: model, revision or content, pooling, precision, tokens; a folder name."""
        name = re.sub(r"[^a-z0-9.]+", "-", self.source.name.lower()).strip("-.") or "model"
        parts = (
            name,
            self.source.digest[:12],
            self.config.pooling,
            self.precision,
            str(self.config.max_tokens),
        )
        return "-".join(re.sub(r"[^\w.]", "_", part) if i else part for i, part in enumerate(parts))

    @cached_property
    def _settings(self) -> Any:
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(self.source.location, **self.source.load_arguments)

    @property
    def dimension(self) -> int:
        """Length of one vector."""
        return int(self._settings.hidden_size)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._load(AutoTokenizer)

    @cached_property
    def _model(self) -> torch.nn.Module:
        from transformers import AutoModel

        return self._load(AutoModel, dtype=_DTYPES[self.precision]).to(self.device).eval()

    def _load(self, factory: Any, **arguments: Any) -> Any:
        try:
            return factory.from_pretrained(self.source.location, **self.source.load_arguments, **arguments)
        except (OSError, ValueError, SafetensorError) as error:
            raise EncoderError(
                f"encoder.model {self.config.model!r} ({self.source.location}) cannot be loaded: {error}. "
                "Reinstall or download it again, or choose another encoder.model"
            ) from error

    @cached_property
    def _limit(self) -> int:
        positions = getattr(self._settings, "max_position_embeddings", None) or self.config.max_tokens
        return min(self.config.max_tokens, self._tokenizer.model_max_length, positions)

    def _tokenize(self, texts: Sequence[str], markers: bool) -> list[list[int]]:
        return self._tokenizer(
            list(texts), add_special_tokens=markers, truncation=True, max_length=self._limit,
            return_attention_mask=False, return_token_type_ids=False,
        )["input_ids"]  # fmt: skip

    def encode(self, texts: Sequence[str], on_progress: Progress | None = None) -> np.ndarray:
        """(n, dimension) float32, unit rows, in the order of `texts`; longer texts are cut at max_tokens.

        `on_progress(done, total)` counts texts. Raises ValueError for an empty or blank text: it has no
        direction, and a row that looks like a vector would be ranked like one.
        """
        blank = [i for i, text in enumerate(texts) if not text or not text.strip()]
        if blank:
            raise ValueError(
                f"{len(blank)} of {len(texts)} texts are blank, the first at {blank[0]}: leave them out"
            )
        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not len(texts):
            return out
        tokens = self._tokenize(texts, markers=True)
        done = 0
        for batch in token_batches([len(ids) for ids in tokens], self.token_budget):
            out[batch] = self._embed([tokens[i] for i in batch])
            done += len(batch)
            if on_progress:
                on_progress(done, len(texts))
        return out

    def _embed(self, batch: list[list[int]]) -> np.ndarray:
        try:
            return self._forward(batch).cpu().numpy()
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise EncoderError(
                    f"one text of {len(batch[0])} tokens does not fit the memory of {self.device}: "
                    "lower encoder.max_tokens or use the CPU"
                ) from error
        # Outside the handler: the traceback would keep the failed batch's tensors alive.
        torch.cuda.empty_cache()
        half = (len(batch) + 1) // 2
        self.token_budget = max(1, min(self.token_budget, half * len(batch[0])))
        return np.concatenate([self._embed(batch[:half]), self._embed(batch[half:])])

    @torch.inference_mode()
    def _forward(self, batch: list[list[int]]) -> torch.Tensor:
        longest = max(map(len, batch))
        ids = torch.full((len(batch), longest), self._tokenizer.pad_token_id or 0)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        mask = mask.to(self.device)
        states = self._model(input_ids=ids.to(self.device), attention_mask=mask).last_hidden_state.float()
        if self.config.pooling == "cls":
            pooled = states[:, 0]
        else:
            pooled = (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.nn.functional.normalize(pooled, dim=1)

    def unknown_share(self, texts: Sequence[str]) -> float:
        """Share of the texts' tokens that the vocabulary does not know; 0 for no text at all.

        English models turn 78 % of Chinese characters into one unknown token: such vectors hold noise.
        """
        unknown = self._tokenizer.unk_token_id
        tokens = (
            [token for ids in self._tokenize(texts, markers=False) for token in ids] if len(texts) else []
        )
        return tokens.count(unknown) / len(tokens) if tokens and unknown is not None else 0.0
