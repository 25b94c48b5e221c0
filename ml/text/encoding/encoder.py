"""Text to vectors with a transformer: masked pooling and L2 norm, in batches that waste no padding.

Texts are sorted by length, tokenised some thousand at a time while earlier ones are computed, and cut into
batches of a fixed number of tokens, which do not depend on how many workers compute them. The vectors are
those of sentence-transformers (Reimers and Gurevych 2019), whose import alone takes 7 s.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError

from ml.device import pick_device
from ml.text.encoding.batches import pad_right, token_batches
from ml.text.encoding.pooling import POOLINGS, choose_pooling, pool
from ml.text.encoding.replicas import Batch, Replicas
from ml.text.encoding.source import EncoderError, ModelSource, adapter_digest, resolve_model

Progress = Callable[[int, int], None]
Kind = Literal["document", "query"]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Texts tokenised in one go: some seconds of work for a CPU, several batches for a GPU.
_TOKENISED_AHEAD = {"cpu": 1024, "cuda": 16_384}


@dataclass(frozen=True)
class EncoderConfig:
    """What decides a vector, and where it is computed.

    model: "embedded", a folder or a Hugging Face id. precision: auto, fp32, bf16, fp16. pooling: auto, mean,
    cls, last. The prefixes stand before every text of their kind, as some models were trained. adapter: a
    folder with a LoRA adapter saved by peft, merged into the weights.

    token_budget: tokens in one batch, padding included; workers: threads on a CPU, GPUs on CUDA. None takes
    what measured best. They change speed, not vectors, and so are not part of the encoder's key.
    """

    model: str = "embedded"
    revision: str | None = None
    max_tokens: int = 256
    precision: str = "auto"
    pooling: str = "auto"
    document_prefix: str = ""
    query_prefix: str = ""
    adapter: Path | None = None
    token_budget: int | None = None
    workers: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *_DTYPES):
            raise ValueError(f"precision {self.precision!r}: expected auto, {', '.join(_DTYPES)}")
        if self.pooling not in ("auto", *POOLINGS):
            raise ValueError(f"pooling {self.pooling!r}: expected auto, {', '.join(POOLINGS)}")
        if self.max_tokens < 3:
            raise ValueError(f"max_tokens {self.max_tokens}: expected at least 3, two of which are markers")
        for name in ("token_budget", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} {value}: expected a positive number or None")


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

    512 keep fp32 activations in a core's cache: 1,024 took 1.15 times as long, 4,096 half as long again
    (MiniLM, AVX2).
    """
    if config.token_budget is not None:
        return config.token_budget
    if device.type == "cuda":
        return 65_536
    return 512 if precision == "fp32" else 4096


class TextEncoder:
    """A frozen encoder. Weights load at the first `encode`, so that asking for `key` stays cheap."""

    def __init__(self, config: EncoderConfig | None = None) -> None:
        self.config = config or EncoderConfig()
        self.device = pick_device(self.config.device)
        self.precision = pick_precision(self.config.precision, self.device)
        self.token_budget = pick_token_budget(self.config, self.device, self.precision)
        self.source: ModelSource = resolve_model(self.config.model, self.config.revision)
        self.pooling = choose_pooling(self.config.pooling, self.source)
        self._prefixes = {"document": self.config.document_prefix, "query": self.config.query_prefix}

    @cached_property
    def key(self) -> str:
        """Names the vectors of documents, as a folder: model, content, pooling, precision, tokens.

        Digests of the document prefix and the adapter follow where there are such.
        """
        name = re.sub(r"[^a-z0-9.]+", "-", self.source.name.lower()).strip("-.") or "model"
        parts = [name, self.source.digest[:12], self.pooling, self.precision, str(self.config.max_tokens)]
        if self.config.document_prefix:
            parts.append("prefix_" + hashlib.sha256(self.config.document_prefix.encode()).hexdigest()[:8])
        if self.config.adapter is not None:
            parts.append("adapter_" + adapter_digest(Path(self.config.adapter))[:12])
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
        from transformers import AutoModel, AutoModelForTextEncoding

        dtype = _DTYPES[self.precision]
        # Of a model in two halves (T5) the first one reads.
        factory = AutoModelForTextEncoding if self._settings.is_encoder_decoder else AutoModel
        if self.config.adapter is None:
            model = self._load(factory, dtype=dtype)
        else:  # merged in fp32: the product of two small matrices would be rounded twice
            model = self._adapted(self._load(factory, dtype=torch.float32), self.config.adapter).to(dtype)
        return model.to(self.device).eval()

    def _adapted(self, model: Any, folder: Path) -> torch.nn.Module:
        try:
            from peft import PeftModel
        except ImportError as error:
            raise EncoderError("an adapted encoder needs peft: `pip install 'landbridge[adapt]'`") from error
        try:
            return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise EncoderError(
                f"the adapter {folder} does not fit encoder.model {self.config.model!r}: {error}. "
                "Materialise adapted_encoder again"
            ) from error

    @cached_property
    def _replicas(self) -> Replicas:
        return Replicas(self._model, self.device, self.token_budget, self._forward, self.config.workers)

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
        if not self._tokenizer.is_fast:
            return self._tokenizer(
                list(texts), add_special_tokens=markers, truncation=True, max_length=self._limit
            )["input_ids"]  # fmt: skip
        # Past transformers, which spends more on each text than its Rust tokenizer does.
        backend = self._tokenizer.backend_tokenizer
        backend.enable_truncation(self._limit, direction=self._tokenizer.truncation_side)
        backend.no_padding()
        return [row.ids for row in backend.encode_batch_fast(list(texts), add_special_tokens=markers)]

    def encode(
        self,
        texts: Sequence[str],
        on_progress: Progress | None = None,
        kind: Kind = "document",
        unknown_limit: float | None = None,
    ) -> np.ndarray:
        """(n, dimension) float32, unit rows, in the order of `texts`; longer texts are cut at max_tokens.

        A text more than `unknown_limit` of whose tokens are unknown to the vocabulary is not computed: its
        row is zero. `on_progress(done, total)` counts texts. Raises ValueError for an empty or blank text:
        it has no direction, and a row that looks like a vector would be ranked like one.
        """
        blank = [i for i, text in enumerate(texts) if not text or not text.strip()]
        if blank:
            raise ValueError(
                f"{len(blank)} of {len(texts)} texts are blank, the first at {blank[0]}: leave them out"
            )
        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        done = 0
        batches = self._batches(texts, self._prefixes[kind], unknown_limit)
        with closing(self._replicas.embed(batches)) as computed:  # a failing callback ends the workers too
            for positions, vectors in computed:
                out[positions] = vectors
                done += len(positions)
                if on_progress:
                    on_progress(done, len(texts))
        if on_progress and done < len(texts):
            on_progress(len(texts), len(texts))
        return out

    def _batches(
        self, texts: Sequence[str], prefix: str, unknown_limit: float | None
    ) -> Iterator[tuple[list[int], Batch]]:
        """Positions and token ids of the texts to compute, in batches of the token budget."""
        ahead = _TOKENISED_AHEAD[self.device.type]
        by_length = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
        for start in range(0, len(texts), ahead):
            piece = by_length[start : start + ahead]
            rows = self._tokenize([prefix + texts[i] for i in piece], markers=True)
            if unknown_limit is not None:
                readable = np.flatnonzero(self._unknown(rows, prefix) <= unknown_limit)
                piece, rows = [piece[j] for j in readable], [rows[j] for j in readable]
            for batch in token_batches([len(row) for row in rows], self.token_budget):
                # A tokenizer without markers makes nothing of a control character.
                yield [piece[j] for j in batch], [rows[j] or [self._fill] for j in batch]

    @cached_property
    def _fill(self) -> int:
        return int(self._tokenizer.pad_token_id or 0)

    @torch.inference_mode()
    def _forward(self, model: torch.nn.Module, device: torch.device, batch: Batch) -> torch.Tensor:
        ids, mask = pad_right(batch, self._fill)
        mask = mask.to(device)
        states = model(input_ids=ids.to(device), attention_mask=mask).last_hidden_state.float()
        return torch.nn.functional.normalize(pool(states, mask, self.pooling), dim=1)

    def _unknown(self, rows: Sequence[Sequence[int]], prefix: str) -> np.ndarray:
        """Share of unknown tokens of each row, markers and prefix left out; 1 where nothing else is there."""
        unknown = self._tokenizer.unk_token_id
        (around,) = self._tokenize([prefix], markers=True)
        own = np.array([len(row) - len(around) for row in rows])
        counts = np.array([0 if unknown is None else row.count(unknown) for row in rows])
        return np.where(own > 0, counts / np.maximum(own, 1), 1.0)

    def unknown_share(self, texts: Sequence[str]) -> float:
        """Share of the texts' tokens that the vocabulary does not know; 0 for no text at all.

        English models turn 78 % of Chinese characters into one unknown token: such vectors hold noise.
        """
        unknown = self._tokenizer.unk_token_id
        tokens = (
            [token for ids in self._tokenize(texts, markers=False) for token in ids] if len(texts) else []
        )
        return tokens.count(unknown) / len(tokens) if tokens and unknown is not None else 0.0
