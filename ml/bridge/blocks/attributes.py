"""Attributes as blocks: who the user is, and of which categories the user's past items are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import sparse

from ml.bridge.blocks.profiles import LinearBlock, row_norms
from ml.bridge.contract import Task
from ml.bridge.histories import Histories
from ml.data import Catalogue
from ml.user_attributes import packed_names, unpacked_names

FEWEST_ITEMS = 5  # of a category: a rarer one says what its items already say
MOST_CATEGORIES = 256


@dataclass(frozen=True)
class Categories:
    """codes: (n,) int32, each item's category, -1 for none. width: how many there are."""

    codes: np.ndarray
    width: int

    def one_hot(self) -> sparse.csr_matrix:
        """(n, width) float32."""
        known = np.flatnonzero(self.codes >= 0)
        pointers = np.concatenate([[0], np.cumsum(self.codes >= 0)])
        shape = (len(self.codes), self.width)
        return sparse.csr_matrix((np.ones(len(known), np.float32), self.codes[known], pointers), shape=shape)


def categories_of(catalogue: Catalogue) -> Categories | None:
    """The catalogue's categories of FEWEST_ITEMS items and more, the MOST_CATEGORIES largest of them; None
    where there are fewer than two."""
    labels = catalogue.attributes.category if catalogue.attributes is not None else None
    if labels is None:
        return None
    counts = np.bincount(labels.codes, minlength=len(labels.names))
    kept = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    kept = np.sort(kept[counts[kept] >= FEWEST_ITEMS])
    if len(kept) < 2:
        return None
    new = np.full(len(labels.names), -1, np.int32)
    new[kept] = np.arange(len(kept))
    codes = np.full(len(labels), -1, np.int32)
    codes[~labels.empty] = new[labels.codes]
    return Categories(codes, len(kept))


class ItemAttributeProfile(LinearBlock):
    """The categories of the history's items, by weight."""

    kind = "item_attributes"

    def __init__(self, domain: str, tau: float | None = None) -> None:
        super().__init__(domain, tau)

    def _past(self, past: Histories) -> sparse.csr_matrix:
        return past.liked(self.domain, self.tau)

    def fit(self, task: Task) -> Self:
        """Read the catalogue. Raises ValueError where it has no categories."""
        found = categories_of(task.catalogues[self.domain])
        if found is None:
            raise ValueError(
                f"{self.domain} has no item categories: set domains.{self.domain}.items.columns.category"
            )
        self._learned = found
        return self

    def _of(self, items: np.ndarray) -> np.ndarray:
        return self._learned.one_hot()[items].toarray()

    def encode(self, past: Histories) -> np.ndarray:
        """(u, categories) features, L2-normalised per user."""
        features = (self._past(past) @ self._learned.one_hot()).toarray()
        return (features / row_norms(features)).astype(np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """The items' categories."""
        return {"codes": self._learned.codes, "width": np.array([self._learned.width], np.int64)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `arrays`."""
        self._learned = Categories(arrays["codes"], int(arrays["width"][0]))
        return self


class UserAttributeBlock:
    """The values that the domain's users file holds of the user, one-hot, L2-normalised.

    No past item carries them: `told` names what each of them adds to a score.
    """

    kind = "user_attributes"

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.settings: dict[str, Any] = {"domain": domain}

    def fit(self, task: Task) -> Self:
        """Learn the values there are. Raises ValueError where the domain knows none of its users."""
        known = task.interactions[self.domain].attributes
        if known is None:
            raise ValueError(f"{self.domain} knows nothing of its users: set domains.{self.domain}.users")
        self._names = known.names
        return self

    def encode(self, past: Histories) -> np.ndarray:
        """(u, values) features."""
        features = np.zeros((len(past), len(self._names)), np.float32)
        held, theirs = past.attributes.get(self.domain), past.attribute_names.get(self.domain, ())
        if held is None:
            return features
        # A newer users file may hold values that the model never saw; those wait for the next model.
        place = {name: column for column, name in enumerate(self._names)}
        pairs = [(column, place[name]) for column, name in enumerate(theirs) if name in place]
        if pairs:
            there, here = zip(*pairs, strict=True)
            features[:, here] = held[:, there].toarray()
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        return features / np.where(norms > 0, norms, 1)

    def items(self, past: Histories) -> tuple[np.ndarray, np.ndarray]:
        """No past item has a part in it."""
        return np.zeros(0, np.int32), np.zeros((0, len(self._names)))

    def told(self, past: Histories) -> tuple[list[str], np.ndarray]:
        """For the one user in `past`: what is known, as `region north`, and features (a, width) that sum to
        `encode`'s row."""
        row = self.encode(past)[0].astype(np.float64)
        known = np.flatnonzero(row)
        labels = [f"{self._names[i][0].replace('_', ' ')} {self._names[i][1]}" for i in known]
        return labels, np.diag(row)[known]

    def arrays(self) -> dict[str, np.ndarray]:
        """The values, in order."""
        return {"names": packed_names(self._names)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `arrays`."""
        self._names = unpacked_names(arrays["names"])
        return self
