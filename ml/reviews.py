"""What users wrote with their interactions: how much they liked the item, and a text in the encoder's space.

A review belongs to one interaction and goes where it goes: who hides an interaction hides its review.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml import columns as c

REVIEWS_FILE = "reviews.parquet"
REVIEWS_SCHEMA = pa.schema(
    [
        (c.DOMAIN, pa.string()),
        (c.USER_ID, pa.string()),
        (c.ITEM_ID, pa.string()),
        (c.TEXT_HASH, pa.string()),
        (c.SENTIMENT, pa.float32()),
    ]
)
_PAIR = [c.DOMAIN, c.USER_ID, c.ITEM_ID]


@dataclass(frozen=True)
class Reviews:
    """The reviews of the m interactions of one domain.

    taste: (m,) float32 in [0, 1], (1 + sentiment) / 2; 1 where no sentiment is known, so that such an
    interaction counts in full. rows: (m,) int32, which of the r texts, -1 for none. hashes: (r,) object, or
    None in a saved model. vectors: (r, d) float32, zero rows where a text is not embedded; None before
    embedding. encoder: the key of the encoder that made them.
    """

    taste: np.ndarray
    rows: np.ndarray
    hashes: np.ndarray | None
    vectors: np.ndarray | None = None
    encoder: str = ""

    def select(self, mask: np.ndarray) -> Reviews:
        """The reviews of the interactions where `mask` (m,) is true."""
        return replace(self, taste=self.taste[mask], rows=self.rows[mask])

    @property
    def embedded(self) -> np.ndarray:
        """(m,) bool: the interactions with a review that has a vector."""
        if self.vectors is None:
            return np.zeros(len(self.rows), dtype=bool)
        held = np.append(self.vectors.any(axis=1), False)  # the last one is row -1
        return held[self.rows]

    def arrays(self, texts: bool) -> dict[str, np.ndarray]:
        """What a saved model keeps: the taste and, with `texts`, the vectors that its interactions use."""
        if not texts or self.vectors is None:
            return {"taste": self.taste}
        used, rows = np.unique(self.rows[self.embedded], return_inverse=True)
        kept = np.full(len(self.rows), -1, np.int32)
        kept[self.embedded] = rows
        return {"taste": self.taste, "rows": kept, "vectors": self.vectors[used]}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `arrays`."""
        nowhere = np.full(len(arrays["taste"]), -1, np.int32)
        return cls(arrays["taste"], arrays.get("rows", nowhere), None, arrays.get("vectors"))


def canonical(reviews: pa.Table | None, interactions: pa.Table) -> pa.Table | None:
    """REVIEWS_SCHEMA in order, without those of pairs that have no interaction; None where none is left.

    Raises ValueError where a pair has several.
    """
    if reviews is None:
        return None
    known = interactions.select(_PAIR)
    kept = reviews.select(REVIEWS_SCHEMA.names).cast(REVIEWS_SCHEMA).join(known, _PAIR, join_type="left semi")
    kept = kept.select(REVIEWS_SCHEMA.names).sort_by([(name, "ascending") for name in _PAIR])
    if len(kept.group_by(_PAIR).aggregate([])) < len(kept):
        raise ValueError("reviews: expected one row at most per domain, user and item")
    return kept if len(kept) else None


def aligned(
    table: pa.Table, users: np.ndarray, items: np.ndarray, log_users: np.ndarray, log_items: np.ndarray
) -> Reviews | None:
    """The reviews of one domain, laid beside its interactions; None where it has none.

    table: REVIEWS_SCHEMA, a row at most for each interaction; users, items: the rows' positions.
    log_users, log_items: (m,) positions of the interactions.
    """
    if not len(table):
        return None
    width = int(log_items.max()) + 1
    pairs = log_users.astype(np.int64) * width + log_items
    wanted = users.astype(np.int64) * width + items
    order = np.argsort(pairs, kind="stable")
    places = order[np.searchsorted(pairs[order], wanted)]
    hashes = pc.unique(table[c.TEXT_HASH].combine_chunks().drop_null())
    rows = pc.index_in(table[c.TEXT_HASH], value_set=hashes, skip_nulls=True).fill_null(-1).to_numpy()
    sentiment = table[c.SENTIMENT].to_numpy().astype(np.float32)
    taste, row_of = np.ones(len(pairs), np.float32), np.full(len(pairs), -1, np.int32)
    taste[places] = np.where(np.isnan(sentiment), 1, (1 + sentiment) / 2)
    row_of[places] = rows
    return Reviews(taste, row_of, np.array(hashes.to_pylist(), dtype=object))
