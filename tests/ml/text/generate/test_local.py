"""A causal model on this machine: a tiny GPT-2 whose weights are written by hand, so that it says one thing.

Its blocks are zero, so the next word depends on the last one only: a table of which word follows which.
"""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch

from ml.text.generate import DESCRIBE_ITEM, AnswerCache, Limits, Session, write_texts
from ml.text.generate.contract import ServiceRefusedError, WrongAnswerError
from ml.text.generate.local import LocalModel

pytestmark = pytest.mark.slow  # the import of what transformers generates with

SENTENCE = ["A", "sharp", "knife", "for", "bread", "and", "cheese."]
# From the answer's opening, which ends with `"`, through the sentence to its end.
CHAIN = ['"', *SENTENCE, '"}', "</s>"]
VOCABULARY = ["<pad>", "<unk>", *dict.fromkeys([*CHAIN, "never"])]
TEMPLATE = "{% for m in messages %}{{ m.role }} : {{ m.content }} </s> {% endfor %}"
ONE_MESSAGE = "{% if messages|length > 1 %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE


def build(folder, follows: dict[str, str], template: str | None = None) -> str:
    """Save a model that says after each word the one that follows it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    ids = {word: n for n, word in enumerate(VOCABULARY)}
    words = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )
    tokenizer.chat_template = template
    size = len(ids)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=size, n_positions=512, n_embd=size, n_layer=1, n_head=1, tie_word_embeddings=False,
            bos_token_id=ids["</s>"], eos_token_id=ids["</s>"],
        )
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.ln_f.weight.fill_(1)
        model.transformer.wte.weight.copy_(torch.eye(size))
        for word, after in follows.items():
            model.lm_head.weight[ids[after], ids[word]] = 1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def speaks(tmp_path_factory) -> str:
    follows = dict(pairwise(CHAIN))
    return build(tmp_path_factory.mktemp("speaks"), follows)


@pytest.mark.parametrize("template", [None, TEMPLATE, ONE_MESSAGE])
def test_the_answer_is_begun_for_the_model(tmp_path, template):
    folder = build(tmp_path, dict(pairwise(CHAIN)), template)
    model = LocalModel(folder, max_tokens=20, device="cpu")
    answer = model.complete(DESCRIBE_ITEM.prompt({"text": "knife"}))
    assert json.loads(answer.text) == {"description": " ".join(SENTENCE) + " "}
    assert DESCRIBE_ITEM.read(answer.text) == " ".join(SENTENCE)
    assert answer.tokens > len(SENTENCE)


def test_through_cache_and_budget_as_a_service(speaks, tmp_path):
    model, cache = LocalModel(speaks, max_tokens=20, device="cpu"), AnswerCache(tmp_path / "answers.sqlite")
    items = [{"text": "knife"}, {"text": "bread knife"}]
    session = Session(Limits(requests=1))
    assert write_texts(model, DESCRIBE_ITEM, items, cache, session).texts == [" ".join(SENTENCE), None]
    again = LocalModel(speaks, max_tokens=20, device="cpu")
    result = write_texts(again, DESCRIBE_ITEM, items, cache, Session())
    assert (result.texts, result.cached, result.new) == ([" ".join(SENTENCE)] * 2, 1, 1)


def test_a_model_that_never_ends_its_string_writes_nothing(tmp_path):
    model = LocalModel(build(tmp_path, {'"': "never", "never": "never"}), max_tokens=20, device="cpu")
    result = write_texts(
        model, DESCRIBE_ITEM, [{"text": "knife"}], AnswerCache(tmp_path / "a"), Session(Limits(retries=1))
    )
    assert (result.texts, result.given_up) == ([None], {"wrong answer": 1})
    assert result.requests == 2


def test_no_room_for_an_answer(speaks):
    with pytest.raises(WrongAnswerError, match="of 512"):
        LocalModel(speaks, max_tokens=500).complete(DESCRIBE_ITEM.prompt({"text": "knife"}))


def test_other_weights_are_another_model(speaks, tmp_path):
    other = LocalModel(build(tmp_path, {'"': "never"}))
    assert other.identity != LocalModel(speaks).identity
    assert LocalModel(speaks).identity == LocalModel(speaks).identity
    assert LocalModel(speaks, max_tokens=9).identity != LocalModel(speaks).identity


@pytest.mark.parametrize("files", [{}, {"config.json": "{}"}])
def test_a_folder_without_a_model_is_said(tmp_path, files):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ServiceRefusedError, match=r"generator\.model"):
        LocalModel(str(tmp_path)).complete(DESCRIBE_ITEM.prompt({"text": "knife"}))


def test_an_id_that_is_not_at_hand_is_said(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ServiceRefusedError, match="HF_HUB_OFFLINE=0"):
        _ = LocalModel("nobody/has-this-model").identity
