"""Embedding speed: our encoder beside sentence-transformers, paired in one process on texts made here.

Each round runs every contender on the same texts in turn, so that a noisy machine slows all alike; a ratio is
the median over rounds, in wall and in CPU time (which other processes disturb less). The minimum cosine says
whether the speed was bought with other vectors.

    python benchmarks/embed.py --texts 400 --rounds 3
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

from ml.text.encoder import EncoderConfig, TextEncoder

LENGTHS = {"short": (4, 16), "long": (110, 220)}  # words; about 12 and 190 tokens
WORDS = "cast iron pan with lid for green tea leaves shears steel handle novel about sisters jazz record"


def make_texts(n: int, words: tuple[int, int], seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS.split(), size=rng.integers(*words))) for _ in range(n)]


def timed(call: Callable[[], np.ndarray]) -> tuple[tuple[float, float], np.ndarray]:
    wall, cpu = time.perf_counter(), time.process_time()
    vectors = call()
    return (time.perf_counter() - wall, time.process_time() - cpu), vectors


def best_batch(model: SentenceTransformer, texts: list[str]) -> int:
    def cpu_seconds(size: int) -> float:
        return timed(lambda: model.encode(texts, batch_size=size))[0][1]

    return min((8, 16, 32, 64, 128), key=cpu_seconds)


def compare(name: str, ours: TextEncoder, peer: SentenceTransformer, texts: list[str], rounds: int) -> None:
    batch = best_batch(peer, texts[: max(16, len(texts) // 4)])
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
        wall, cpu = np.median(np.array(durations) / own, axis=0)
        speed = len(texts) / np.median(durations, axis=0)[0]
        print(
            f"{name:6} {label:38} {speed:8.1f} texts/s   ours is {wall:5.2f} x (CPU {cpu:5.2f} x)   "
            f"min cosine {cosine:.5f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2000, help="short texts; long ones are a tenth of it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    ours = TextEncoder(EncoderConfig(precision=arguments.precision))
    peer = SentenceTransformer(ours.source.location, device=ours.device.type)
    print(
        f"{ours.key} on {ours.device}, {torch.get_num_threads()} threads, {ours.token_budget} tokens a batch"
    )
    ours.encode(["warm up"]), peer.encode(["warm up"])
    for name, words in LENGTHS.items():
        count = arguments.texts if name == "short" else max(16, arguments.texts // 10)
        compare(name, ours, peer, make_texts(count, words, seed=0), arguments.rounds)


if __name__ == "__main__":
    main()
