"""Which answers of a language model may become an item's or a user's text.

Catalogue text is foreign: a seller can write "ignore previous instructions" into a title. What keeps that
harmless is structure (one item per prompt, its text as data, an answer that touches this item only); this is
the last gate, for what an obedient model would then write: addresses, markup, talk about its instructions.
"""

from __future__ import annotations

import re

from ml.text.generate.contract import WrongAnswerError

_ADDRESS = re.compile(
    r"://|\bwww\.|[^\s@]@[^\s@]|\b[a-z0-9-]+\.(?:com|net|org|info|biz|shop|app|io|co|cn|de|ru|uk|xyz)\b", re.I
)
_PHONE = re.compile(r"\+?\d(?:[\s()/.-]*\d){8,}")
_MARKUP = re.compile(r"[<>{}\[\]|`\\]|\*\*|__|^\s*#", re.M)
_ABOUT_ITSELF = re.compile(
    r"\b(?:(?:previous|prior|above|my|your|these) (?:instructions?|rules|prompts?)|system prompt|user message"
    r"|language model|as an ai|json)\b"
    r"|指令|提示词|系统提示|语言模型|作为(?:一个|一名)?(?:AI|人工智能)",
    re.I,
)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# Written without spaces: Han, kana, Thai and their neighbours. Two such characters are about a word.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def word_count(text: str) -> int:
    """Words of a text in any script; of scripts without spaces, two characters count as one word."""
    unspaced = len(_UNSPACED.findall(text))
    return len(_WORD.findall(_UNSPACED.sub(" ", text))) + (unspaced + 1) // 2


def screened(text: str, least_words: int, most_words: int) -> str:
    """The text, cleaned and on one line; WrongAnswerError where it is not fit to be shown or embedded."""
    from ml.text.cleaning.clean import clean

    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell half a character, which no file takes
        raise WrongAnswerError("the text holds half a character") from None
    # Before cleaning, which would take the tags away and leave what they held.
    for pattern, what in ((_MARKUP, "markup"), (_ADDRESS, "an address"), (_PHONE, "a telephone number")):
        if pattern.search(text):
            raise WrongAnswerError(f"the text holds {what}")
    text = " ".join(clean(text, emoji="drop").split())
    if _ADDRESS.search(text):  # full-width letters and zero-width characters hide one from the first look
        raise WrongAnswerError("the text holds an address")
    if _ABOUT_ITSELF.search(text):
        raise WrongAnswerError("the text speaks of its instructions")
    words = word_count(text)
    if not least_words <= words <= most_words:
        raise WrongAnswerError(f"the text has {words} words, expected {least_words} to {most_words}")
    return text
