"""Sentences that many items of a domain share: shipping terms, slogans, care notes.

They tell no item from another, but draw all vectors of the domain towards each other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from ml.text.cleaning.fit import CJK

MIN_ITEMS = 20  # fewer items that share a sentence may well be a series
MIN_WORDS = 4
MIN_CJK = 8
# The second kind is that of Chinese and Japanese, whose sentences no space divides.
_ENDS = re.compile(r"(?<=[.!?|\u2022\u00b7])\s+|(?<=[\u3002!?])(?=[^\s.!?\u3002)\u300d\u300f\"'])|\n")
_CJK = re.compile(f"[{CJK}]")
_TRIM = " \n.!?\u3002;,:*\u2022\u00b7|-\u2013\u2014"


def sentences(text: str) -> Iterator[str]:
    """The sentences and lines of a clean text, each with the space after it: together they are the text."""
    start = 0
    for end in _ENDS.finditer(text):
        yield text[start : end.end()]
        start = end.end()
    yield text[start:]


def sentence_key(sentence: str) -> str | None:
    """What makes two sentences the same one; None for one too short to be boilerplate."""
    if len(sentence) < MIN_CJK:
        return None
    if len(sentence.split()) < MIN_WORDS and len(_CJK.findall(sentence)) < MIN_CJK:
        return None
    return sentence.strip(_TRIM).casefold() or None


def find_boilerplate(items: Iterable[list[str]], share: float) -> dict[str, str]:
    """Key -> the sentence as it stands, of sentences in more than `share` of the items and in MIN_ITEMS.

    items: each one's texts but its title. Memory grows with the distinct sentences: give a sample of a
    catalogue of millions.
    """
    counts: Counter[str] = Counter()
    shown: dict[str, str] = {}
    total = 0
    for texts in items:
        total += 1
        found = {key: part for text in texts for part in sentences(text) if (key := sentence_key(part))}
        counts.update(found.keys())
        for key, part in found.items():
            shown.setdefault(key, part.strip())
    return {key: shown[key] for key, n in counts.items() if n >= MIN_ITEMS and n > share * total}


def without_boilerplate(text: str, boilerplate: dict[str, str]) -> tuple[str, set[str]]:
    """The text without those sentences, and the sentences that were cut."""
    kept, cut = [], set()
    for part in sentences(text):
        key = sentence_key(part)
        if key in boilerplate:
            cut.add(boilerplate[key])
        else:
            kept.append(part)
    return ("".join(kept).strip() if cut else text), cut
