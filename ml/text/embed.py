"""Embed what is new: the one pass between a catalogue's texts and the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ml.text.encoder import Progress, TextEncoder
from ml.text.store import EmbeddingStore

# Half a minute of work on two cores for short texts: what a killed run loses at most.
CHUNK_TEXTS = 4096


@dataclass(frozen=True)
class EmbedReport:
    """new: texts embedded now. reused: items whose vector existed or that share a text. Sum = items given."""

    new: int
    reused: int
    without_text: int
    texts_per_second: float


def embed_missing(
    encoder: TextEncoder,
    store: EmbeddingStore,
    hashes: Sequence[str | None],
    texts: Sequence[str | None],
    on_progress: Progress | None = None,
    chunk: int = CHUNK_TEXTS,
) -> EmbedReport:
    """Embed the texts whose hash the store lacks, `chunk` at a time: a killed run keeps its finished chunks.

    hashes, texts: one per item, both None where the item has no text. `on_progress(done, total)` counts new
    texts. Raises ValueError where lengths differ, `store` belongs to another encoder, or a text is blank.
    """
    if len(hashes) != len(texts):
        raise ValueError(f"{len(hashes)} hashes and {len(texts)} texts: expected one of each per item")
    if store.key != encoder.key:
        raise ValueError(f"the store holds vectors of {store.key}, the encoder is {encoder.key}")
    text_of = {
        text_hash: text or "" for text_hash, text in zip(hashes, texts, strict=True) if text_hash is not None
    }
    # By length over the whole catalogue, so that a chunk's batches are even too.
    missing = sorted(store.missing(hashes), key=lambda text_hash: (-len(text_of[text_hash]), text_hash))
    started = time.perf_counter()
    for start in range(0, len(missing), chunk):
        part = missing[start : start + chunk]

        def report(done: int, _: int, before: int = start) -> None:
            if on_progress:
                on_progress(before + done, len(missing))

        store.add(part, encoder.encode([text_of[text_hash] for text_hash in part], report))
    seconds = time.perf_counter() - started
    without_text = sum(text_hash is None for text_hash in hashes)
    return EmbedReport(
        new=len(missing),
        reused=len(hashes) - without_text - len(missing),
        without_text=without_text,
        texts_per_second=len(missing) / seconds if missing else 0.0,
    )
