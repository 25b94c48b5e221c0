"""One vector from a text's states, and which way a model's own files ask for."""

import json

import pytest
import torch

from ml.text.encoding.encoder import EncoderConfig, TextEncoder
from ml.text.encoding.pooling import choose_pooling, pool
from ml.text.encoding.source import EncoderError, ModelSource

STATES = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]], [[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", [[2.0, 4.0], [2.0, 2.0]]),
        ("cls", [[1.0, 2.0], [1.0, 0.0]]),
        ("last", [[3.0, 6.0], [5.0, 5.0]]),
    ],
)
def test_worked_by_hand(pooling, expected):
    assert pool(STATES, MASK, pooling).tolist() == expected


def model_of(folder, *, config=None, modules=None, pooling=None) -> ModelSource:
    (folder / "config.json").write_text(json.dumps(config or {"model_type": "bert"}))
    if modules:
        parts = [{"idx": i, "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
        (folder / "modules.json").write_text(json.dumps(parts))
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return ModelSource("model", str(folder), None, "0" * 64, local=True)


OLD, NEW = "sentence_transformers.models.", "sentence_transformers.sentence_transformer.modules."
PIPELINE = [("", OLD + "Transformer"), ("1_Pooling", OLD + "Pooling"), ("2_Normalize", OLD + "Normalize")]


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"embedding_dimension": 8, "pooling_mode": "lasttoken", "include_prompt": True}, "last"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
    ],
)
def test_auto_is_what_the_models_files_say(tmp_path, pooling, expected):
    assert choose_pooling("auto", model_of(tmp_path, modules=PIPELINE, pooling=pooling)) == expected


def test_the_modules_of_a_newer_writer_are_known(tmp_path):
    modules = [("", NEW + "transformer.Transformer"), ("1_Pooling", NEW + "pooling.Pooling")]
    assert (
        choose_pooling("auto", model_of(tmp_path, modules=modules, pooling={"pooling_mode": "cls"})) == "cls"
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "bert"}, "mean"),
        ({"model_type": "xlm-roberta"}, "mean"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "mean"),
        ({"model_type": "gpt2"}, "last"),
        ({"model_type": "qwen3"}, "last"),
        ({"model_type": "bert", "is_decoder": True}, "last"),
    ],
)
def test_without_such_files_the_architecture_decides(tmp_path, config, expected):
    assert choose_pooling("auto", model_of(tmp_path, config=config)) == expected


@pytest.mark.parametrize(
    ("modules", "pooling", "named"),
    [
        (PIPELINE, {"pooling_mode_max_tokens": True}, "max"),
        (PIPELINE, {"pooling_mode": ["cls", "mean"]}, r"cls \+ mean"),
        ([*PIPELINE, ("2_Dense", OLD + "Dense")], {"pooling_mode": "mean"}, "Dense"),
    ],
)
def test_what_is_not_built_is_refused_unless_a_pooling_is_named(tmp_path, modules, pooling, named):
    source = model_of(tmp_path, modules=modules, pooling=pooling)
    with pytest.raises(EncoderError, match=named):
        choose_pooling("auto", source)
    assert choose_pooling("cls", source) == "cls"


def test_the_key_names_the_pooling_that_auto_found(tiny_bert, tiny_gpt):
    assert "-mean-" in TextEncoder(EncoderConfig()).key
    assert "-mean-" in TextEncoder(EncoderConfig(model=tiny_bert)).key
    assert "-last-" in TextEncoder(EncoderConfig(model=tiny_gpt)).key
