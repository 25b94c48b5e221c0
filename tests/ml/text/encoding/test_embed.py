"""The pass over a catalogue: only what is new costs work, and a killed run keeps its finished chunks."""

import hashlib
import subprocess
import sys
import time

import numpy as np
import pytest

from ml.text.encoding.embed import EmbedReport, embed_missing
from ml.text.encoding.encoder import EncoderConfig, TextEncoder
from ml.text.encoding.store import EmbeddingStore


def hash_of(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def store(tmp_path, tiny) -> EmbeddingStore:
    return EmbeddingStore(tmp_path, tiny.key, tiny.dimension)


def counts(report: EmbedReport) -> tuple[int, int, int]:
    return report.new, report.reused, report.without_text


def test_each_distinct_text_is_embedded_once(tiny, store):
    texts = ["red kettle", None, "blue pan", "red kettle"]
    hashes = [hash_of(text) for text in texts]
    assert counts(embed_missing(tiny, store, hashes, texts)) == (2, 1, 1)
    again = embed_missing(tiny, store, hashes, texts)
    assert counts(again) == (0, 3, 1)
    assert again.texts_per_second == 0
    expected = tiny.encode(["red kettle", "blue pan"])
    np.testing.assert_allclose(store.matrix(hashes)[[0, 2, 3]], expected[[0, 1, 0]], atol=1e-5)
    assert not store.matrix(hashes)[1].any()


def test_chunks_do_not_change_the_vectors(tiny, store, tmp_path):
    texts = [" ".join(["rice"] * (n % 7 + 1)) + " tea" * (n // 7) for n in range(21)]
    hashes = [hash_of(text) for text in texts]
    progress: list[tuple[int, int]] = []
    embed_missing(tiny, store, hashes, texts, lambda *call: progress.append(call), chunk=4)
    np.testing.assert_allclose(store.matrix(hashes), tiny.encode(texts), atol=1e-5)
    assert progress[-1] == (21, 21)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    assert len(list(store.folder.glob("*.parquet"))) == 6


def test_texts_the_encoder_cannot_read_are_counted_and_left_out(tiny, store):
    texts = ["red kettle", "gizmo gadget", None, "gizmo gadget", "gizmo red pan", "blue pan"]
    hashes = [hash_of(text) for text in texts]
    for new, reused in ((3, 0), (0, 3)):  # one in three unknown tokens is more than the limit below
        report = embed_missing(tiny, store, hashes, texts, unknown_limit=0.34)
        assert counts(report) == (new, reused, 1)
        assert (report.unreadable, report.examples) == (2, ("gizmo gadget",))
    assert store.missing(hashes) == [hash_of("gizmo gadget")]
    report = embed_missing(tiny, EmbeddingStore(store.folder, tiny.key, 32), hashes, texts, unknown_limit=0.3)
    assert counts(report) == (2, 0, 1)
    assert report.unreadable == 3


@pytest.mark.parametrize("texts", [[], [None, None]])
def test_a_catalogue_without_text_works(tiny, store, texts):
    assert counts(embed_missing(tiny, store, [None] * len(texts), texts)) == (0, 0, len(texts))


def test_another_encoders_store_is_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match="the store holds vectors of other"):
        embed_missing(tiny, EmbeddingStore(tmp_path, "other", tiny.dimension), [], [])


def test_hashes_and_texts_must_pair(tiny, store):
    with pytest.raises(ValueError, match="1 hashes and 2 texts"):
        embed_missing(tiny, store, ["a"], ["a", "b"])


PROGRAM = """
import sys
from pathlib import Path
from ml.text.encoding.embed import embed_missing
from ml.text.encoding.encoder import EncoderConfig, TextEncoder
from ml.text.encoding.store import EmbeddingStore
encoder = TextEncoder(EncoderConfig(model=sys.argv[1], precision="fp32", device="cpu"))
store = EmbeddingStore(Path(sys.argv[2]), encoder.key, encoder.dimension)
texts = [f"rice {n}" for n in range(1_000_000)]
embed_missing(encoder, store, [f"{n:064}" for n in range(1_000_000)], texts, chunk=16, unknown_limit=None)
"""


@pytest.mark.slow
def test_a_killed_run_keeps_its_finished_chunks(tiny_bert, tmp_path):
    encoder = TextEncoder(EncoderConfig(model=tiny_bert, precision="fp32", device="cpu"))
    store = EmbeddingStore(tmp_path, encoder.key, encoder.dimension)
    run = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, tiny_bert, str(tmp_path)], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 300
        while len(store) < 64:
            assert run.poll() is None, "the run ended before it was killed"
            assert time.monotonic() < deadline, "no chunk was finished"
            time.sleep(0.05)
    finally:
        run.kill()
        run.wait()
    kept = len(store)
    assert kept >= 64
    assert kept % 16 == 0
    hashes = [f"{n:064}" for n in range(1_000_000)]
    done = sorted(set(hashes) - set(store.missing(hashes)))
    assert len(done) == kept
    expected = encoder.encode([f"rice {int(text_hash)}" for text_hash in done])
    np.testing.assert_allclose(store.matrix(done), expected, atol=1e-5)
