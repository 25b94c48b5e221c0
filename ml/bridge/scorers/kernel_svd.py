"""The joint SVD of the union with a text kernel inside: what users do with like texts counts for an item.

R = D_u^-1/2 X D_i^-1/2 over the union, F = (I + beta K)^1/2 V the item factors of R (I + beta K)^1/2; score
(x D_i^-1/2 F) F' D_i^power. With beta 0 it is the joint SVD. Where beta is not given it is chosen on users
whose target history is hidden inside the task's own data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse

from ml.bridge.blocks.profiles import SMOOTHING, SVD_TOLERANCE
from ml.bridge.contract import Task
from ml.bridge.scorers.union import JointSVD
from ml.factorize.kernel import TextKernel, stacked
from ml.factorize.kernel_beta import BetaChoice, choose_beta, hold_out
from ml.factorize.kernel_svd import kernel_svd
from ml.factorize.normalise import degree


class KernelJointSVD(JointSVD):
    """beta: None is chosen, a number is taken. power: of the degrees on the way out. kernel: `TextKernel`'s
    fields. After `fit`, `choice` says what was tried."""

    def __init__(
        self,
        rank: int = 64,
        beta: float | None = None,
        power: float = 0.7,
        kernel: Mapping[str, Any] | None = None,
    ) -> None:
        self.kernel = TextKernel(**(kernel or {}))
        self.settings: dict[str, Any] = {
            "rank": rank,
            "beta": beta,
            "power": power,
            "kernel": asdict(self.kernel),
        }

    def fit(self, task: Task) -> Self:
        """Choose beta where it is left open, then factorise everything visible."""
        matrix = self._lay_out(task)
        matrix = matrix[np.diff(matrix.indptr) > 0]
        key = ("kernel", self.kernel, self.domains)
        features = task.remember(task.catalogues, key, lambda: self._features(task))
        beta = self.settings["beta"]
        self.choice = (
            BetaChoice(float(beta), (float(beta),), (), 0)
            if beta is not None
            else self._chosen(matrix, features, task)
        )
        self._into, self._out = self._maps(matrix, features, self.choice.beta, task)
        return self

    def _features(self, task: Task) -> np.ndarray:
        return self.kernel.of(stacked([task.catalogues[d].vectors for d in self.domains], self._sizes))

    def _maps(
        self, matrix: sparse.csr_matrix, features: np.ndarray, beta: float, task: Task
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n, k) (D_i + 1)^-1/2 F of all domains, and (n_target, k) F D_i^power of the target."""
        R = degree(matrix, smoothing=SMOOTHING).matrix
        found = kernel_svd(
            R,
            features,
            self.settings["rank"],
            beta,
            seed=task.seed,
            tolerance=SVD_TOLERANCE,
            device=task.device,
        )
        degrees = np.asarray(matrix.sum(axis=0), np.float64).reshape(-1, 1)
        into = (found.items * (degrees + SMOOTHING) ** -0.5).astype(np.float32)
        # An item without interactions weighs as much as one with a single one: its factor is text's alone.
        heights = np.where(degrees > 0, degrees, 1.0) ** self.settings["power"]
        out = (found.items * heights)[self._target_columns]
        return into, out.astype(np.float32)

    def _chosen(self, matrix: sparse.csr_matrix, features: np.ndarray, task: Task) -> BetaChoice:
        if not features.any():
            return BetaChoice(0.0, (0.0,), (), 0)
        held = hold_out(matrix, self._target_columns, task.seed)
        rows = held.visible[held.users]

        def score(beta: float) -> torch.Tensor:
            into, out = self._maps(held.visible, features, beta, task)
            return torch.from_numpy(np.asarray(rows @ into, np.float32) @ out.T)

        mine = self._target_columns
        return choose_beta(score, held.hidden[:, mine], rows[:, mine])

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The maps into and out of the factor space, and how beta was chosen."""
        facts, arrays = super().state()
        return {**facts, "choice": asdict(self.choice)}, arrays

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        held = facts["choice"]
        self.choice = BetaChoice(held["beta"], tuple(held["betas"]), tuple(held["ndcg"]), held["users"])
        super().restore(facts, arrays)
        return self
