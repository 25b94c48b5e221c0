"""Exact top-k by score: the oracle of every approximate index, and quick enough to serve from by itself.

Scores are made block by block and never held whole. A block is read in runs of 32 items: a run whose greatest
score does not beat a query's k-th best so far is passed over, so that almost all time goes into the products.
Ties go to the lower position, on every device and for every block size, so that two runs give one list.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse

from ml.device import pick_device
from ml.retrieval.ranking import CROWDED, RUN, Best, merge, ranked
from ml.retrieval.seen import Seen

# Queries at once and scores at once: on a CPU 4 MB of scores stay in its cache, a GPU needs the work.
CPU_BLOCK = (256, 1 << 20)
GPU_BLOCK = (4096, 1 << 28)

Block = tuple[int, int]
Fill = Callable[[torch.Tensor, slice, "slice | torch.Tensor"], None]


def top_k(
    queries: np.ndarray,
    items: np.ndarray | torch.Tensor,
    k: int,
    exclude: sparse.csr_matrix | None = None,
    allowed: np.ndarray | None = None,
    *,
    device: str = "auto",
    block: Block | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k items of greatest inner product for every query.

    queries: (q, d). items: (n, d); a float32 tensor stays on the device it lies on. exclude: (q, n), a stored
    non-zero entry is never returned (seen items). allowed: (n,) bool, False is never returned to anyone and
    costs nothing. block: queries and items at once. Returns positions (q, k) int64 and scores (q, k) float32,
    best first; where fewer than k items remain, position -1 and score -inf.
    Raises ValueError for shapes that do not fit, k < 1, or NaN scores.
    """
    if queries.ndim != 2 or items.ndim != 2 or queries.shape[1] != items.shape[1]:
        raise ValueError(
            f"queries {tuple(queries.shape)} and items {tuple(items.shape)}: expected (q, d) and (n, d)"
        )
    where = items.device if isinstance(items, torch.Tensor) else pick_device(device)
    vectors, asked = (
        torch.as_tensor(
            part if isinstance(part, torch.Tensor) else np.ascontiguousarray(part, dtype=np.float32)
        ).to(where, torch.float32)
        for part in (items, queries)
    )

    def fill(part: torch.Tensor, rows: slice, columns: slice | torch.Tensor) -> None:
        torch.mm(asked[rows], vectors[columns].T, out=part)

    return _in_blocks(fill, (len(queries), len(items)), k, exclude, allowed, where, block)


def top_k_scores(
    scores: np.ndarray | torch.Tensor,
    k: int,
    exclude: sparse.csr_matrix | None = None,
    allowed: np.ndarray | None = None,
    *,
    device: str = "auto",
    block: Block | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`top_k` of given dense scores (q, n), compared as float32; a score of -inf is never returned.

    A tensor is ranked on the device it lies on; the scores are not changed.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores {tuple(scores.shape)}: expected (q, n)")
    where = scores.device if isinstance(scores, torch.Tensor) else pick_device(device)
    source = torch.as_tensor(scores)

    def fill(part: torch.Tensor, rows: slice, columns: slice | torch.Tensor) -> None:
        chosen = columns if isinstance(columns, slice) else columns.to(source.device)
        part.copy_(source[rows][:, chosen])

    return _in_blocks(fill, (scores.shape[0], scores.shape[1]), k, exclude, allowed, where, block)


def _in_blocks(
    fill: Fill,
    shape: tuple[int, int],
    k: int,
    exclude: sparse.csr_matrix | None,
    allowed: np.ndarray | None,
    device: torch.device,
    block: Block | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and scores, the scores of a block of queries and items being written by `fill`."""
    q, n = shape
    check_request(shape, k, exclude, allowed)
    shown = None if allowed is None else np.flatnonzero(allowed)
    columns = None if shown is None or len(shown) == n else torch.as_tensor(shown).to(device)
    width = n if columns is None else len(columns)
    positions = np.full((q, k), -1, dtype=np.int64)
    values = np.full((q, k), -np.inf, dtype=np.float32)
    if q == 0 or width == 0:
        return positions, values
    kept = min(k, width)
    height, step = block or _block(q, width, kept, device)
    seen = None if exclude is None else Seen(exclude, shown, step)
    for start in range(0, q, height):
        rows = slice(start, min(start + height, q))
        best = _best(fill, rows, columns, width, step, kept, seen, device)
        place = best.positions
        if columns is not None:
            place = torch.where(place >= 0, columns[place.clamp(min=0)], place)
        positions[rows, :kept] = place.cpu().numpy()
        values[rows, :kept] = best.scores.cpu().numpy()
    return positions, values


def _best(
    fill: Fill,
    rows: slice,
    columns: torch.Tensor | None,
    width: int,
    step: int,
    k: int,
    seen: Seen | None,
    device: torch.device,
) -> Best:
    """The k best of some queries over all `width` columns, `step` columns at a time."""
    q = rows.stop - rows.start
    best = Best.none(q, k, device)
    memory = torch.empty(q * (-(-min(step, width) // RUN) * RUN), device=device)
    for first in range(0, width, step):
        last = min(first + step, width)
        padded = -(-(last - first) // RUN) * RUN
        whole = memory[: q * padded].view(q, padded)
        part = whole[:, : last - first]
        fill(part, rows, slice(first, last) if columns is None else columns[first:last])
        if padded > last - first:
            whole[:, last - first :] = -torch.inf
        if seen is not None:
            row, column = seen.of(rows, first)
            part[torch.as_tensor(row).to(device), torch.as_tensor(column).to(device)] = -torch.inf
        best = merge(best, ranked(whole, k, best.worst), first)
    return best


def _block(q: int, width: int, k: int, device: torch.device) -> Block:
    """Queries and items at once: the items are read rarely, and few of a block's runs can hold the k best."""
    most, scores = GPU_BLOCK if device.type == "cuda" else CPU_BLOCK
    step = max(scores // min(q, most), k * RUN * CROWDED)
    step = width if width <= 2 * step else -(-step // RUN) * RUN
    return max(1, min(q, most, 2 * scores // step)), step


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
    if allowed is not None and (np.shape(allowed) != shape[1:] or np.asarray(allowed).dtype != bool):
        raise ValueError(
            f"allowed {np.shape(allowed)} {np.asarray(allowed).dtype}: expected one bool per item, {shape[1]}"
        )
