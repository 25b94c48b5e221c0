"""HTML in catalogue text to plain text: tags out, entities decoded, the words and their lines kept.

Only what looks like a tag of HTML reaches the parser: to a parser "a<b, c>d" is a tag with attributes, and
"size <small" the start of one that never ends.
"""

from __future__ import annotations

import re
from html import unescape
from html.entities import html5
from typing import Any

_BLOCK = """
    address article aside blockquote body br caption center col colgroup dd details dialog dir div dl dt
    fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li main menu
    nav ol optgroup option p pre section summary table tbody tfoot thead title tr ul
"""
_CELL = "button img input td th"
_DROPPED = "embed iframe math meta noscript object script style svg template"
_INLINE = """
    a abbr acronym applet area audio b base bdi bdo big canvas cite code data datalist del dfn em font i ins
    kbd label link map mark meter nobr output param picture progress q rp rt ruby s samp select small source
    span strike strong sub sup textarea time track tt u var video wbr
"""
_NAMES = frozenset(f"{_BLOCK} {_CELL} {_DROPPED} {_INLINE}".split())
_OFFICE = ("m:", "o:", "st1:", "svg:", "v:", "w:", "xml:")  # what a paste from a word processor leaves
_BARE = "async|checked|clear|controls|defer|disabled|hidden|multiple|noshade|nowrap|readonly|required"
_OPEN = rf"""<([a-z][\w:]*+)\s++(?:(?:{_BARE})\b|[^\s<>="'/]++\s*+=)(?:"[^"<]*"|'[^'<]*'|[^<>])*+"""
# No part can give back what it took (++ and *+): a text that looks like a tag for long costs one pass.
_TAG = re.compile(
    rf"<!--.*?-->|<!doctype\b[^<>]*+>|<\?xml\b[^<>]*+>|</?([a-z][\w:]*+)\s*+/?>|{_OPEN}>",
    re.IGNORECASE | re.DOTALL,
)
_TORN = re.compile(_OPEN, re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_ENTITY = re.compile(
    r"&(?:(?:amp|#0*38|#[xX]0*26);)*"  # escaped any number of times over
    r"(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
    r"|&(amp|lt|gt|quot|nbsp)(?![A-Za-z0-9=;])"
)
_SPACE_AROUND = {**dict.fromkeys(_BLOCK.split(), "\n"), **dict.fromkeys(_CELL.split(), " ")}
_DROPPED_NAMES = frozenset(_DROPPED.split())


def _decoded(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    if name.startswith("#") or f"{name};" in html5:
        return unescape(f"&{name};")
    return f"&{name};"


def decode_entities(text: str) -> str:
    """Entities as characters, also where they were escaped more than once; "R&D" and "&foo;" stay."""
    return _ENTITY.sub(_decoded, text) if "&" in text else text


def strip_markup(text: str) -> str:
    """The text of a piece of HTML: scripts and styles dropped, blocks on lines of their own.

    A "<" or "&" that begins neither a tag of HTML nor an entity stays. Entities are left as they are.
    """
    if "<" not in text:
        return text
    text = _untorn(_unwrapped(text))
    parts, names, end = [], set(), 0
    for tag in _TAG.finditer(text):
        name = (tag[1] or tag[2] or "").lower()
        if name and not _is_known(name):
            continue
        around = _SPACE_AROUND.get(name, "")
        parts += [_escaped(text[end : tag.start()]), around, tag[0], around]
        names.add(name)
        end = tag.end()
    if not end:
        return text
    return _parsed("".join([*parts, _escaped(text[end:])]), sorted(names & _DROPPED_NAMES))


def _unwrapped(text: str) -> str:
    """A feed's CDATA sections as their content."""
    end = text.rfind("]]>") + 3  # beyond it every search for the end of a section would be in vain
    return _CDATA.sub(r"\1", text[:end]) + text[end:] if end > 2 and "<![CDATA[" in text else text


def _untorn(text: str) -> str:
    """The text without the comment or tag at its end that a feed has cut in the middle."""
    comment = text.find("<!--", max(0, text.rfind("-->")))
    end = comment if comment >= 0 else len(text)
    while (start := text.rfind("<", 0, end)) >= 0:
        torn = _TORN.match(text, start, end)
        if torn is None or torn.end() < end or not _is_known(torn[1].lower()):
            break
        end = start
    return text[:end]


def _is_known(name: str) -> bool:
    return name in _NAMES or name.startswith(_OFFICE)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _parsed(html: str, dropped: list[str]) -> str:
    """The text of HTML, without that of the elements named `dropped`."""
    from selectolax.lexbor import LexborHTMLParser

    tree: Any = LexborHTMLParser(f"<body>{html}")
    if dropped:
        tree.strip_tags(dropped)
    return str(tree.root.text())
