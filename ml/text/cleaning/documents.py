"""An item's columns to the one text that the encoder reads: cleaned, without boilerplate, fitted to length.

Everything is decided item by item, except for what a sample of the whole catalogue shows to be boilerplate;
so a catalogue of any size passes through in batches.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ml.text.cleaning.boilerplate import find_boilerplate, without_boilerplate
from ml.text.cleaning.clean import Emoji, fixes
from ml.text.cleaning.fit import fit
from ml.text.cleaning.template import Template

Fields = Sequence[str | None]

# Of one field: no encoder reads as far, and one broken field must not hold up a catalogue.
MAX_CHARACTERS = 50_000


@dataclass(frozen=True)
class Document:
    """What is shown of an item, what is embedded, and the SHA-256 of that in hex; None where no text is."""

    title: str | None = None
    text: str | None = None
    text_hash: str | None = None


@dataclass
class Tally:
    """What was done to how many items: kinds of fix, and how often each piece of boilerplate was cut."""

    items: int = 0
    with_text: int = 0
    changed: int = 0
    fixes: Counter[str] = field(default_factory=Counter)
    boilerplate: Counter[str] = field(default_factory=Counter)


class DocumentBuilder:
    """The rules of one domain, applied to item after item.

    columns: names of the text columns, the first one is the title. template: see `Template`. max_tokens:
    what the encoder reads; a longer document gives up parts of its other fields before any of its title.
    boilerplate_share: sentences that more of the items repeat are cut, never from the title; None keeps all.
    `tally` counts what was done.
    """

    def __init__(
        self,
        columns: Sequence[str],
        *,
        template: str | None = None,
        emoji: Emoji = "keep",
        boilerplate_share: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.columns = list(columns)
        self.template = Template(template or "\n".join(f"{{{i}}}" for i in range(len(self.columns))))
        self._names = self.columns if template else [str(i) for i in range(len(self.columns))]
        self.emoji, self.share, self.max_tokens = emoji, boilerplate_share, max_tokens
        self.boilerplate: dict[str, str] = {}
        self.tally = Tally()

    def learn(self, sample: Iterable[Fields]) -> DocumentBuilder:
        """Find the boilerplate in a random sample of the items (or all of them), before `build`."""
        if self.share is not None:
            bodies = ([text for text in self._cleaned(fields)[0][1:] if text] for fields in sample)
            self.boilerplate = find_boilerplate(bodies, self.share)
        return self

    def build(self, items: Iterable[Fields]) -> list[Document]:
        """One document per item. Raises ValueError where an item has another number of fields."""
        return [self._document(fields) for fields in items]

    def _cleaned(self, fields: Fields) -> tuple[list[str], set[str]]:
        if len(fields) != len(self.columns):
            raise ValueError(f"{len(fields)} texts for the columns {self.columns}: expected one of each")
        found: set[str] = set()
        texts = []
        for text in fields:
            plain, kinds = fixes(text[:MAX_CHARACTERS], self.emoji) if text else ("", set())
            texts.append(plain)
            found |= kinds
        return texts, found

    def _document(self, fields: Fields) -> Document:
        texts, found = self._cleaned(fields)
        if self.boilerplate:
            for i, text in enumerate(texts[1:], start=1):
                texts[i], cut = without_boilerplate(text, self.boilerplate)
                self.tally.boilerplate.update(cut)
                found |= {"boilerplate"} if cut else set()
        lines = {name: text.replace("\n", " ") for name, text in zip(self._names, texts, strict=True)}
        read = [name for name in self.template.columns if lines[name]]
        if self.max_tokens is not None and read:
            fitted = fit(lines, self.template, self._names[0], self.max_tokens)
            found |= {"truncated"} if fitted != lines else set()
        else:
            fitted = lines
        document = self.template.render(fitted) or None
        self._count(found, document)
        if document is None:
            return Document()
        title = lines[self._names[0]] or lines[read[0]]
        return Document(title, document, hashlib.sha256(document.encode()).hexdigest())

    def _count(self, found: set[str], document: str | None) -> None:
        self.tally.items += 1
        self.tally.with_text += document is not None
        self.tally.changed += bool(found)
        self.tally.fixes.update(found)
