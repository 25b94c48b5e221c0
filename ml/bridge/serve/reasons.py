"""Why an item is on a list: its score by past item, by block and by domain, and the sentence that says so.

Everything here follows from `Parts`, a sum that reproduces the score. A share is of all that speaks for the
item: what a past item says through several blocks is added up first, and what speaks against the item is left
out. What is left is what holds for every user: popularity, and a bridge's constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ml.bridge.contract import Parts

NAMED = 2  # past items that a sentence names
TITLE = 60  # characters of a title in a sentence


@dataclass(frozen=True)
class Support:
    """What speaks for and against j items. constant: (j,). past: domain -> (positions (h,), each once,
    contributions (h, j)). known: (domain, what is known of the user) -> (j,)."""

    constant: np.ndarray
    past: Mapping[str, tuple[np.ndarray, np.ndarray]]
    known: Mapping[tuple[str, str], np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: Parts) -> Support:
        """The parts with the blocks of every past item added up."""
        past = {}
        for domain, (positions, values) in parts.by_domain.items():
            unique, row = np.unique(positions, return_inverse=True)
            summed = np.zeros((len(unique), values.shape[1]))
            np.add.at(summed, row, values)
            past[domain] = (unique, summed)
        return cls(parts.constant, past, parts.known)

    def helping(self) -> np.ndarray:
        """(j,) all that speaks for each item."""
        found = np.maximum(self.constant, 0.0)
        for _, values in self.past.values():
            found = found + np.maximum(values, 0.0).sum(axis=0)
        return found + sum(np.maximum(values, 0.0) for values in self.known.values())

    def shares(self) -> dict[str, np.ndarray]:
        """domain -> (j,) the share, in [0, 1], of what is known there of the user: past items and attributes.
        With what holds for every user they sum to 1."""
        whole = self.helping()
        whole, zero = np.where(whole > 0, whole, 1.0), np.zeros(len(self.constant))
        found = {d: np.maximum(values, 0.0).sum(axis=0) / whole for d, (_, values) in self.past.items()}
        for (domain, _), values in self.known.items():
            found[domain] = found.get(domain, zero) + np.maximum(values, 0.0) / whole
        return found

    def crossed(self, target: str) -> np.ndarray:
        """(j,) the share that came from other domains than the target."""
        shares = (share for domain, share in self.shares().items() if domain != target)
        return sum(shares, start=np.zeros(len(self.constant)))

    def strongest(self, j: int, most: int = NAMED) -> list[tuple[str, int | str, float]]:
        """What speaks most for item `j`, at most `most`: domain, past item (its position) or attribute (in
        words), share; the strongest first."""
        whole = float(self.helping()[j])
        terms: list[tuple[str, int | str, float]] = [
            (domain, int(position), float(value))
            for domain, (positions, values) in self.past.items()
            for position, value in zip(positions, values[:, j], strict=True)
        ]
        terms += [(domain, label, float(values[j])) for (domain, label), values in self.known.items()]
        terms.sort(key=lambda term: (-term[2], term[0], str(term[1])))
        return [(domain, what, value / whole) for domain, what, value in terms[:most] if value > 0]


def because(
    support: Support, j: int, title: Callable[[str, int], str], verbs: Mapping[str, str] | None = None
) -> str:
    """The sentence for item `j`. title: domain, position -> how a past item is called. verbs: domain -> what
    its users did with items ("bought"), where every event of the domain means the same."""
    clauses, before = [], ""
    for domain, what, share in support.strongest(j):
        verb = (verbs or {}).get(domain)
        lead = "of your " if isinstance(what, str) else f"you {verb} " if verb else "of "
        said = what if isinstance(what, str) else title(domain, what)
        clauses.append(f"{lead if lead != before else ''}{said} in {domain}: {share * 100:.0f} %")
        before = lead
    return f"because {'; '.join(clauses)}" if clauses else "popular here"


def shortened(title: str, most: int = TITLE) -> str:
    """The title, cut after a word and marked so where it has more than `most` characters."""
    if len(title) <= most:
        return title
    kept = title[: most - 1]
    # Some languages have no spaces, and some titles no second word.
    return (kept.rsplit(" ", 1)[0] if " " in kept else kept).rstrip(" ,;:-") + "…"


@dataclass(frozen=True)
class Term:
    """One summand of a score: a past item (its position in the domain) or an attribute of the user in words.
    blocks: what of the value came through which block."""

    domain: str
    what: int | str
    value: float
    blocks: Mapping[str, float]


def terms(parts: Parts, j: int) -> list[Term]:
    """All of the score of item `j` but the constant, every past item once; what adds most first."""
    found: dict[tuple[str, int | str], dict[str, float]] = {}
    for domain, (positions, values) in parts.by_domain.items():
        names = parts.blocks.get(domain, [""] * len(positions))
        for position, name, value in zip(positions, names, values[:, j], strict=True):
            mine = found.setdefault((domain, int(position)), {})
            mine[str(name)] = mine.get(str(name), 0.0) + float(value)
    for (domain, label), values in parts.known.items():
        found[domain, label] = {"user_attributes": float(values[j])}
    every = [Term(d, what, sum(blocks.values()), blocks) for (d, what), blocks in found.items()]
    return sorted(every, key=lambda term: (-term.value, term.domain, str(term.what)))


def by_block(parts: Parts) -> dict[tuple[str, str], np.ndarray]:
    """(domain, block or attribute) -> (j,) what came through it; with the constant they are the score."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for domain, (positions, values) in parts.by_domain.items():
        names = parts.blocks.get(domain, np.full(len(positions), "", dtype=object))
        for name in sorted(set(names)):
            found[domain, str(name)] = values[names == name].sum(axis=0)
    return found | dict(parts.known)
