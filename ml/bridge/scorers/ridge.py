"""The ridge bridge: blocks of user features to target items, or to target factors, in one closed form.

    B = argmin |Y - A B|^2 + sum_b ridge / scale_b^2 * |B_b|^2,   centred

A block's scale is its share in the penalty: 0 drops it, a small scale makes it pay more for what it says.
Solved by Cholesky on the normal equations, which never hold more than features x features and features x
outputs numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
import torch
from scipy import sparse

from ml.bridge.blocks.attributes import ItemAttributeProfile, UserAttributeBlock
from ml.bridge.blocks.modality import ModalityProfile
from ml.bridge.blocks.profiles import ALSUserFactors, Block, SVDFactors, TargetHistory, TextProfile
from ml.bridge.blocks.reviews import ReviewedText, ReviewProfile
from ml.bridge.contract import Parts, Task, pack_csr, unpack_csr
from ml.bridge.histories import Histories, histories, past_and_next
from ml.data import Interactions
from ml.device import pick_device
from ml.factorize.als import WeightedALS

BLOCKS: dict[str, type] = {
    block.kind: block
    for block in (
        SVDFactors,
        TextProfile,
        ReviewedText,
        ReviewProfile,
        ModalityProfile,
        TargetHistory,
        ALSUserFactors,
        ItemAttributeProfile,
        UserAttributeBlock,
    )
}
# What a stored map keeps of each row of a wide, history-sized map: the measured model is the pruned one.
KEPT_PER_ROW = 256
DENSE_NUMBERS = 1 << 26  # features that may be held dense: 256 MiB


class RidgeBridge:
    """Blocks to the target.

    blocks: [(block, scale)]. rows: "profile", each user once, histories to all their target items; or "next",
    a user's target log cut at each moment, the past to what comes next (weights exp(-place / tau_next)).
    output: "items", or "factors" with `als`, the settings of the target's weighted factorisation.
    """

    def __init__(
        self,
        blocks: list[tuple[Block, float]],
        ridge: float,
        rows: Literal["profile", "next"] = "profile",
        als: Mapping[str, Any] | None = None,
        tau_next: float = 5.0,
        most_rows: int = 400_000,
        least_next: int = 3,
    ) -> None:
        self.blocks, self.ridge, self.rows, self.als = blocks, ridge, rows, als
        self.tau_next, self.most_rows, self.least_next = tau_next, most_rows, least_next

    @property
    def settings(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {
            "blocks": [{"kind": b.kind, "scale": s, **b.settings} for b, s in self.blocks],
            "ridge": self.ridge,
            "rows": self.rows,
            "als": dict(self.als) if self.als else None,
            "tau_next": self.tau_next,
            "most_rows": self.most_rows,
            "least_next": self.least_next,
        }

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains its blocks read."""
        return tuple(dict.fromkeys(b.domain for b, _ in self.blocks))

    def fit(self, task: Task) -> Self:
        """Fit the blocks, then the map."""
        for block, _ in self.blocks:
            block.fit(task)
        self.device = task.device
        past, targets = self._examples(task)
        self._out = None
        if self.als is not None:
            targets, self._out = self._target_factors(task, targets)
        self._solve([b.encode(past) for b, _ in self.blocks], targets)
        return self

    def _examples(self, task: Task) -> tuple[Histories, sparse.csr_matrix]:
        log = task.interactions[task.target]
        self._item_counts = np.bincount(log.items, minlength=log.n_items)
        if self.rows == "next":
            _, past, targets = past_and_next(log, self.tau_next, self.most_rows, task.target)
            return past, targets
        read = {d: task.interactions[d] for d in self.domains}
        known = np.any([_of_whom(block, read[block.domain]) for block in self._informing], axis=0)
        users = np.flatnonzero((log.counts() > 0) & known)
        return histories(read, users), log.matrix(np.ones(len(log)))[users]

    @property
    def _informing(self) -> list[Block]:
        """The blocks whose users are learned from: those that read histories, else all."""
        every = [block for block, _ in self.blocks]
        return [b for b in every if not isinstance(b, UserAttributeBlock)] or every

    def _target_factors(self, task: Task, targets: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        als = WeightedALS(**(self.als or {}), seed=task.seed, device=task.device)
        # The rows are the users that the blocks know: with the log and the settings that names the fit.
        known = dict.fromkeys((b.domain, isinstance(b, UserAttributeBlock)) for b in self._informing)
        key = ("targets", als, tuple(known))
        factors = task.remember(task.interactions[task.target], key, lambda: als.fit(targets))
        return factors.users, factors.items

    def _solve(
        self, features: list[np.ndarray | sparse.csr_matrix], targets: np.ndarray | sparse.csr_matrix
    ) -> None:
        scales = [scale for _, scale in self.blocks]
        rows = targets.shape[0]
        A = _side_by_side(features, scales)
        gram = A.T.astype(np.float64) @ A
        gram = gram.toarray() if sparse.issparse(gram) else gram
        # Without a row (a source that opened after the cut) the map is zero, and the scorer says nothing.
        mean_a, mean_y = (
            np.asarray(m.sum(axis=0, dtype=np.float64)).ravel() / max(rows, 1) for m in (A, targets)
        )
        gram -= rows * np.outer(mean_a, mean_a)
        gram[np.diag_indices_from(gram)] += self.ridge
        columns = self._learnable(targets)
        cross = A.T @ targets[:, columns]
        cross = cross.toarray() if sparse.issparse(cross) else np.asarray(cross)
        cross = cross.astype(np.float32) - (rows * np.outer(mean_a, mean_y[columns])).astype(np.float32)
        B = np.zeros((len(gram), targets.shape[1]), np.float32)
        B[:, columns] = _cholesky_solve(gram, cross, pick_device(self.device))
        scaling = np.repeat(scales, [f.shape[1] for f in features])
        B *= scaling[:, None].astype(np.float32)
        self._constant = (mean_y - (mean_a / np.maximum(scaling, 1e-12)) @ B).astype(np.float32)
        self._widths = [f.shape[1] for f in features]
        self._maps = [self._store(block) for block in np.split(B, np.cumsum(self._widths)[:-1])]

    def _learnable(self, targets: np.ndarray | sparse.csr_matrix) -> np.ndarray:
        """The outputs worth a solve: in "next" rows an item of fewer than `least_next` users keeps a mean."""
        if self.rows == "profile" or self._out is not None:
            return np.arange(targets.shape[1])
        return np.flatnonzero(self._item_counts >= self.least_next)

    def _store(self, block: np.ndarray) -> np.ndarray | sparse.csr_matrix:
        """A map as wide as a catalogue on both sides is kept sparse: its largest entries, row by row."""
        if self._out is not None or block.shape[0] <= 1024 or block.shape[1] <= 2 * KEPT_PER_ROW:
            return block
        columns = np.argpartition(-np.abs(block), KEPT_PER_ROW, axis=1)[:, :KEPT_PER_ROW]
        columns.sort(axis=1)
        pointers = np.arange(len(block) + 1) * KEPT_PER_ROW
        data = np.take_along_axis(block, columns, axis=1).ravel()
        return sparse.csr_matrix((data, columns.ravel(), pointers), shape=block.shape)

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) predicted target weights."""
        device = pick_device(self.device)
        total = torch.from_numpy(self._constant).to(device).repeat(len(past), 1)
        for (block, _), B in zip(self.blocks, self._maps, strict=True):
            features = block.encode(past)
            if sparse.issparse(B) or sparse.issparse(features):
                product = features @ B
                dense = product.toarray() if sparse.issparse(product) else np.asarray(product)
                total += torch.from_numpy(dense.astype(np.float32)).to(device)
            else:
                total += torch.from_numpy(features).to(device) @ torch.from_numpy(B).to(device)
        return total if self._out is None else total @ torch.from_numpy(self._out).to(device).T

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """Each block's features are a sum over the history; so is the score."""
        constant = self._through(self._constant[None].astype(np.float64), items)[0]
        rows, known = [], dict[tuple[str, str], np.ndarray]()
        for (block, _), B in zip(self.blocks, self._maps, strict=True):
            positions, features = block.items(past)
            kinds = np.full(len(positions), block.kind, dtype=object)
            rows.append((block.domain, positions, self._said(features, B, items), kinds))
            if isinstance(block, UserAttributeBlock):
                labels, features = block.told(past)
                said = self._said(features, B, items)
                known |= {(block.domain, label): values for label, values in zip(labels, said, strict=True)}
        return replace(Parts.of(constant, rows), known=known)

    def _said(self, features: np.ndarray, B: np.ndarray | sparse.csr_matrix, items: np.ndarray) -> np.ndarray:
        product = B.T.dot(features.T).T if sparse.issparse(B) else features @ B.astype(np.float64)
        return self._through(product, items)

    def _through(self, outputs: np.ndarray, items: np.ndarray) -> np.ndarray:
        return outputs[:, items] if self._out is None else outputs @ self._out[items].T.astype(np.float64)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Maps, constant and what the blocks learned."""
        arrays = {"constant": self._constant}
        if self._out is not None:
            arrays["out"] = self._out
        for i, ((block, _), B) in enumerate(zip(self.blocks, self._maps, strict=True)):
            arrays.update(pack_csr(f"map{i}", B) if sparse.issparse(B) else {f"map{i}": B})
            arrays.update({f"block{i}.{name}": array for name, array in block.arrays().items()})
        return {"device": self.device}, arrays

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        self.device, self._constant, self._out = facts["device"], arrays["constant"], arrays.get("out")
        self._maps = []
        for i, (block, _) in enumerate(self.blocks):
            held = f"map{i}" in arrays
            self._maps.append(arrays[f"map{i}"] if held else unpack_csr(f"map{i}", arrays))
            prefix = f"block{i}."
            block.restore({k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})
        return self


def _of_whom(block: Block, log: Interactions) -> np.ndarray:
    """(n_users,) bool: the users of whom the block can say anything."""
    if not isinstance(block, UserAttributeBlock):
        return log.counts() > 0
    return np.zeros(log.n_users, bool) if log.attributes is None else log.attributes.known


def _side_by_side(
    features: list[np.ndarray | sparse.csr_matrix], scales: list[float]
) -> np.ndarray | sparse.csr_matrix:
    """(rows, widths) scaled features: sparse while that is the cheaper product with itself."""
    if not any(sparse.issparse(f) for f in features):
        return np.hstack([f * s for f, s in zip(features, scales, strict=True)])
    blocks = [sparse.csr_matrix(f) * s for f, s in zip(features, scales, strict=True)]
    A = sparse.hstack(blocks, format="csr")
    rows, width = A.shape
    # A sparse product takes about nnz * nnz / rows steps, each as dear as 20 of a dense one.
    dense = rows * width <= DENSE_NUMBERS and 20 * (A.nnz / max(rows, 1)) ** 2 > width**2
    return A.toarray() if dense else A


def ridge_from_settings(settings: Mapping[str, Any]) -> RidgeBridge:
    """A bridge from what `RidgeBridge.settings` said."""
    blocks = []
    for entry in settings["blocks"]:
        facts = {key: value for key, value in entry.items() if key not in ("kind", "scale")}
        blocks.append((BLOCKS[entry["kind"]](**facts), entry["scale"]))
    return RidgeBridge(blocks, **{key: value for key, value in settings.items() if key != "blocks"})


def _cholesky_solve(gram: np.ndarray, cross: np.ndarray, device: torch.device) -> np.ndarray:
    """Solve gram @ B = cross; float64 where small, float32 where a wide map would not fit twice."""
    precise = torch.float64 if gram.shape[0] <= 2048 else torch.float32
    L = torch.linalg.cholesky(torch.from_numpy(gram).to(device, precise))
    solved = np.empty(cross.shape, np.float32)
    for first in range(0, cross.shape[1], 4096):
        columns = slice(first, first + 4096)
        rhs = torch.from_numpy(np.ascontiguousarray(cross[:, columns])).to(device, precise)
        solved[:, columns] = torch.cholesky_solve(rhs, L).float().cpu().numpy()
    return solved
