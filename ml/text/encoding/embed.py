"""Embed what is new: the one pass between a catalogue's texts and the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.text.encoding.encoder import Progress, TextEncoder
from ml.text.encoding.store import EmbeddingStore

# Seconds of work for short texts, by device: what a killed run loses at most, and what is held in memory.
CHUNK_TEXTS = {"cpu": 4096, "cuda": 65_536}
# English through an English encoder: below 0.01 of its tokens are unknown. Chinese through it: 0.78.
UNKNOWN_LIMIT = 0.3
EXAMPLES = 5


@dataclass(frozen=True)
class EmbedReport:
    """What became of the items: new + reused + unreadable + without_text is their number.

    new: texts embedded now. reused: items whose vector existed or that share a text. unreadable: items whose
    text the encoder mostly does not know; they get no vector. examples: a few such texts.
    """

    new: int
    reused: int
    without_text: int
    texts_per_second: float
    unreadable: int = 0
    examples: tuple[str, ...] = ()


def embed_missing(
    encoder: TextEncoder,
    store: EmbeddingStore,
    hashes: Sequence[str | None],
    texts: Sequence[str | None],
    on_progress: Progress | None = None,
    chunk: int | None = None,
    unknown_limit: float | None = UNKNOWN_LIMIT,
) -> EmbedReport:
    """Embed the texts whose hash the store lacks, `chunk` at a time: a killed run keeps its finished chunks.

    hashes, texts: one per item, both None where the item has no text. A text more than `unknown_limit` of
    whose tokens the encoder does not know is left out: its vector would say nothing of it. Such texts are
    read again by every pass. `on_progress(done, total)` counts new texts. Raises ValueError where lengths
    differ, `store` belongs to another encoder, or a text is blank.
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
    chunk = chunk or CHUNK_TEXTS[encoder.device.type]
    unread: list[str] = []
    started = time.perf_counter()
    for start in range(0, len(missing), chunk):
        part = missing[start : start + chunk]

        def report(done: int, _: int, before: int = start) -> None:
            if on_progress:
                on_progress(before + done, len(missing))

        vectors = encoder.encode([text_of[key] for key in part], report, unknown_limit=unknown_limit)
        read = np.any(vectors != 0, axis=1)
        unread += [key for key, known in zip(part, read, strict=True) if not known]
        store.add([key for key, known in zip(part, read, strict=True) if known], vectors[read])
    seconds = time.perf_counter() - started
    unread_texts = set(unread)
    unreadable = sum(text_hash in unread_texts for text_hash in hashes)
    without_text = sum(text_hash is None for text_hash in hashes)
    new = len(missing) - len(unread)
    return EmbedReport(
        new=new,
        reused=len(hashes) - without_text - unreadable - new,
        without_text=without_text,
        texts_per_second=new / seconds if new else 0.0,
        unreadable=unreadable,
        examples=tuple(text_of[key] for key in unread[:EXAMPLES]),
    )
