"""Which items may be shown at all: in stock, of a category, sold in a region; a mask that every search takes.

What is not known of an item never hides it from everyone: an item that nobody called unavailable is
available, and one with no region listed is sold everywhere. A category is a choice among kinds, so an item
without one is in none of them.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml import columns as c

FILTERS = {"category": c.CATEGORY, "region": c.REGIONS}  # the word a user filters by -> the column behind it
SHOWN = 10  # known values that an error lists


class FilterError(ValueError):
    """A filter that these items cannot answer; the message names what can be asked."""


@dataclass(frozen=True)
class Labels:
    """A column of names, dictionary-encoded: every item holds none, one or several of them.

    names: (v,) sorted unicode array. starts: (n + 1,) int64, codes: (m,) int32; item i holds
    names[codes[starts[i]:starts[i + 1]]].
    """

    names: np.ndarray
    starts: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, values: Iterable[str | Sequence[str] | None]) -> Labels:
        """Encode one entry per item: a name, several, or None; empty names count as none."""
        held = [[value] if isinstance(value, str) else () if value is None else value for value in values]
        held = [sorted({str(name) for name in names if name}) for names in held]
        flat = np.array([name for names in held for name in names], dtype=str)
        names, codes = np.unique(flat, return_inverse=True)
        starts = np.concatenate([[0], np.cumsum([len(names) for names in held], dtype=np.int64)])
        return cls(names, starts.astype(np.int64), codes.astype(np.int32))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def empty(self) -> np.ndarray:
        """(n,) bool: the items that hold no name."""
        return np.diff(self.starts) == 0

    def holding(self, wanted: Iterable[str]) -> np.ndarray:
        """(n,) bool: the items that hold at least one of `wanted`."""
        hits = np.isin(self.codes, np.flatnonzero(np.isin(self.names, list(wanted))))
        return np.diff(np.concatenate([[0], np.cumsum(hits)])[self.starts]) > 0

    def lists(self) -> list[list[str]]:
        """The names of every item."""
        return [part.tolist() for part in np.split(self.names[self.codes], self.starts[1:-1])][: len(self)]


@dataclass(frozen=True)
class ItemAttributes:
    """What a catalogue says of its n items beside text; None for a column that the domain does not have.

    available: (n,) bool. category: at most one name per item. regions: where an item is sold.
    """

    items: int
    available: np.ndarray | None = None
    category: Labels | None = None
    regions: Labels | None = None

    def __post_init__(self) -> None:
        for name in (c.AVAILABLE, c.CATEGORY, c.REGIONS):
            column = getattr(self, name)
            if column is not None and len(column) != self.items:
                raise ValueError(f"{name}: {len(column)} entries for {self.items} items")

    @classmethod
    def from_table(cls, table: pa.Table) -> ItemAttributes:
        """Read the columns available (bool), category (string) and regions (list of strings) that are there.

        A null says nothing: the item is available, has no category, is sold everywhere.
        """
        names = set(table.column_names)
        labels = {
            name: Labels.of(table[name].to_pylist()) for name in (c.CATEGORY, c.REGIONS) if name in names
        }
        available = pc.fill_null(table[c.AVAILABLE], True).to_numpy() if c.AVAILABLE in names else None
        return cls(len(table), available, labels.get(c.CATEGORY), labels.get(c.REGIONS))

    def to_table(self) -> pa.Table:
        """The columns that are there, in the form that `from_table` reads; needs at least one of them."""
        columns: dict[str, pa.Array] = {}
        if self.available is not None:
            columns[c.AVAILABLE] = pa.array(self.available, pa.bool_())
        if self.category is not None:
            first = [names[0] if names else None for names in self.category.lists()]
            columns[c.CATEGORY] = pa.array(first, pa.string())
        if self.regions is not None:
            columns[c.REGIONS] = pa.array(self.regions.lists(), pa.list_(pa.string()))
        return pa.table(columns)


@dataclass(frozen=True)
class Filter:
    """Which items a list may hold: all that the parts allow together.

    available: leave out what is unavailable. categories, regions: one of these; None for any.
    """

    available: bool = True
    categories: frozenset[str] | None = None
    regions: frozenset[str] | None = None

    def mask(self, attributes: ItemAttributes) -> np.ndarray:
        """(n,) bool, the `allowed` of a search; FilterError for a column or value these items lack."""
        allowed = np.ones(attributes.items, dtype=bool)
        if self.available and attributes.available is not None:
            allowed &= attributes.available
        if self.categories is not None:
            category = _known("category", attributes, self.categories)
            allowed &= category.holding(self.categories)
        if self.regions is not None:
            regions = _known("region", attributes, self.regions)
            allowed &= regions.holding(self.regions) | regions.empty
        return allowed


def parse_filter(terms: Iterable[str], *, include_unavailable: bool = False) -> Filter:
    """A filter from terms like `category=books,games` and `region=eu`; FilterError for anything else.

    The values of one attribute are alternatives, also over several terms. A value that holds a comma stands
    in double quotes.
    """
    wanted: dict[str, set[str]] = {}
    for term in terms:
        name, equals, values = (part.strip() for part in term.partition("="))
        if name not in FILTERS or not equals:
            raise FilterError(
                f"filter {term!r}: expected {' or '.join(f'{known}=VALUE[,VALUE]' for known in FILTERS)}"
            )
        named = _values(term, values)
        if not named:
            raise FilterError(f"filter {term!r} names no value: expected {name}=VALUE[,VALUE]")
        wanted.setdefault(name, set()).update(named)
    chosen = {name: frozenset(values) for name, values in wanted.items()}
    return Filter(not include_unavailable, chosen.get("category"), chosen.get("region"))


def _values(term: str, values: str) -> set[str]:
    """The comma-separated values of a term; an empty one counts as none."""
    try:
        row = next(csv.reader([values], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise FilterError(f"filter {term!r} is unreadable ({error}): close its quotes, on one line") from None
    return {value.strip() for value in row} - {""}


def _known(word: str, attributes: ItemAttributes, wanted: frozenset[str]) -> Labels:
    """The column a user calls `word`; FilterError where there is none or it never holds one of `wanted`."""
    labels: Labels | None = getattr(attributes, FILTERS[word])
    if labels is None:
        there = [name for name, column in FILTERS.items() if getattr(attributes, column) is not None]
        raise FilterError(
            f"these items have no {word}; filters that work: {', '.join(there) or 'none'} "
            f"(add items.columns.{word} to the configuration and run again)"
        )
    known = labels.names.tolist()
    for value in sorted(wanted.difference(known)):
        close = difflib.get_close_matches(value, known, n=3)
        listed = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
        raise FilterError(
            f"unknown {word} {value!r}"
            + (f"; did you mean {' or '.join(close)}?" if close else f"; known: {listed or 'none'}")
        )
    return labels
