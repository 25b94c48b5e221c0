"""An encoder that can learn: the pretrained weights frozen, low-rank updates beside its linear layers.

LoRA (Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models"), through peft. What is saved is
the update alone; whoever embeds with it merges it into the weights and pays nothing for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ml.text.encoding.batches import pad_right
from ml.text.encoding.pooling import pool
from ml.text.encoding.source import ModelSource

# On a CPU short texts in one padded batch cost what the longest costs: batches are cut by length.
CPU_ROWS = 32


@dataclass(frozen=True)
class Backbone:
    """model: transformer with LoRA, gradients for the update alone. head: what wraps it for masked words, or
    None. pooling: mean, cls or last, as the encoder pools."""

    model: Any
    tokenizer: Any
    pooling: str
    device: torch.device
    max_tokens: int
    head: Any = None

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with markers, cut at max_tokens."""
        limit = min(self.max_tokens, self.tokenizer.model_max_length)
        found: list[list[int]] = self.tokenizer(
            list(texts), truncation=True, max_length=limit, return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]  # fmt: skip
        return found

    def vectors(self, tokens: Sequence[list[int]]) -> torch.Tensor:
        """(n, d) float32 unit rows in the order of `tokens`, with gradients where they are on."""
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        rows = len(order) if self.device.type == "cuda" else CPU_ROWS
        parts = [
            self._pooled([tokens[i] for i in order[first : first + rows]])
            for first in range(0, len(order), rows)
        ]
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.nn.functional.normalize(torch.cat(parts), dim=1)[back.to(self.device)]

    def _pooled(self, tokens: Sequence[list[int]]) -> torch.Tensor:
        ids, mask = self.padded(tokens)
        with self.autocast():
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        return pool(states, mask, self.pooling)

    def padded(self, tokens: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """ids and mask (n, longest), padded on the right, on the device."""
        ids, mask = pad_right(tokens, self.tokenizer.pad_token_id or 0)
        return ids.to(self.device), mask.to(self.device)

    def autocast(self) -> Any:
        """bf16 products on a GPU, plain fp32 on a CPU: many have no bf16 of their own."""
        return torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda")

    def learnable(self) -> Iterator[torch.nn.Parameter]:
        """The parameters that training changes."""
        whole = self.model if self.head is None else self.head
        return (p for p in whole.parameters() if p.requires_grad)

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of the low-rank update."""
        held = self.model.named_parameters()
        return {name: p.detach().clone() for name, p in held if "lora_" in name}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Undo `state`."""
        self.model.load_state_dict(state, strict=False)

    def save(self, folder: Path) -> None:
        """adapter_model.safetensors and adapter_config.json, as peft reads them."""
        self.model.save_pretrained(str(folder))
        # A model card that names the folder of the base model on this machine.
        (folder / "README.md").unlink(missing_ok=True)


def load_backbone(
    source: ModelSource, pooling: str, rank: int, max_tokens: int, device: torch.device, masked: bool
) -> Backbone:
    """The frozen model with a fresh update of `rank` on its attention and dense layers (B = 0: it says what
    the base says). `masked` also loads the head that predicts words; it learns, and is not kept."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.location, **source.load_arguments)
    arguments = {**source.load_arguments, "dtype": torch.float32}
    if masked and tokenizer.mask_token_id is None:
        raise ValueError(
            f"{source.name} has no mask token, so objective mlm cannot train it: "
            "set encoder.adaptation.objective to contrastive"
        )
    whole = (AutoModelForMaskedLM if masked else AutoModel).from_pretrained(source.location, **arguments)
    backbone = whole.base_model if masked else whole
    # The pooler feeds no vector of ours, and would only make the file larger.
    pooler = r".*pooler.*" if any("pooler" in name for name, _ in backbone.named_modules()) else None
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", exclude_modules=pooler)
    frozen = {id(p) for p in backbone.parameters()}
    with warnings.catch_warnings():
        # peft asks for a name that transformers has given up, of which a user of ours can do nothing.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        model = get_peft_model(backbone, config)
    for p in whole.parameters() if masked else ():
        if id(p) not in frozen and p.dim():
            p.requires_grad_(True)
    whole.to(device)
    return Backbone(model, tokenizer, pooling, device, max_tokens, whole if masked else None)
