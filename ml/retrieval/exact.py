"""Exact top-k by score: the oracle of every approximate index, and quick enough to serve from by itself.

Ties go to the lower position, on every device and for every block size, so that two runs give one list.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse

from ml.device import pick_device

# Scores held at once: 16M floats are 64 MB, ample work for two cores.
CPU_BLOCK = 16_000_000
GPU_BLOCK = 256_000_000


def top_k(
    queries: np.ndarray,
    items: np.ndarray,
    k: int,
    exclude: sparse.csr_matrix | None = None,
    allowed: np.ndarray | None = None,
    *,
    device: str = "auto",
    block: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k items of greatest inner product for every query.

    queries: (q, d). items: (n, d). exclude: (q, n), a stored non-zero entry is never returned (seen items).
    allowed: (n,) bool, False is never returned to anyone. Returns positions (q, k) int64 and scores (q, k)
    float32, best first; where fewer than k items remain, position -1 and score -inf.
    Raises ValueError for shapes that do not fit, k < 1, or NaN scores.
    """
    if queries.ndim != 2 or items.ndim != 2 or queries.shape[1] != items.shape[1]:
        raise ValueError(f"queries {queries.shape} and items {items.shape}: expected (q, d) and (n, d)")
    where = pick_device(device)
    vectors = torch.as_tensor(np.ascontiguousarray(items, dtype=np.float32)).to(where).T

    def scores(start: int, stop: int) -> torch.Tensor:
        return (
            torch.as_tensor(np.ascontiguousarray(queries[start:stop], dtype=np.float32)).to(where) @ vectors
        )

    return _in_blocks(scores, (len(queries), len(items)), k, exclude, allowed, where, block)


def top_k_scores(
    scores: np.ndarray | torch.Tensor,
    k: int,
    exclude: sparse.csr_matrix | None = None,
    allowed: np.ndarray | None = None,
    *,
    device: str = "auto",
    block: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`top_k` of given dense scores (q, n), compared as float32; a score of -inf is never returned.

    A tensor is ranked on the device it lies on; the scores are not changed.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores {tuple(scores.shape)}: expected (q, n)")
    where = scores.device if isinstance(scores, torch.Tensor) else pick_device(device)

    def part(start: int, stop: int) -> torch.Tensor:
        return torch.as_tensor(scores[start:stop]).to(where, torch.float32, copy=True)

    return _in_blocks(part, (scores.shape[0], scores.shape[1]), k, exclude, allowed, where, block)


def _in_blocks(
    scores: Callable[[int, int], torch.Tensor],
    shape: tuple[int, int],
    k: int,
    exclude: sparse.csr_matrix | None,
    allowed: np.ndarray | None,
    device: torch.device,
    block: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    q, n = shape
    check_request(shape, k, exclude, allowed)
    positions = np.full((q, k), -1, dtype=np.int64)
    values = np.full((q, k), -np.inf, dtype=np.float32)
    if q == 0 or n == 0:
        return positions, values
    forbidden = None if allowed is None else torch.as_tensor(~np.asarray(allowed, dtype=bool)).to(device)
    rows = max(1, (block or (GPU_BLOCK if device.type == "cuda" else CPU_BLOCK)) // n)
    width = min(k, n)
    for start in range(0, q, rows):
        stop = min(start + rows, q)
        part = scores(start, stop)
        if torch.isnan(part).any():
            raise ValueError(
                f"scores of queries {start} to {stop - 1} hold NaN: the model that made them diverged"
            )
        if forbidden is not None:
            part[:, forbidden] = -torch.inf
        if exclude is not None:
            seen = exclude[start:stop].tocoo()
            kept = seen.data != 0
            row, column = (
                torch.as_tensor(axis[kept].astype(np.int64)).to(device) for axis in (seen.row, seen.col)
            )
            part[row, column] = -torch.inf
        best, value = _ranked(part, width)
        positions[start:stop, :width] = best.cpu().numpy()
        values[start:stop, :width] = value.cpu().numpy()
    return positions, values


def _ranked(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and scores of the k greatest of each row, ties to the lower position, -1 where -inf.

    torch.topk breaks ties as it likes. Inside a list two stable sorts put them in order; where the k-th and
    the next score are equal the list itself is in doubt, and that row is ranked by all that reaches its
    k-th score.
    """
    found = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    by_position = found.indices[:, :k].sort(dim=1)
    # + 0.0 turns -0.0 into 0.0, which a radix sort would tell apart.
    value = found.values[:, :k].gather(1, by_position.indices) + 0.0
    value, order = value.sort(dim=1, descending=True, stable=True)
    best = by_position.values.gather(1, order).masked_fill(value == -torch.inf, -1)
    if found.values.shape[1] > k:
        last, following = found.values[:, k - 1], found.values[:, k]
        doubtful = ((last == following) & (last > -torch.inf)).nonzero().squeeze(1)
        if len(doubtful):
            best[doubtful], value[doubtful] = _ranked_among_ties(scores[doubtful], last[doubtful, None], k)
    return best, value


def _ranked_among_ties(
    scores: torch.Tensor, threshold: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(r, k) positions and scores of the k greatest of each row, given its k-th greatest score (r, 1)."""
    row, column = (scores >= threshold).nonzero(as_tuple=True)
    by_score = (scores[row, column] + 0.0).argsort(descending=True, stable=True)
    order = by_score[row[by_score].argsort(stable=True)]
    row, column = row[order], column[order]
    first = torch.searchsorted(row, torch.arange(len(scores), device=row.device))
    rank = torch.arange(len(row), device=row.device) - first[row]
    kept = rank < k
    return column[kept].view(-1, k), scores[row, column][kept].view(-1, k)


def check_request(
    shape: tuple[int, int], k: int, exclude: sparse.csr_matrix | None, allowed: np.ndarray | None
) -> None:
    """Raise ValueError where k, `exclude` or `allowed` do not fit (q, n) = `shape`."""
    if k < 1:
        raise ValueError(f"k = {k}: expected at least 1")
    if exclude is not None and exclude.shape != shape:
        raise ValueError(
            f"exclude {exclude.shape}: expected one row per query and one column per item, {shape}"
        )
    if allowed is not None and np.shape(allowed) != shape[1:]:
        raise ValueError(f"allowed {np.shape(allowed)}: expected one entry per item, {shape[1:]}")
