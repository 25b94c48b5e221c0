"""Raw text of catalogues and reviews to the plain text that an encoder should read.

The words stay in, stop words too: which of them matter is for the tokenizer and the model.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal

from ml.text.cleaning.markup import decode_entities, strip_markup

Emoji = Literal["keep", "drop"]

# Bases of emoji: pictographs, and the older symbols that take part in sequences.
_PICTURE = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
# Within words of the Arabic and Indic scripts a joiner is spelling.
_JOINED_SCRIPT = "\u0620-\u06d3\u0900-\u0dff"
_MEANT = (
    f"(?<=[{_PICTURE}\ufe0f])\u200d(?=[{_PICTURE}])"
    f"|(?<=[{_PICTURE}])\ufe0f|(?<=[0-9#*])\ufe0f?\u20e3"
    "|(?<=\U0001f3f4)[\U000e0020-\U000e007e]{1,8}\U000e007f"
    f"|(?<=[{_JOINED_SCRIPT}])[\u200c\u200d](?=[{_JOINED_SCRIPT}])"
)
_UNSEEN = (
    "\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f"  # control
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\ufff0-\uffff\U000e0000-\U000e0fff"  # zero width, direction, variation, damage
    "\ud800-\udfff"  # half a character: no UTF-8 can hold it
)
_INVISIBLE = re.compile(f"({_MEANT})|[{_UNSEEN}]")
_SUSPECT = re.compile(f"[{_UNSEEN}]")
# Word processors' bullets and icon fonts; a blank of Braille.
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff\u2800]+")
# NFKC would write them as letters and digits of the word before: "LegoTM", "11/2 cups".
_MARKS = re.compile("[\u2120\u2122]")
_FRACTION = re.compile("(?<=[0-9])(?=[\u00bc-\u00be\u2150-\u215f\u2189])")
_LINE_ENDS = re.compile("[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
_SPACES = re.compile(r"[^\S\n ][^\S\n]*| [^\S\n]+")  # all but a single space, which stays
_LINES = re.compile(r" *\n[ \n]*")
_MARKUP = re.compile("[<&]")
_EMOJI_LIKE = re.compile(f"[{_PICTURE}\u20e3]")


def clean(text: str, emoji: Emoji = "keep") -> str:
    """Plain text: no markup, entities, control or zero-width characters; Unicode NFKC; single spaces.

    Lines are kept ("\\n"): blocks and <br> of HTML begin one, no line is blank. With `emoji="drop"` emoji
    become a space. `clean(clean(t)) == clean(t)`. Any string is accepted; "" where nothing is left.
    """
    return fixes(text, emoji)[0]


def fixes(text: str, emoji: Emoji = "keep") -> tuple[str, set[str]]:
    """`clean` and the kinds of what it found: markup, characters (NFKC), invisible, emoji, spaces."""
    found: set[str] = set()
    while (after := _once(text, emoji, found)) != text:
        text = after  # what an entity decodes to, or a full-width "<" becomes, may need another look
    return text, found


def _once(text: str, emoji: Emoji, found: set[str]) -> str:
    """One look at every kind of fault; the kinds that it fixes are added to `found`."""

    def fixed(kind: str, after: str) -> str:
        if after != text:
            found.add(kind)
        return after

    if _MARKUP.search(text):
        text = fixed("markup", decode_entities(strip_markup(text)))
    if not text.isascii():
        if not unicodedata.is_normalized("NFKC", text):
            text = fixed("characters", _normalised(text))
        text = fixed("invisible", _PRIVATE.sub(" ", text))
        if emoji == "drop" and _EMOJI_LIKE.search(text):
            text = fixed("emoji", _emoji().sub(" ", text))
    if _SUSPECT.search(text):
        text = fixed("invisible", _INVISIBLE.sub(r"\1", text))
    return fixed("spaces", _LINES.sub("\n", _SPACES.sub(" ", _LINE_ENDS.sub("\n", text))).strip())


def _normalised(text: str) -> str:
    text = _FRACTION.sub(" ", _MARKS.sub(" ", text))
    return unicodedata.normalize("NFKC", text).replace("\u2044", "/")


@cache
def _emoji() -> re.Pattern[str]:
    """Emoji with all that joins, colours or varies them; the package's own search is quadratic in a run."""
    from emoji import EMOJI_DATA

    signs = "".join(sorted({sign for name in EMOJI_DATA for sign in name} - set("0123456789#*")))
    return re.compile(f"[{re.escape(signs)}]+|[0-9#*]\ufe0f?\u20e3")
