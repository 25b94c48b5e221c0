"""Encoders under contract: the embedded one and a tiny BERT with random weights, made here."""

from __future__ import annotations

import pytest
import torch

from ml.text.encoder import EncoderConfig, TextEncoder

WORDS = [
    "red",
    "green",
    "blue",
    "small",
    "large",
    "kettle",
    "pan",
    "knife",
    "tea",
    "rice",
    "the",
    "a",
    "of",
    "with",
    "and",
]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> str:
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_bert")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    torch.manual_seed(0)  # BertModel offers no generator; the test process owns its seed
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def embedded() -> TextEncoder:
    return TextEncoder(EncoderConfig(precision="fp32", device="cpu"))


@pytest.fixture(scope="session")
def tiny(tiny_bert) -> TextEncoder:
    return TextEncoder(EncoderConfig(model=tiny_bert, precision="fp32", device="cpu"))


@pytest.fixture(params=["embedded", "tiny"])
def encoder(request) -> TextEncoder:
    return request.getfixturevalue(request.param)
