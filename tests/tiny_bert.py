"""A BERT of random, seeded weights with a vocabulary of its own, made on the spot: small, and all real."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def save_tiny_bert(
    folder: Path, words: Iterable[str], width: int = 32, layers: int = 2, heads: int = 4, tokens: int = 32
) -> str:
    """Write the model and its tokenizer (a text of at most `tokens`) to `folder`; returns its name."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocabulary = [*SPECIAL, *words]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=tokens).save_pretrained(folder)
    torch.manual_seed(0)  # BertModel offers no generator; the test process owns its seed
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=width * 3 // 2, max_position_embeddings=tokens,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return str(folder)
