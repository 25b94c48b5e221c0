"""A domain through the real encoder: what is told of texts that it cannot read, and of how far it is."""

import hashlib

import pyarrow as pa
import pytest

from ml.text.encoding.store import EmbeddingStore
from orchestration.embedding import Embedded, embed_domain, language_check
from orchestration.features import text_encoder
from orchestration.live import LiveProgress, listening, say
from orchestration.partitions import CONFIG

ENGLISH = [f"cast iron pan number {n}" for n in range(97)]


def documents(texts: list[str | None]) -> pa.Table:
    hashes = [None if text is None else hashlib.sha256(text.encode()).hexdigest() for text in texts]
    return pa.table({"document": pa.array(texts, pa.string()), "text_hash": pa.array(hashes, pa.string())})


@pytest.fixture(scope="module")
def encoder():
    return text_encoder(CONFIG)


@pytest.fixture
def store(tmp_path, encoder) -> EmbeddingStore:
    return EmbeddingStore(tmp_path, encoder.key, encoder.dimension)


def embed(encoder, store, texts: list[str | None]) -> Embedded:
    return embed_domain(encoder, store, "books", documents(texts), lambda line: None)


def test_one_foreign_text_is_left_out_and_the_domain_passes(encoder, store):
    done = embed(encoder, store, [*ENGLISH, *ENGLISH, "铸铁煎锅二十八厘米", None])
    assert (done.report.new, done.report.reused, done.report.unreadable) == (97, 97, 1)
    assert done.metadata(encoder)["unreadable_examples"] == ["铸铁煎锅二十八厘米"]
    check = language_check({"books": done})
    assert check.passed
    assert check.metadata["unreadable/books"].value == 1


def test_over_one_percent_of_foreign_texts_fails_with_examples_and_advice(encoder, store):
    done = embed(encoder, store, [*ENGLISH, "铸铁煎锅二十八厘米", "红色电热水壶"])
    assert len(store) == 97
    check = language_check({"tools": embed(encoder, store, ENGLISH), "books": done})
    assert not check.passed
    assert check.description.startswith("books: 2.0% of the texts are mostly unknown")
    assert "红色电热水壶" in check.description
    assert "Set encoder.model" in check.description
    assert "tools" not in check.description


def test_a_foreign_domain_is_not_embedded_at_all(encoder, store):
    done = embed(encoder, store, ["铸铁煎锅二十八厘米", "红色电热水壶", "cast iron pan", None])
    assert (done.unread, len(store), done.report.without_text) == (True, 0, 4)
    check = language_check({"books": done})
    assert not check.passed
    assert "none of its items has a vector" in check.description


@pytest.mark.parametrize("texts", [[], [None, None]])
def test_a_domain_without_text_passes(encoder, store, texts):
    done = embed(encoder, store, texts)
    assert done.report.without_text == len(texts)
    assert language_check({"books": done}).passed


def test_progress_is_said_live_and_logged_in_tenths():
    said: list[str] = []
    logged: list[str] = []
    with listening(said.append):
        progress = LiveProgress("books", logged.append)
        for done in range(1, 101):
            progress(done, 100)
    say("nobody listens any more")
    assert len(logged) == 10
    assert logged[4].startswith("books: 50 of 100 texts embedded, ")
    assert logged[4].endswith(" texts/s")
    assert said[-1].startswith("books ━━━━━━━━━━━━━━━━━━━━ 100 of 100 texts, ")
    assert len(said) < 100  # a terminal is not written to a thousand times a second
