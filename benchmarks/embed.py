"""Embedding speed: our encoder beside sentence-transformers, paired in one process on texts made here.

Each round runs every contender on the same texts in turn, so that a noisy machine slows all alike; a ratio is
the median over rounds, in wall and in CPU time. Our workers use cores that the peer leaves idle, so the wall
ratio is the larger one. The minimum cosine says whether the speed was bought with other vectors.

    python benchmarks/embed.py --texts 2000 --rounds 5
    python benchmarks/embed.py --texts 200000 --rounds 3 --lengths short      # on a GPU

On a GPU it also says what part of the chip's bf16 matrix rate (measured here, large square products) the
model's own multiplications reach, with and without the tokenizer.
"""

from __future__ import annotations

import os

# Before torch loads its threads: spinning ones collapse throughput when another process wants the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from ml.text.encoding.encoder import EncoderConfig, TextEncoder

LENGTHS = {"short": (4, 16), "long": (110, 220), "mixed": (4, 220)}  # words; about 12, 190 and 60 tokens
LONG_SHARE = {"short": 1, "long": 10, "mixed": 4}  # so that every kind takes about as long
WORDS = "cast iron pan with lid for green tea leaves shears steel handle novel about sisters jazz record"


def make_texts(n: int, words: tuple[int, int], seed: int) -> list[str]:
    """`n` texts; in a wide span most are short and a few long, as in a catalogue."""
    rng = np.random.default_rng(seed)
    low, high = words
    if high > 10 * low:
        counts = np.clip(rng.lognormal(3.4, 0.9, n), low, high).astype(int)
    else:
        counts = rng.integers(low, high, n)
    return [" ".join(rng.choice(WORDS.split(), size=count)) for count in counts]


def timed(call: Callable[[], np.ndarray]) -> tuple[tuple[float, float], np.ndarray]:
    wall, cpu = time.perf_counter(), time.process_time()
    vectors = call()
    return (time.perf_counter() - wall, time.process_time() - cpu), vectors


def best_batch(model: SentenceTransformer, texts: list[str], sizes: tuple[int, ...]) -> int:
    return min(sizes, key=lambda size: timed(lambda: model.encode(texts, batch_size=size))[0][0])


def compare(name: str, ours: TextEncoder, peer: SentenceTransformer, texts: list[str], rounds: int) -> None:
    cuda = ours.device.type == "cuda"
    sizes = (64, 256, 1024, 4096) if cuda else (8, 16, 32, 64, 128)
    batch = best_batch(peer, texts[: max(16, len(texts) // 4)], sizes)
    contenders: dict[str, Callable[[], np.ndarray]] = {
        "landbridge": lambda: ours.encode(texts),
        "sentence-transformers, default (32)": lambda: peer.encode(texts),
        f"sentence-transformers, best ({batch})": lambda: peer.encode(texts, batch_size=batch),
    }
    seconds: dict[str, list[tuple[float, float]]] = {label: [] for label in contenders}
    vectors: dict[str, np.ndarray] = {}
    for _ in range(rounds):
        for label, call in contenders.items():
            duration, vectors[label] = timed(call)
            seconds[label].append(duration)
    own = np.array(seconds["landbridge"])
    for label, durations in seconds.items():
        unit = vectors[label] / np.linalg.norm(vectors[label], axis=1, keepdims=True)
        cosine = (unit * vectors["landbridge"]).sum(axis=1).min()
        ratios = np.array(durations) / own
        wall, cpu = np.median(ratios, axis=0)
        speed = len(texts) / np.median(durations, axis=0)[0]
        print(
            f"{name:6} {label:38} {speed:9.1f} texts/s   ours is {wall:5.2f} x "
            f"({ratios[:, 0].min():.2f} to {ratios[:, 0].max():.2f}; CPU {cpu:4.2f} x), "
            f"cosine >= {cosine:.5f}",
            flush=True,
        )


def matrix_rate(side: int = 8192, products: int = 20) -> float:
    """Multiply-adds, counted twice, that the GPU does in a second on large bf16 matrices."""
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for count in (3, products):  # the first ones warm up
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(count):
            a @ b
        torch.cuda.synchronize()
    return 2 * side**3 * products / (time.perf_counter() - began)


def operations(encoder: TextEncoder, lengths: np.ndarray) -> float:
    """Matrix operations of the model for texts of these token counts: weights and attention, no padding."""
    weights = sum(
        weight.numel()
        for name, weight in encoder._model.named_parameters()
        if weight.ndim == 2 and not name.startswith(("embeddings", "pooler"))
    )
    depth, width = encoder._settings.num_hidden_layers, encoder.dimension
    return float(2 * weights * lengths.sum() + 4 * depth * width * (lengths.astype(float) ** 2).sum())


def chip_share(encoder: TextEncoder, texts: list[str]) -> None:
    lengths = np.array([len(row) for row in encoder._tokenize(texts, markers=True)])
    work, rate = operations(encoder, lengths), matrix_rate()
    (whole, _), _ = timed(lambda: encoder.encode(texts))
    batches = list(encoder._batches(texts, "", None))
    began = time.perf_counter()
    for _ in encoder._replicas.embed(iter(batches)):
        pass
    forward = time.perf_counter() - began
    print(
        f"bf16 matrix rate {rate / 1e12:.0f} TFLOP/s; reached {work / whole / rate:.1%} with the tokenizer "
        f"({len(texts) / whole:,.0f} texts/s), {work / forward / rate:.1%} without "
        f"({len(texts) / forward:,.0f} texts/s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=2000, help="short texts; a tenth as many long ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lengths", nargs="+", choices=list(LENGTHS), default=list(LENGTHS))
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    ours = TextEncoder(EncoderConfig(precision=arguments.precision))
    peer = SentenceTransformer(ours.source.location, device=ours.device.type)
    ours.encode(["warm up"]), peer.encode(["warm up"])
    print(
        f"{ours.key} on {ours.device}: {ours._replicas.threads} workers, {ours.token_budget} tokens a batch; "
        f"the peer: {torch.get_num_threads()} threads"
    )
    for name in arguments.lengths:
        count = max(16, arguments.texts // LONG_SHARE[name])
        texts = make_texts(count, LENGTHS[name], seed=0)
        compare(name, ours, peer, texts, arguments.rounds)
        if ours.device.type == "cuda":
            chip_share(ours, texts)


if __name__ == "__main__":
    main()
