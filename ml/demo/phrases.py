"""Sentences from templates: `{noun}` becomes a word of the list `noun`, `{noun2}` another of that list."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Formatter

import numpy as np

Words = Mapping[str, Sequence[str]]
_BARE_ARTICLE = re.compile(r"\b([Aa])(?= (?!one\b)[AEIOUaeiou])")
_slots: dict[str, tuple[str, ...]] = {}


def pick(words: Sequence[str], rng: np.random.Generator) -> str:
    """One of `words`, uniformly."""
    return words[int(rng.integers(len(words)))]


def fill(template: str, words: Words, rng: np.random.Generator) -> str:
    """`template` with every slot filled at random and "a" made "an" where it must be."""
    if template not in _slots:
        _slots[template] = tuple(name for _, name, _, _ in Formatter().parse(template) if name)
    chosen: dict[str, str] = {}
    for slot in _slots[template]:
        options = words[slot.rstrip("0123456789")]
        if slot[-1].isdigit():
            options = [word for word in options if word not in chosen.values()]
        chosen[slot] = pick(options, rng)
    return _BARE_ARTICLE.sub(r"\1n", template.format(**chosen))


def capitalised(text: str) -> str:
    """`text` with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]
