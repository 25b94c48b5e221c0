"""A domain's documents through an encoder into its store, and what to tell about texts it cannot read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.live import LiveProgress

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.text.encoding.embed import EmbedReport
    from ml.text.encoding.encoder import TextEncoder
    from ml.text.encoding.store import EmbeddingStore

CHECK = "encoder_reads_language"
UNKNOWN_SAMPLE = 1000
# A catalogue holds a few names in other scripts; more than this share is a second language.
UNREADABLE_LIMIT = 0.01
EXAMPLE_LENGTH = 60


@dataclass(frozen=True)
class Embedded:
    """One domain's pass. unknown_share: of a sample's tokens; unread: over the limit, nothing is embedded."""

    report: EmbedReport
    unknown_share: float
    unread: bool
    examples: tuple[str, ...]

    @property
    def unreadable_share(self) -> float:
        """Share of the items with text that the encoder mostly cannot read."""
        report = self.report
        return report.unreadable / max(1, report.new + report.reused + report.unreadable)

    def metadata(self, encoder: TextEncoder) -> dict[str, Any]:
        """What the asset shows of the domain."""
        return {
            "texts": self.report.new + self.report.reused,
            "new": self.report.new,
            "reused": self.report.reused,
            "without_text": self.report.without_text,
            "unreadable": self.report.unreadable,
            "unreadable_examples": list(self.examples),
            "texts_per_second": round(self.report.texts_per_second, 1),
            "unknown_share": round(self.unknown_share, 4),
            "encoder": encoder.key,
            "device": str(encoder.device),
        }


def embed_domain(
    encoder: TextEncoder,
    store: EmbeddingStore,
    domain: str,
    documents: pa.Table,
    log: Callable[[str], object],
) -> Embedded:
    """Embed the new texts of `documents` (document, text_hash; null where an item has no text).

    Where the encoder knows too little of a sample's tokens nothing is embedded and all items count as without
    text: vectors of noise would be learned from, and none are not. Single texts of that kind are left out.
    """
    from ml.text.encoding.embed import EXAMPLES, UNKNOWN_LIMIT, embed_missing

    hashes, texts = documents["text_hash"].to_pylist(), documents["document"].to_pylist()
    present = [text for text in texts if text is not None]
    share = encoder.unknown_share(present[:: len(present) // UNKNOWN_SAMPLE + 1])
    unread = share > UNKNOWN_LIMIT
    if unread:
        log(f"{domain}: {share:.0%} of the tokens are unknown to {encoder.key}; nothing is embedded")
        hashes = texts = [None] * len(texts)
    report = embed_missing(encoder, store, hashes, texts, LiveProgress(domain, log))
    examples = present[:EXAMPLES] if unread else report.examples
    return Embedded(report, share, unread, tuple(text[:EXAMPLE_LENGTH] for text in examples))


def language_check(embedded: Mapping[str, Embedded]) -> dg.AssetCheckResult:
    """Fails, with advice and examples, where texts are in a language that the encoder does not know."""
    faults = []
    for domain, result in sorted(embedded.items()):
        if result.unread:
            share = f"{result.unknown_share:.0%} of the tokens are unknown to the encoder"
            faults.append(f"{domain}: {share}, so none of its items has a vector")
        elif result.unreadable_share > UNREADABLE_LIMIT:
            share = f"{result.unreadable_share:.1%} of the texts are mostly unknown to the encoder"
            faults.append(f"{domain}: {share} and have no vector ({'; '.join(result.examples)})")
    advice = "Set encoder.model to a model that knows their languages (a Hugging Face id or a folder)"
    return dg.AssetCheckResult(
        passed=not faults,
        check_name=CHECK,
        description=". ".join([*faults, advice])
        if faults
        else "The encoder knows the language of every domain of this run.",
        metadata={
            **{f"unknown_share/{domain}": round(r.unknown_share, 4) for domain, r in embedded.items()},
            **{f"unreadable/{domain}": r.report.unreadable for domain, r in embedded.items()},
        },
    )
