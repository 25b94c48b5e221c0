"""The contract of every encoder, against transformers used plainly: one text at a time, fp32, no batching."""

import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers

from ml.text.encoding.batches import pad_right, token_batches
from ml.text.encoding.encoder import EncoderConfig, TextEncoder, pick_precision
from ml.text.encoding.source import EncoderError, folder_digest

TEXTS = [
    "red kettle",
    "a large pan with the small green knife and the tea of rice",
    "Blue!",
    "rice " * 60,
    "the the the",
    "unheard gadget, 12 cm",
]


def plain_vectors(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(encoder.source.location, local_files_only=True)
    model = AutoModel.from_pretrained(
        encoder.source.location, local_files_only=True, dtype=torch.float32
    ).eval()
    limit = min(256, tokenizer.model_max_length)
    rows = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**inputs).last_hidden_state[0].mean(dim=0).numpy())
    return np.stack([row / np.linalg.norm(row) for row in rows])


def test_equals_the_model_applied_to_one_text_at_a_time(encoder):
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), encoder.dimension)
    cosine = (vectors * plain_vectors(encoder, TEXTS)).sum(axis=1)
    assert cosine.min() >= 0.999


def test_rows_have_unit_length(encoder):
    assert np.linalg.norm(encoder.encode(TEXTS), axis=1) == pytest.approx(1, abs=1e-5)


def test_results_follow_the_order_of_the_input(encoder):
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = encoder.encode([TEXTS[i] for i in order])
    np.testing.assert_allclose(shuffled, encoder.encode(TEXTS)[order], atol=1e-5)


@pytest.mark.parametrize("budget", [1, 40, 100_000])
def test_batch_size_does_not_change_the_vectors(encoder, budget):
    other = TextEncoder(
        EncoderConfig(model=encoder.source.location, precision="fp32", device="cpu", token_budget=budget)
    )
    np.testing.assert_allclose(other.encode(TEXTS), encoder.encode(TEXTS), atol=1e-5)


def test_the_same_call_twice_gives_the_same_bits(encoder):
    assert np.array_equal(encoder.encode(TEXTS), encoder.encode(TEXTS))


def test_no_text_gives_no_rows(encoder):
    assert encoder.encode([]).shape == (0, encoder.dimension)


@pytest.mark.parametrize("blank", ["", "   ", "\n\t"])
def test_a_blank_text_is_refused_with_its_position(encoder, blank):
    with pytest.raises(ValueError, match=r"1 of 2 texts are blank, the first at 1"):
        encoder.encode(["red", blank])


def test_progress_ends_at_the_total_and_never_goes_back(encoder):
    calls: list[tuple[int, int]] = []
    encoder.encode(TEXTS, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(TEXTS), len(TEXTS))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_right_padding_worked_by_hand():
    ids, mask = pad_right([[5, 6, 7], [8]], fill=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_text_beyond_max_tokens_does_not_count(tiny_bert):
    short = TextEncoder(EncoderConfig(model=tiny_bert, max_tokens=4, precision="fp32", device="cpu"))
    a, b = short.encode(["red kettle", "red kettle of rice and tea"])
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.fixture
def two_kinds(tiny_bert) -> TextEncoder:
    return TextEncoder(
        EncoderConfig(
            model=tiny_bert, document_prefix="the ", query_prefix="a ", precision="fp32", device="cpu"
        )
    )


def test_prefixes_stand_before_the_texts_of_their_kind(two_kinds, tiny):
    expected = tiny.encode(["the red kettle", "a red kettle"])
    np.testing.assert_allclose(two_kinds.encode(["red kettle"])[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(two_kinds.encode(["red kettle"], kind="query")[0], expected[1], atol=1e-6)


def test_a_decoder_reads_its_last_token(tiny_gpt):
    from transformers import AutoModel, AutoTokenizer

    encoder = TextEncoder(EncoderConfig(model=tiny_gpt, precision="fp32", device="cpu"))
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_gpt), AutoModel.from_pretrained(tiny_gpt).eval()
    assert tokenizer.padding_side == "left"  # so that padding wrongly would show
    vectors = encoder.encode(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        inputs = tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
        with torch.no_grad():
            state = model(**inputs).last_hidden_state[0, -1]
        np.testing.assert_allclose(vector, state / state.norm(), atol=1e-5)


def test_a_text_without_tokens_still_gets_a_direction(tiny_gpt):
    encoder = TextEncoder(EncoderConfig(model=tiny_gpt, precision="fp32", device="cpu"))
    encoder._tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split("?", "removed")
    assert encoder._tokenize(["?"], markers=True) == [[]]
    assert np.linalg.norm(encoder.encode(["?"]), axis=1) == pytest.approx(1, abs=1e-5)


def test_an_adapter_is_merged_into_the_weights(tiny_bert, tiny, tiny_adapter):
    from peft import PeftModel
    from transformers import AutoModel

    adapted = TextEncoder(
        EncoderConfig(model=tiny_bert, adapter=tiny_adapter, precision="fp32", device="cpu")
    )
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_bert), tiny_adapter).eval()
    inputs = tiny._tokenizer("red kettle", return_tensors="pt")
    with torch.no_grad():
        state = model(**inputs).last_hidden_state[0].mean(dim=0)
    vector = adapted.encode(["red kettle"])[0]
    np.testing.assert_allclose(vector, state / state.norm(), atol=1e-5)
    assert vector @ tiny.encode(["red kettle"])[0] < 0.999  # the adapter does something


def test_a_folder_without_an_adapter_says_what_to_do(tiny_bert, tmp_path):
    with pytest.raises(EncoderError, match="materialise adapted_encoder again"):
        _ = TextEncoder(EncoderConfig(model=tiny_bert, adapter=tmp_path)).key


def test_an_adapter_of_another_model_is_refused(tiny_gpt, tiny_adapter):
    with pytest.raises(EncoderError, match=r"does not fit encoder\.model"):
        TextEncoder(EncoderConfig(model=tiny_gpt, adapter=tiny_adapter, precision="fp32")).encode(["red"])


def workers(tiny_bert: str, count: int) -> TextEncoder:
    return TextEncoder(
        EncoderConfig(model=tiny_bert, precision="fp32", device="cpu", token_budget=40, workers=count)
    )


def test_the_number_of_workers_does_not_change_one_bit(tiny_bert):
    texts = [" ".join(["rice", "tea", "pan"][n % 3] for _ in range(n % 9 + 1)) for n in range(200)]
    assert np.array_equal(workers(tiny_bert, 1).encode(texts), workers(tiny_bert, 3).encode(texts))


def test_torch_keeps_its_threads_here_and_in_new_threads(tiny_bert):
    def seen() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        workers(tiny_bert, 2).encode(TEXTS)
        assert (torch.get_num_threads(), seen()) == (3, 3)
    finally:
        torch.set_num_threads(before)


def test_a_failing_callback_ends_the_workers(tiny_bert):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workers(tiny_bert, 2).encode(["red kettle"] * 500, stop)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("embed")]


def test_a_text_of_which_the_tokenizer_leaves_nothing_is_left_at_zero(tiny):
    assert tiny.encode(["red", "\u200b"], unknown_limit=0.5).any(axis=1).tolist() == [True, False]


@pytest.mark.parametrize("name", ["tiny", "two_kinds"])
def test_a_text_of_unknown_tokens_is_left_at_zero(name, request):
    encoder = request.getfixturevalue(name)
    texts = ["red gadget", "gadget gizmo pan", "red pan"]  # a half, two thirds, none
    calls: list[tuple[int, int]] = []
    vectors = encoder.encode(texts, lambda *call: calls.append(call), unknown_limit=0.5)
    assert vectors.any(axis=1).tolist() == [True, False, True]
    assert calls[-1] == (3, 3)
    np.testing.assert_allclose(vectors[[0, 2]], encoder.encode([texts[0], texts[2]]), atol=1e-6)


def test_cls_pooling_takes_the_first_state(tiny_bert, tiny):
    cls = TextEncoder(EncoderConfig(model=tiny_bert, pooling="cls", precision="fp32", device="cpu"))
    inputs = tiny._tokenizer("red kettle", return_tensors="pt")
    with torch.no_grad():
        state = tiny._model(**inputs).last_hidden_state[0, 0]
    np.testing.assert_allclose(cls.encode(["red kettle"])[0], state / state.norm(), atol=1e-5)


def test_bf16_stays_close_to_fp32(tiny_bert, tiny):
    narrow = TextEncoder(EncoderConfig(model=tiny_bert, precision="bf16", device="cpu"))
    assert (narrow.encode(TEXTS) * tiny.encode(TEXTS)).sum(axis=1).min() > 0.99


def test_the_embedded_encoder_opens_no_connection(monkeypatch):
    def refuse(*_):
        raise AssertionError("the embedded encoder reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert TextEncoder(EncoderConfig(precision="fp32")).encode(["red kettle"]).shape == (1, 384)


def test_key_tells_apart_whatever_changes_a_vector(tiny_bert, tiny_adapter):
    variants = [
        EncoderConfig(precision="fp32"),
        EncoderConfig(precision="bf16"),
        EncoderConfig(precision="fp32", max_tokens=128),
        EncoderConfig(precision="fp32", pooling="cls"),
        EncoderConfig(precision="fp32", document_prefix="passage: "),
        EncoderConfig(model=tiny_bert, precision="fp32"),
        EncoderConfig(model=tiny_bert, precision="fp32", adapter=tiny_adapter),
    ]
    keys = [TextEncoder(variant).key for variant in variants]
    assert len(set(keys)) == len(keys)
    same = EncoderConfig(precision="fp32", token_budget=7, workers=3, query_prefix="query: ", pooling="mean")
    assert TextEncoder(same).key == keys[0]
    assert keys[0].startswith("all-minilm-l6-v2-")
    assert keys[0].endswith("-mean-fp32-256")


def test_the_digest_of_a_folder_follows_its_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("one")
    before = folder_digest(tmp_path)
    (tmp_path / "README.md").write_text("two")
    assert folder_digest(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"weightz")
    assert folder_digest(tmp_path) != before


def test_the_english_encoder_does_not_know_chinese(embedded):
    assert embedded.unknown_share(["A cast iron frying pan, 28 cm", "Café crème brûlée"]) < 0.05
    assert embedded.unknown_share(["铸铁煎锅二十八厘米", "红色电热水壶"]) > 0.3
    assert embedded.unknown_share([]) == 0.0


def test_unknown_share_counts_tokens(tiny):
    assert tiny.unknown_share(["red pan", "gadget knife"]) == 0.25


@pytest.mark.parametrize("model", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_a_missing_folder_says_what_was_expected(model):
    with pytest.raises(EncoderError, match="expected a folder or a Hugging Face id"):
        TextEncoder(EncoderConfig(model=model))


@pytest.mark.slow
def test_a_model_that_is_not_cached_says_what_to_do(tmp_path):
    program = (
        "from ml.text.encoding.encoder import *\n"
        "try: TextEncoder(EncoderConfig(model='nobody/no-such-model', revision='abc'))\n"
        "except EncoderError as error: print(error)"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    out = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "hf download nobody/no-such-model" in out.stdout
    assert "revision 'abc'" in out.stdout


@pytest.mark.slow
def test_offline_a_partly_cached_model_is_not_given_a_guessed_pooling(tmp_path):
    commit, program = "a" * 40, (
        "from ml.text.encoding.encoder import *\n"
        "for name in ('me/part', 'me/whole', 'me/known'):\n"
        "    try: print(TextEncoder(EncoderConfig(model=name)).pooling)\n"
        "    except EncoderError as error: print(error)"
    )  # fmt: skip
    for name in ("part", "whole", "known"):
        folder = tmp_path / "hub" / f"models--me--{name}"
        snapshot = folder / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(commit)
        (snapshot / "config.json").write_text('{"model_type": "bert"}')
        if name == "whole":
            (snapshot / ".gitattributes").touch()
        if name == "known":  # the hub was asked before, and has none
            (folder / ".no_exist" / commit).mkdir(parents=True)
            (folder / ".no_exist" / commit / "modules.json").touch()
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    out = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    part, *others = out.stdout.splitlines()
    assert "hf download me/part" in part
    assert "set encoder.pooling" in part
    assert others == ["mean", "mean"]


def test_a_torn_weight_file_names_the_model(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "torn")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EncoderError, match=r"torn.*cannot be loaded"):
        TextEncoder(EncoderConfig(model=str(folder))).encode(["red"])


@pytest.mark.parametrize(
    "wrong",
    [{"precision": "int8"}, {"pooling": "max"}, {"max_tokens": 2}, {"token_budget": 0}, {"workers": 0}],
)
def test_a_wrong_setting_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        EncoderConfig(**wrong)


def test_auto_precision_follows_the_instructions_the_cpu_has():
    capabilities = torch.cpu.get_capabilities()
    native = bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    assert pick_precision("auto", torch.device("cpu")) == ("bf16" if native else "fp32")
    assert pick_precision("fp16", torch.device("cpu")) == "fp16"


def limit_memory(encoder: TextEncoder, texts: int):
    """Fails as a GPU does for batches above `texts` rows: the CPU allocator cannot be made to."""

    def hook(_module, _args, kwargs):
        if len(kwargs["input_ids"]) > texts:
            raise torch.OutOfMemoryError("CUDA out of memory")

    return encoder._model.register_forward_pre_hook(hook, with_kwargs=True)


def test_out_of_memory_halves_the_batch(tiny_bert, tiny):
    small = TextEncoder(EncoderConfig(model=tiny_bert, precision="fp32", device="cpu", token_budget=10_000))
    with limit_memory(small, 2):
        vectors = small.encode(TEXTS)
    np.testing.assert_allclose(vectors, tiny.encode(TEXTS), atol=1e-5)
    assert small._replicas.replicas[0].token_budget <= 2 * 32


def test_one_text_too_large_for_the_memory_says_what_to_do(tiny_bert):
    small = TextEncoder(EncoderConfig(model=tiny_bert, precision="fp32", device="cpu"))
    with limit_memory(small, 0), pytest.raises(EncoderError, match=r"lower encoder\.max_tokens"):
        small.encode(["red kettle"])


def test_token_batches_worked_by_hand():
    # 9 alone exceeds the budget of 8; then 4 + 4; then 3, 1 padded to 3 + 3.
    assert list(token_batches([4, 1, 9, 4, 3], 8)) == [[2], [0, 3], [4, 1]]
    assert list(token_batches([], 8)) == []
