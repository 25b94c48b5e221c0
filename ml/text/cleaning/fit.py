"""Fit an item's fields to what the encoder reads: the title whole, the rest shared between the others.

A tokenizer cuts at the end, wherever that is: a long first field would cost all that stands after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ml.text.cleaning.template import Template

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(f"[{CJK}]|[^\\W{CJK}]+|[^\\w\\s]")
_CHARACTERS_PER_TOKEN = 4  # of a word of English in a WordPiece vocabulary, rounded up


def estimated_tokens(text: str) -> int:
    """About how many tokens a text costs: one for each CJK character or sign, one per 4 letters of a word."""
    return sum(map(_cost, _WORD.findall(text)))


def _cost(word: str) -> int:
    return -(-len(word) // _CHARACTERS_PER_TOKEN)


def cut(text: str, tokens: int) -> str:
    """The start of a text that costs at most about `tokens`, whole words; the whole text where it fits."""
    spent = 0
    for match in _WORD.finditer(text):
        spent += _cost(match[0])
        if spent > tokens:
            return text[: match.start()].rstrip()
    return text


def fair_shares(costs: Mapping[str, int], budget: int) -> dict[str, int]:
    """What each may spend: who needs less than an equal share gives the rest to those who need more.

    >>> fair_shares({"brand": 2, "description": 90, "features": 60}, 62)
    {'brand': 2, 'features': 30, 'description': 30}
    """
    shares: dict[str, int] = {}
    waiting = sorted(costs, key=lambda name: costs[name])
    for i, name in enumerate(waiting):
        shares[name] = min(costs[name], budget // (len(waiting) - i))
        budget -= shares[name]
    return shares


def fit(texts: Mapping[str, str], template: Template, title: str, max_tokens: int) -> dict[str, str]:
    """The texts of an item, cut so that the document of `template` costs about `max_tokens` at most.

    The title stays whole, even where it is all that fits.
    """
    used = [name for name in template.columns if texts[name]]
    # Nothing costs more tokens than it has characters: most items need no more than their lengths.
    if len(template.literals) + sum(len(texts[name]) for name in used) <= max_tokens:
        return dict(texts)
    costs = {name: estimated_tokens(texts[name]) for name in used if name != title}
    budget = max_tokens - estimated_tokens(template.literals) - estimated_tokens(texts[title])
    if sum(costs.values()) <= budget:
        return dict(texts)
    shares = fair_shares(costs, max(0, budget))
    return {name: cut(text, shares[name]) if name in shares else text for name, text in texts.items()}
