"""The workers that an encoder's batches go through: threads over one model on a CPU, a model on each GPU.

On a CPU every worker computes its batch on one core. Batches are independent, operations inside one are not:
two workers do up to 1.9 times what one forward pass spread over two cores does (measured, MiniLM, AVX2).
Torch leaves Python's lock during an operation, so threads suffice and the weights are in memory once.
"""

from __future__ import annotations

import copy
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from ml.device import cores
from ml.text.encoding.source import EncoderError

Batch = list[list[int]]
Forward = Callable[[torch.nn.Module, torch.device, Batch], torch.Tensor]
# Two threads a GPU: while one waits for its vectors the other has put the next batch on the stream.
WORKERS_PER_GPU = 2
# Batches that wait for a worker: enough that none is ever idle, few enough to bound the memory.
AHEAD_PER_WORKER = 4


class Replica:
    """A model on its device, and how many tokens that device holds at once."""

    def __init__(self, model: torch.nn.Module, device: torch.device, token_budget: int, forward: Forward):
        self.model, self.device, self.token_budget, self._forward = model, device, token_budget, forward

    def embed(self, batch: Batch) -> np.ndarray:
        """(b, d) float32; a batch beyond the memory is halved, and later ones are cut in advance."""
        longest = max(map(len, batch))
        if len(batch) > 1 and len(batch) * longest > self.token_budget:
            return self._halves(batch)
        try:
            return self._forward(self.model, self.device, batch).cpu().numpy()
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise EncoderError(
                    f"one text of {longest} tokens does not fit the memory of {self.device}: "
                    "lower encoder.max_tokens or use the CPU"
                ) from error
        # Outside the handler: the traceback would keep the failed batch's tensors alive.
        torch.cuda.empty_cache()
        self.token_budget = min(self.token_budget, (len(batch) + 1) // 2 * longest)
        return self._halves(batch)

    def _halves(self, batch: Batch) -> np.ndarray:
        half = (len(batch) + 1) // 2
        return np.concatenate([self.embed(batch[:half]), self.embed(batch[half:])])


class Replicas:
    """All replicas of one model behind one queue of batches."""

    def __init__(
        self,
        model: torch.nn.Module,
        device: torch.device,
        token_budget: int,
        forward: Forward,
        workers: int | None = None,
    ):
        """`workers`: threads on a CPU, GPUs on CUDA; None takes every one there is."""
        if device.type == "cuda":
            devices = [torch.device("cuda", i) for i in range(torch.cuda.device_count())][:workers]
            models = [
                copy.deepcopy(model).to(other) if i else model.to(other) for i, other in enumerate(devices)
            ]
            self.threads = WORKERS_PER_GPU * len(devices)
        else:
            devices, models = [device], [model]
            self.threads = workers or cores()
        self.replicas = [
            Replica(own, place, token_budget, forward) for own, place in zip(models, devices, strict=True)
        ]

    def embed(
        self, batches: Iterable[tuple[list[int], Batch]]
    ) -> Generator[tuple[list[int], np.ndarray], None, None]:
        """(positions, vectors) of each (positions, batch), in order, while `batches` is read ahead."""
        mine = threading.local()
        places: queue.SimpleQueue[Replica] = queue.SimpleQueue()
        for i in range(self.threads):
            places.put(self.replicas[i % len(self.replicas)])

        def take_place() -> None:
            mine.replica = places.get()
            torch.set_num_threads(1)

        def work(positions: list[int], batch: Batch) -> tuple[list[int], np.ndarray]:
            return positions, mine.replica.embed(batch)

        before = torch.get_num_threads()
        pool = ThreadPoolExecutor(self.threads, "embed", initializer=take_place)
        waiting: deque[Future[tuple[list[int], np.ndarray]]] = deque()
        try:
            for positions, batch in batches:
                waiting.append(pool.submit(work, positions, batch))
                if len(waiting) > AHEAD_PER_WORKER * self.threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)  # torch gives the last setting of any thread to every new one
