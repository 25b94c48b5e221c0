"""What a domain knows of its users besides what they did: an age band, a region, a device, one-hot.

The attributes travel with the domain's log, because who may read the one may read the other. A value that few
users hold says more about those users than about taste, so it is left out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from ml import columns as c

USER_ATTRIBUTES_FILE = "user_attributes.parquet"
ATTRIBUTE, VALUE = "attribute", "value"
USER_ATTRIBUTES_SCHEMA = pa.schema([(name, pa.string()) for name in (c.DOMAIN, c.USER_ID, ATTRIBUTE, VALUE)])
FEWEST_HOLDERS = 5
MOST_VALUES = 200  # of one attribute: a column of free text is none


@dataclass(frozen=True)
class UserAttributes:
    """names: (v,) pairs of attribute and value, sorted. held: (n_users, v) CSR, float32 ones."""

    names: tuple[tuple[str, str], ...]
    held: sparse.csr_matrix

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """The attributes, sorted."""
        return tuple(sorted({attribute for attribute, _ in self.names}))

    @property
    def known(self) -> np.ndarray:
        """(n_users,) bool: of whom anything is known."""
        return np.diff(self.held.indptr) > 0

    def of_users(self, users: np.ndarray) -> UserAttributes:
        """The same of the users where `users` (n_users,) bool is true; nothing is known of the others.

        Nor is there a value that fewer than FEWEST_HOLDERS of them hold: that it exists would tell of others.
        """
        lengths = np.diff(self.held.indptr)
        indices = self.held.indices[np.repeat(users, lengths)]
        pointers = np.concatenate([[0], np.cumsum(lengths * users)])
        held = _ones(indices, pointers, len(self.names))
        kept = np.flatnonzero(np.bincount(indices, minlength=len(self.names)) >= FEWEST_HOLDERS)
        return UserAttributes(tuple(self.names[i] for i in kept), held[:, kept])

    def only(self, attributes: Collection[str]) -> UserAttributes | None:
        """The named attributes; None where none of them is here."""
        kept = [place for place, (attribute, _) in enumerate(self.names) if attribute in attributes]
        if len(kept) == len(self.names):
            return self
        return UserAttributes(tuple(self.names[i] for i in kept), self.held[:, kept]) if kept else None

    def arrays(self) -> dict[str, np.ndarray]:
        """What a saved model keeps."""
        return {
            "names": packed_names(self.names),
            "indices": self.held.indices.astype(np.int32),
            "indptr": self.held.indptr.astype(np.int64),
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Undo `arrays`."""
        names = unpacked_names(arrays["names"])
        return cls(names, _ones(arrays["indices"], arrays["indptr"], len(names)))


def _ones(indices: np.ndarray, pointers: np.ndarray, width: int) -> sparse.csr_matrix:
    shape = (len(pointers) - 1, width)
    return sparse.csr_matrix((np.ones(len(indices), np.float32), indices, pointers), shape=shape)


def packed_names(names: tuple[tuple[str, str], ...]) -> np.ndarray:
    """Names as bytes: safetensors hold numbers alone."""
    return np.frombuffer(json.dumps(names).encode(), dtype=np.uint8)


def unpacked_names(packed: np.ndarray) -> tuple[tuple[str, str], ...]:
    """Undo `packed_names`."""
    return tuple((attribute, value) for attribute, value in json.loads(packed.tobytes()))


def known_table(attributes: pa.Table | None, interactions: pa.Table) -> pa.Table | None:
    """USER_ATTRIBUTES_SCHEMA in order, of users with an interaction in some domain; None where none is left.

    Raises ValueError where a domain tells a user's attribute twice.
    """
    if attributes is None:
        return None
    mine = attributes.select(USER_ATTRIBUTES_SCHEMA.names).cast(USER_ATTRIBUTES_SCHEMA).drop_null()
    known = pc.is_in(mine[c.USER_ID], value_set=pc.unique(interactions[c.USER_ID]))
    mine = mine.filter(known).sort_by([(name, "ascending") for name in USER_ATTRIBUTES_SCHEMA.names])
    if len(mine.group_by([c.DOMAIN, c.USER_ID, ATTRIBUTE]).aggregate([])) < len(mine):
        raise ValueError("user attributes: expected one value per domain, user and attribute")
    return mine if len(mine) else None


def one_hot(table: pa.Table, users: np.ndarray, n_users: int) -> UserAttributes | None:
    """The attributes of one domain: rows of USER_ATTRIBUTES_SCHEMA and the positions (r,) of their users.

    Values of fewer than FEWEST_HOLDERS users are left out, and so is what is beyond the MOST_VALUES most
    frequent ones of an attribute; None where nothing is left.
    """
    pairs = list(zip(table[ATTRIBUTE].to_pylist(), table[VALUE].to_pylist(), strict=True))
    found = sorted(set(pairs))
    place = {pair: i for i, pair in enumerate(found)}
    codes = np.array([place[pair] for pair in pairs], dtype=np.int64)
    counts = np.bincount(codes, minlength=len(found))
    kept: list[int] = []
    for attribute in sorted({attribute for attribute, _ in found}):
        mine = [i for i, pair in enumerate(found) if pair[0] == attribute and counts[i] >= FEWEST_HOLDERS]
        kept += sorted(sorted(mine, key=lambda i: (-counts[i], i))[:MOST_VALUES])
    if not kept:
        return None
    cells = (np.ones(len(codes), np.float32), (users, codes))
    held = sparse.csr_matrix(cells, shape=(n_users, len(found)))[:, kept]
    held.sort_indices()
    return UserAttributes(tuple(found[i] for i in kept), held)
