"""Text to words that can stand for it as keywords: segmented, in lower case, without stop words and numbers.

Only keywords need this. An encoder gets whole text: its tokenizer decides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Any

from ml.text.words.language import base_language
from ml.text.words.traditional import simplified

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_HIRAGANA, _KATAKANA = "\u3041-\u309f", "\u30a1-\u30fa\u30fc-\u30ff"
_NOT_LATIN_WRITTEN = {
    "ar", "bg", "bn", "el", "fa", "gu", "he", "hi", "hy",
    "ja", "ka", "ko", "mr", "ru", "th", "uk", "ur", "zh",
}  # fmt: skip
_ELIDING = {"fr", "it", "ca"}  # l'hiver: the article is not part of the word
# What the segmentation leaves of "3件套" or "500克装"; the stop words have none of them.
_MEASURES = frozenset("款装裝套支件盒袋瓶罐双雙副组組台把粒枚克斤升寸码碼号號型版") | {
    "件套",
    "毫升",
    "厘米",
    "公分",
}


def words(text: str, language: str) -> list[str]:
    """The words of a clean text (NFKC), in order, as often as they occur.

    Chinese is segmented by jieba; traditional characters are looked up as simplified ones and come out as
    they were written. Japanese kanji and katakana come out run by run, its hiragana (mostly grammar) not at
    all. Everything else follows Unicode's word boundaries, so text without spaces (Thai, Khmer) comes out
    whole. Words are not stemmed.
    """
    base = base_language(language)
    stop = stop_words(base)
    found = (word.lower() for word in _tokens(text, base))
    return [word for word in found if _says_something(word) and word not in stop]


@cache
def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language; where it is not in Latin letters, the English ones too.

    A Chinese title names brands in English; a German one has `die` and `war` as words of its own.
    """
    import stopwordsiso

    base = base_language(language)
    names = [base, "en"] if base in _NOT_LATIN_WRITTEN else [base]
    found = {
        word.lower() for name in names if stopwordsiso.has_lang(name) for word in stopwordsiso.stopwords(name)
    }
    return frozenset(found | _MEASURES if base == "zh" else found)


def separator(language: str) -> str:
    """What stands between keywords that are written as one line."""
    return "、" if base_language(language) in ("zh", "ja") else ", "


def _tokens(text: str, language: str) -> Iterator[str]:
    for match in _pattern().finditer(text):
        if match.lastgroup != "han":
            yield from re.split("['’]", match.group()) if language in _ELIDING else [match.group()]
        elif language == "ja":
            yield from re.findall(f"[{_HAN}]+|[A-Za-z0-9]+", match.group())
        else:
            yield from _chinese(match.group())


def _says_something(word: str) -> bool:
    if word.isnumeric() or not any(map(str.isalpha, word)):  # 二十八 is a number, and letters all the same
        return False
    return len(word) > 1 or re.match(f"[{_HAN}]", word) is not None


def _chinese(run: str) -> Iterator[str]:
    """The words of a run of Chinese characters, with the Latin letters and digits that stand among them."""
    start = 0
    for word in _segmenter().cut(simplified(run)):
        end = start + len(word)
        if word[0].isalnum():
            yield run[start:end].strip(".")
        start = end


@cache
def _segmenter() -> Any:
    """jieba with its dictionary read directly: 1 s once, but no cache file outside and nothing on stderr."""
    import jieba

    made = jieba.Tokenizer()
    made.FREQ, made.total = made.gen_pfdict(made.get_dict_file())
    made.initialized = True
    return made


@cache
def _pattern() -> re.Pattern[str]:
    letter = rf"[^\W_{_HAN}{_HIRAGANA}{_KATAKANA}]"
    inside = rf"(?:{letter}|[{_marks()}])*"
    # UAX 29: an apostrophe between letters, a point or comma between digits does not end a word.
    word = rf"{letter}{inside}(?:(?:(?<=[^\W\d])['’](?=[^\W\d])|(?<=\d)[.,](?=\d)){letter}{inside})*"
    return re.compile(
        rf"(?P<han>[A-Za-z0-9]*[{_HAN}][{_HAN}A-Za-z0-9.]*)|(?P<kana>[{_KATAKANA}]+)|(?P<word>{word})"
    )


def _marks() -> str:
    """Vowel signs and accents that are no letters, as character ranges: Hindi words hold many of them."""
    ranges: list[list[int]] = []
    for code in range(0x300, 0x1E900):
        selector = 0xFE00 <= code <= 0xFE0F  # these choose the look of an emoji
        if unicodedata.category(chr(code)) in ("Mn", "Mc") and not selector:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
