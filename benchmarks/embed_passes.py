"""What a pass over a catalogue costs when little or nothing is new, and the memory of a large first one.

    python benchmarks/embed_passes.py again --texts 100000
    python benchmarks/embed_passes.py memory --texts 1000000

`again` fills a store with random vectors for all texts but a few hundred, times the pass over these (the rate
of a first run), then a pass with nothing new and one with 1 % changed texts: the embedded model's true rate
without hours of a first run. `memory` embeds every text, with a model of the same width made here that has no
layers: tokenizer, batches, vectors and store are the real ones.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import hashlib
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from embed import LENGTHS, make_texts

from ml.text.encoding.embed import embed_missing
from ml.text.encoding.encoder import EncoderConfig, TextEncoder
from ml.text.encoding.store import SHARD_ROWS, EmbeddingStore


def numbered(n: int, seed: int = 0) -> list[str]:
    """`n` distinct short texts."""
    base = make_texts(min(n, 5000), LENGTHS["short"], seed)
    return [f"{base[i % len(base)]} {i} {seed}" for i in range(n)]


def hashes_of(texts: list[str]) -> list[str]:
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts]


def timed_pass(encoder: TextEncoder, folder: Path, texts: list[str]) -> tuple[float, int]:
    """Seconds and new texts of a pass, with a store that has read nothing yet, as a new process has."""
    hashes = hashes_of(texts)
    began = time.perf_counter()
    store = EmbeddingStore(folder, encoder.key, encoder.dimension)
    report = embed_missing(encoder, store, hashes, texts)
    return time.perf_counter() - began, report.new


def again(folder: Path, n: int, first: int) -> None:
    encoder = TextEncoder()
    encoder.encode(["warm up"])
    texts, rng = numbered(n), np.random.default_rng(0)
    store = EmbeddingStore(folder, encoder.key, encoder.dimension)
    known = hashes_of(texts[first:])
    for start in range(0, len(known), SHARD_ROWS):
        part = known[start : start + SHARD_ROWS]
        store.add(part, rng.normal(size=(len(part), encoder.dimension)))
    seconds, new = timed_pass(encoder, folder, texts)
    unchanged = min(timed_pass(encoder, folder, texts)[0] for _ in range(3))
    whole = unchanged + (seconds - unchanged) / new * n
    print(f"first run of {n:,} texts: {whole:,.0f} s, from the rate of {new:,}: {n / whole:,.0f} texts/s")
    print(f"nothing changed: {unchanged:.2f} s, {unchanged / whole:.2%} of the first run")
    changed = [*numbered(n // 100, seed=1), *texts[n // 100 :]]
    seconds, new = timed_pass(encoder, folder, changed)
    print(f"{new / n:.1%} changed: {seconds:.1f} s, {seconds / whole:.2%} of the first run")


def model_without_layers(folder: Path) -> str:
    """The embedded model's tokenizer and width, and random word vectors."""
    from transformers import AutoConfig, AutoModel

    source = Path(TextEncoder().source.location)
    config = AutoConfig.from_pretrained(source)
    config.num_hidden_layers = 0
    AutoModel.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(source / name, folder)
    return str(folder)


def memory(folder: Path, n: int) -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(EncoderConfig(model=model_without_layers(folder / "model"), precision="fp32"))
    encoder.encode(["warm up"])
    texts = numbered(n)
    hashes = hashes_of(texts)
    before = peak_mb()
    store = EmbeddingStore(folder, encoder.key, encoder.dimension)
    began = time.perf_counter()
    report = embed_missing(encoder, store, hashes, texts)
    vectors = report.new * encoder.dimension * 4 / 1e6
    print(
        f"{report.new:,} texts in {time.perf_counter() - began:,.0f} s; peak {peak_mb():,.0f} MB, of which "
        f"{before:,.0f} MB before it began (libraries, model, texts); "
        f"{vectors:,.0f} MB of vectors were stored"
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["again", "memory"])
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=2000, help="texts from which `again` takes the rate")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "again":
            again(Path(folder), arguments.texts, arguments.first)
        else:
            memory(Path(folder), arguments.texts)


if __name__ == "__main__":
    main()
