"""Encoders under contract: the embedded one and a tiny BERT with random weights, made here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_bert import save_tiny_bert

from ml.text.encoding.encoder import EncoderConfig, TextEncoder

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
    return save_tiny_bert(tmp_path_factory.mktemp("tiny_bert"), WORDS)


@pytest.fixture(scope="session")
def tiny_gpt(tmp_path_factory) -> str:
    """A decoder whose tokenizer pads on the left and has no marker tokens, as those of many decoders."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_gpt")
    vocabulary = {word: i for i, word in enumerate(["<end>", "<unk>", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<end>", pad_token="<end>", unk_token="<unk>",
        padding_side="left", model_max_length=32,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    GPT2Model(
        GPT2Config(vocab_size=len(vocabulary), n_embd=32, n_layer=2, n_head=4, n_positions=32)
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_adapter(tiny_bert, tmp_path_factory) -> Path:
    """A LoRA adapter with random weights for `tiny_bert`: a fresh one changes nothing."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    torch.manual_seed(1)
    model = get_peft_model(
        AutoModel.from_pretrained(tiny_bert),
        LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False),
    )
    folder = tmp_path_factory.mktemp("tiny_adapter")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def embedded() -> TextEncoder:
    return TextEncoder(EncoderConfig(precision="fp32", device="cpu"))


@pytest.fixture(scope="session")
def tiny(tiny_bert) -> TextEncoder:
    return TextEncoder(EncoderConfig(model=tiny_bert, precision="fp32", device="cpu"))


@pytest.fixture(params=["embedded", "tiny"])
def encoder(request) -> TextEncoder:
    return request.getfixturevalue(request.param)
