"""What a user's past items look like, sound like, or are to somebody else's model: a domain's own vectors."""

from __future__ import annotations

from typing import Self

from scipy import sparse

from ml.bridge.blocks.profiles import LinearBlock
from ml.bridge.contract import Task
from ml.bridge.histories import Histories
from ml.text.alignment.whitening import whitened


class ModalityProfile(LinearBlock):
    """Mean of the history items' vectors of one modality, centred and whitened per domain.

    Whitened, because vectors of anybody's making come in any scale and often with one loud direction.
    """

    kind = "modality_profile"

    def __init__(
        self, domain: str, modality: str, rank: int = 128, tau: float | None = None, floor: float = 0.05
    ) -> None:
        super().__init__(domain, tau, modality=modality, rank=rank, floor=floor)
        self.modality, self.rank, self.floor = modality, rank, floor

    def fit(self, task: Task) -> Self:
        """Whiten the modality's vectors; items without one contribute nothing.

        Raises ValueError where the domain does not have the modality.
        """
        vectors = task.catalogues[self.domain].modalities.get(self.modality)
        if vectors is None:
            raise ValueError(
                f"{self.domain} has no vectors of {self.modality}: materialise item_modalities first"
            )
        key = ("whitened", self.rank, self.floor)
        self._map = task.remember(vectors, key, lambda: whitened(vectors, self.rank, self.floor))
        return self

    def _past(self, past: Histories) -> sparse.csr_matrix:
        return past.liked(self.domain, self.tau)
