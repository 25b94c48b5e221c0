"""Scorers of cold items: target items with text and without a single interaction, which no scorer that learns
from interactions can tell apart.

TextNeighbours: an item is worth what the user did with items of like text, in every domain it reads.
CarriedByText: the scores of another scorer, carried to items by a ridge on their text. A ridge is linear in
what it predicts: so this is the ridge of a bridge's columns, or of item factors, on text (attribute-to-factor
maps, Gantner et al. 2010), without a word on what the columns are; over a ridge bridge that reads text
profiles it is the bilinear form a' W z. All that is compared is the order among cold items: the scores of one
user are no more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse

from ml.bridge.blocks.profiles import TextProfile
from ml.bridge.contract import Parts, Scorer, Task, pack_csr, unpack_csr
from ml.bridge.histories import Histories
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.scorers.union import UnionALS
from ml.device import pick_device
from ml.factorize.kernel import cosine, stacked
from ml.text.alignment.whitening import whitened

# Cold items that an item of the history is near to: what comes after hardly has a word in common with it.
NEAREST = 100
# Interactions that make an item's own scores count half as much as certain ones when text learns from them.
DOUBT = 5.0
ROWS = 4096  # of likeness held at once


class TextNeighbours:
    """score_j = sum over past items of weight * max(cosine, 0) ** sharpness, the cosine of whitened texts.

    A high `sharpness` lets one past item of nearly the same text speak louder than many that are faintly
    alike. Scores are those of the items that were cold when it was fitted; all others have 0.
    """

    def __init__(self, sharpness: float = 4.0, rank: int = 256, floor: float = 1.0) -> None:
        self.settings: dict[str, Any] = {"sharpness": sharpness, "rank": rank, "floor": floor}
        self.domains: tuple[str, ...] = ()

    def fit(self, task: Task) -> Self:
        """Whiten the texts of all domains together, each centred on its own mean, and keep who is near."""
        self.domains, self.device = task.domains, task.device
        sizes = [task.interactions[d].n_items for d in self.domains]
        together = stacked([task.catalogues[d].vectors for d in self.domains], sizes)
        texts = cosine(whitened(together, self.settings["rank"], self.settings["floor"]))
        cold, first = np.flatnonzero(task.cold_items()), np.cumsum([0, *sizes])
        wanted = texts[first[-2] :][cold]
        self._near = {
            d: self._nearest(texts[a:b], wanted, cold, sizes[-1])
            for d, a, b in zip(self.domains, first[:-1], first[1:], strict=True)
        }
        return self

    def _nearest(self, texts: np.ndarray, wanted: np.ndarray, cold: np.ndarray, n: int) -> sparse.csr_matrix:
        """(len(texts), n) CSR of the likeness of each text to the NEAREST cold items."""
        blocks = [sparse.csr_matrix((0, n), dtype=np.float32)]
        for start in range(0, len(texts) if len(cold) else 0, ROWS):
            alike = np.maximum(texts[start : start + ROWS] @ wanted.T, 0) ** self.settings["sharpness"]
            if len(cold) > NEAREST:
                least = np.partition(alike, -NEAREST, axis=1)[:, -NEAREST]
                alike[alike < least[:, None]] = 0
            row, column = np.nonzero(alike)
            shape = (len(alike), n)
            blocks.append(sparse.csr_matrix((alike[row, column], (row, cold[column])), shape=shape))
        found = sparse.vstack(blocks, format="csr").astype(np.float32)
        return found if found.shape[0] else sparse.csr_matrix((len(texts), n), dtype=np.float32)

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) scores."""
        total = sum(past.weights[d] @ self._near[d] for d in self.domains)
        return torch.from_numpy(total.toarray().astype(np.float32)).to(pick_device(self.device))

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """One term per past item."""
        found = {}
        for domain in self.domains:
            row = past.weights[domain]
            alike = self._near[domain][row.indices][:, items].toarray().astype(np.float64)
            found[domain] = (row.indices, alike * row.data[:, None])
        return Parts(np.zeros(len(items)), found)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The likenesses."""
        arrays = {}
        for domain, near in self._near.items():
            arrays.update(pack_csr(f"near.{domain}", near))
        return {"domains": list(self.domains), "device": self.device}, arrays

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        self.domains, self.device = tuple(facts["domains"]), facts["device"]
        self._near = {d: unpack_csr(f"near.{d}", arrays) for d in self.domains}
        return self


class CarriedByText:
    """The scores that `base` gives items with interactions, carried to every item by a ridge on its text.

        carried = scores C Z (Z' C Z + lambda I)^-1 Z' = scores P Z'

    with Z the whitened texts, centred by C, which trusts an item of m interactions as m / (m + DOUBT); lambda
    is `ridge` mean eigenvalues of Z' C Z. An item without text gets 0, as if it were like the average one.
    """

    def __init__(
        self, base: Scorer, base_kind: str, ridge: float = 1.0, rank: int = 128, floor: float = 0.05
    ) -> None:
        self.base, self.base_kind = base, base_kind
        self.ridge, self.rank, self.floor = ridge, rank, floor

    @property
    def settings(self) -> dict[str, Any]:
        """JSON-able settings, those of the base among them."""
        return {
            "base": {"kind": self.base_kind, "settings": self.base.settings},
            "ridge": self.ridge,
            "rank": self.rank,
            "floor": self.floor,
        }

    @property
    def domains(self) -> tuple[str, ...]:
        """Those of the base."""
        return self.base.domains

    def fit(self, task: Task) -> Self:
        """Fit the base, then the ridge from the texts of items that have interactions."""
        self.base.fit(task)
        log, catalogue = task.interactions[task.target], task.catalogues[task.target]
        if catalogue.vectors is None:
            raise ValueError(f"{task.target} has no text embeddings: materialise item_embeddings first")
        Z = whitened(catalogue.vectors, self.rank, self.floor).astype(np.float64)
        counts = np.bincount(log.items, minlength=log.n_items)
        trust = np.where(catalogue.has_vector, counts / (counts + DOUBT), 0)
        Z = np.where(catalogue.has_vector[:, None], Z - trust @ Z / max(trust.sum(), 1e-12), 0)
        weighed = Z * trust[:, None]
        gram = weighed.T @ Z
        gram[np.diag_indices_from(gram)] += max(self.ridge * np.trace(gram) / len(gram), 1e-12)
        self._into = np.ascontiguousarray(np.linalg.solve(gram, weighed.T).T, np.float32)
        self._texts = Z.astype(np.float32)
        return self

    def score(self, past: Histories) -> torch.Tensor:
        """(u, n) scores."""
        scores = self.base.score(past)
        into, texts = (torch.from_numpy(a).to(scores.device) for a in (self._into, self._texts))
        return (scores @ into) @ texts.T

    def parts(self, past: Histories, items: np.ndarray) -> Parts:
        """What the base says of every item, carried as the scores are."""
        told = self.base.parts(past, np.arange(len(self._texts)))
        out = self._texts[items].T.astype(np.float64)
        carried = {d: (place, (v @ self._into) @ out) for d, (place, v) in told.by_domain.items()}
        known = {name: (values @ self._into) @ out for name, values in told.known.items()}
        return Parts((told.constant @ self._into) @ out, carried, told.blocks, known)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The base's state and the ridge."""
        facts, arrays = self.base.state()
        held = {f"base.{name}": array for name, array in arrays.items()}
        return {"base": facts}, {**held, "into": self._into, "texts": self._texts}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `state`."""
        mine = {k.removeprefix("base."): a for k, a in arrays.items() if k.startswith("base.")}
        self.base.restore(facts["base"], mine)
        self._into, self._texts = arrays["into"], arrays["texts"]
        return self


def cold_item_candidates(task: Task) -> dict[str, Scorer]:
    """What may be tried for cold items with the task's domains; nothing where the target has no text."""
    if not task.catalogues[task.target].has_vector.any():
        return {}
    found: dict[str, Scorer] = {f"text_neighbours:p{p:g}": TextNeighbours(p) for p in (4.0, 2.0)}
    found["carried:union_als"] = CarriedByText(UnionALS(32, 10.0, 100.0), "union_als")
    texts = [d for d in task.domains if task.catalogues[d].has_vector.any()]
    profiles: list = [(TextProfile(d), 1.0) for d in texts]
    found["carried:text"] = CarriedByText(RidgeBridge(profiles, ridge=10.0), "ridge", ridge=0.1)
    return found
