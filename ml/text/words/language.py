"""The language of a domain's texts, found from a sample: is it the one that the configuration says?

A single title such as "Cast iron pan" tells a language model little (py3langid calls it Bikol), so texts of
one script are read together, some hundred characters at a time; and a script that one language alone is
written in needs no model at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ml.text.words.scripts import HAN, KANA, main_script

SAMPLE = 2000
POOLED_CHARACTERS = 400
TOO_SHORT = 100  # fewer characters than this, brand names most often, tell a model nothing
# Where so many of the texts with Chinese characters have kana, the others are Japanese too.
KANA_SHARE = 0.1
_OF_ONE_LANGUAGE = {
    "HANGUL": "ko", "THAI": "th", "GREEK": "el", "HEBREW": "he", "ARMENIAN": "hy", "GEORGIAN": "ka",
    "TAMIL": "ta", "TELUGU": "te", "KANNADA": "kn", "MALAYALAM": "ml", "GUJARATI": "gu", "GURMUKHI": "pa",
    "SINHALA": "si", "KHMER": "km", "LAO": "lo", "MYANMAR": "my",
}  # fmt: skip
# What a reader, a stop-word list and an encoder of one serve the others just as well.
_KIN = ({"no", "nb", "nn"}, {"id", "ms"}, {"hr", "bs", "sr", "sh"}, {"zh", "yue", "wuu"}, {"tl", "fil"})


@dataclass(frozen=True)
class Detected:
    """shares: language -> share of the texts that say one, greatest first. texts: how many those are."""

    shares: dict[str, float]
    texts: int

    @property
    def main(self) -> str | None:
        """The language of most texts, None where no text says one."""
        return next(iter(self.shares), None)

    def agrees(self, language: str) -> bool:
        """Whether no other language has more texts than `language` and its kin (or nothing was found).

        A language that is not recognised at all (see `recognised`) agrees with everything.
        """
        if self.main is None or not recognised(language):
            return True
        kin = {base_language(language)}.union(*(group for group in _KIN if base_language(language) in group))
        own = sum(share for name, share in self.shares.items() if name in kin)
        return own >= max((share for name, share in self.shares.items() if name not in kin), default=0.0)


def base_language(code: str) -> str:
    """The language of a code that may name a region or script: `zh-Hant_TW` -> `zh`."""
    return code.replace("_", "-").split("-")[0].lower()


def sampled(texts: Sequence[str], size: int = SAMPLE) -> list[str]:
    """At most `size` of the texts, evenly spread."""
    return list(texts[:: -(-len(texts) // size) or 1])


def detect(texts: Iterable[str]) -> Detected:
    """The languages of these texts (clean, of one domain).

    Latin, Cyrillic and other shared scripts: Lui and Baldwin, langid.py (2012), in its maintained fork.
    """
    by_script: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        script = main_script(text)
        if script is not None:
            by_script[script].append(text)
    found: Counter[str] = Counter()
    for language, count in _east_asian(by_script.pop(HAN, []), by_script.pop(KANA, [])):
        found[language] += count
    for script, members in by_script.items():
        for language, count in _votes(script, members):
            found[language] += count
    total = found.total()
    order = sorted(found, key=lambda language: (-found[language], language))
    return Detected({language: found[language] / total for language in order}, total)


def _east_asian(han: list[str], kana: list[str]) -> Iterator[tuple[str, int]]:
    """Chinese and Japanese: only Japanese has kana, but many of its titles have none."""
    with_kana = [text for text in han if _has_kana(text)]
    japanese = len(kana) + len(with_kana)
    if japanese > KANA_SHARE * (len(han) + len(kana)):
        yield "ja", len(han) + len(kana)
    else:
        yield from (pair for pair in (("zh", len(han)), ("ja", len(kana))) if pair[1])


def _has_kana(text: str) -> bool:
    return any("\u3041" <= character <= "\u30fa" for character in text)


def _votes(script: str, texts: list[str]) -> Iterator[tuple[str, int]]:
    """One language for every pool of texts, and how many texts are in it."""
    if script in _OF_ONE_LANGUAGE:
        yield _OF_ONE_LANGUAGE[script], len(texts)
        return
    for pool in _pools(texts):
        text = " ".join(pool)
        if len(text) >= TOO_SHORT:
            yield _identifier().classify(text)[0], len(pool)


def _pools(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, in lists of POOLED_CHARACTERS or more; what is left over joins the last."""
    pools: list[list[str]] = [[]]
    length = 0
    for text in texts:
        if length >= POOLED_CHARACTERS:
            pools.append([])
            length = 0
        pools[-1].append(text)
        length += len(text)
    if length < POOLED_CHARACTERS and len(pools) > 1:
        rest = pools.pop()
        pools[-1] += rest
    return iter(pools)


@cache
def _identifier() -> Any:
    """py3langid among the languages that people keep stop words of: 83 rarer ones only draw titles away."""
    import stopwordsiso
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    made = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    made.set_languages(set(made.labels) & stopwordsiso.langs())
    return made


def recognised(language: str) -> bool:
    """Whether `detect` can find this language."""
    base = base_language(language)
    kin: set[str] = {base}.union(*(group for group in _KIN if base in group))
    known = {"zh", "ja", *_OF_ONE_LANGUAGE.values(), *_identifier().labels}
    return bool(kin & known)
