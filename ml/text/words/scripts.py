"""Which script a text is written in: what tells Chinese from English at once, however short the text is."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

HAN, KANA, LATIN = "HAN", "KANA", "LATIN"
# A title in another script names brands in Latin letters; an English one hardly ever names anything in Han.
FOREIGN_WEIGHT = 4
_GROUPS = {"CJK": HAN, "IDEOGRAPHIC": HAN, "HIRAGANA": KANA, "KATAKANA": KANA}


@lru_cache(maxsize=1 << 16)
def script_of(character: str) -> str | None:
    """The script of one letter by its Unicode name, such as LATIN, HAN or CYRILLIC; None for no letter."""
    if not character.isalpha():
        return None
    first = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    return _GROUPS.get(first, first) or None


def scripts(text: str) -> Counter[str]:
    """How many letters of each script a text has."""
    return Counter(script for script in map(script_of, text) if script is not None)


def main_script(text: str) -> str | None:
    """The script that a text is in, None where it has no letters.

    A letter that is not Latin counts FOREIGN_WEIGHT: `Apple iPhone 15 手机壳` is Chinese.
    """
    found = scripts(text)
    weighed = {script: n * (1 if script == LATIN else FOREIGN_WEIGHT) for script, n in found.items()}
    return max(weighed, key=lambda script: (weighed[script], script), default=None)
