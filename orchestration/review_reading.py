"""A domain's reviews as models read them: cleaned, judged and embedded, a batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.config import Config, Home
from orchestration.domain_config import Reviews
from orchestration.embedding import UNREADABLE_LIMIT
from orchestration.files import replaced_file
from orchestration.live import LiveProgress
from orchestration.reviews import WHO, reviews_path, written_path

if TYPE_CHECKING:
    import numpy as np

    from ml.text.encoding.encoder import TextEncoder
    from ml.text.encoding.store import EmbeddingStore

BATCH = 1 << 15  # reviews in memory at once: 100 MB where each has some hundred words
SCALE_CHECK, LANGUAGE_CHECK = "ratings_lie_on_their_scale", "encoder_reads_reviews"
OFF_SCALE = 0.01  # of the ratings; above it the scale is wrong, not the rating

Texts = Sequence[str | None]


@dataclass
class Reading:
    """What became of a domain's reviews. new + reused + unreadable + without_text is their number.

    rated: have a rating; off_scale: one outside `reviews.rating_scale`; disliked: have a sentiment below 0.
    """

    reviews: int = 0
    new: int = 0
    reused: int = 0
    unreadable: int = 0
    without_text: int = 0
    rated: int = 0
    off_scale: int = 0
    disliked: int = 0


def read_reviews(
    config: Config, home: Home, domain: str, encoders: Sequence[TextEncoder], log: Callable[[str], object]
) -> Reading:
    """Clean, judge and embed a domain's reviews, each text once; the file appears when all is done.

    The figures are those of the first encoder; the others only embed. Raises FileNotFoundError where
    review_texts has not been materialised.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ml.text.encoding.store import EmbeddingStore

    path = written_path(home, domain)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: materialise review_texts of {domain} first")
    file, reading = pq.ParquetFile(path), Reading()
    judge = make_judge(config.domains[domain].reviews, home)
    stores = [
        (encoder, EmbeddingStore(home.embeddings, encoder.key, encoder.dimension)) for encoder in encoders
    ]
    progress, emoji = LiveProgress(domain, log, "reviews", "read"), config.text_of(domain).emoji
    further = [("text_hash", pa.string()), ("sentiment", pa.float32()), ("text", pa.string())]
    schema = pa.schema([*(file.schema_arrow.field(name) for name in WHO), *further])
    with (
        replaced_file(reviews_path(home, domain)) as beside,
        pq.ParquetWriter(beside, schema, compression="zstd") as writer,
    ):
        for batch in file.iter_batches(BATCH):
            texts, hashes = cleaned(batch["review"].to_pylist(), emoji)
            sentiment = judge(batch["rating"].to_numpy(zero_copy_only=False), hashes, texts, reading)
            _embed(stores, hashes, texts, reading)
            columns = [*(batch[name] for name in WHO), pa.array(hashes, pa.string())]
            columns += [pa.array(sentiment, pa.float32(), from_pandas=True), pa.array(texts, pa.string())]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            reading.reviews += len(batch)
            progress(reading.reviews, file.metadata.num_rows)
    return reading


def cleaned(reviews: Sequence[str], emoji: Any) -> tuple[list[str | None], list[str | None]]:
    """Clean texts and their SHA-256 in hex; None where nothing is left."""
    from ml.text.cleaning.clean import clean

    texts = [clean(review, emoji) or None for review in reviews]
    return texts, [None if text is None else hashlib.sha256(text.encode()).hexdigest() for text in texts]


def _embed(
    stores: Sequence[tuple[TextEncoder, EmbeddingStore]], hashes: Texts, texts: Texts, reading: Reading
) -> None:
    from ml.text.encoding.embed import embed_missing

    first, *_ = [embed_missing(encoder, store, hashes, texts) for encoder, store in stores]
    reading.new += first.new
    reading.reused += first.reused
    reading.unreadable += first.unreadable
    reading.without_text += first.without_text


Judge = Callable[["np.ndarray", Texts, Texts, Reading], "np.ndarray"]


def make_judge(rules: Reviews, home: Home) -> Judge:
    """A function of a batch's ratings, hashes and texts to its sentiment (n,), NaN where none is known."""
    import numpy as np

    from ml.text.encoding.store import EmbeddingStore
    from ml.text.sentiment import SentimentScorer, rating_sentiment

    scorer = SentimentScorer(rules.model, rules.revision) if rules.model is not None else None
    # A score is a vector of one number: kept by text, never computed twice.
    store = EmbeddingStore(home.root / "sentiment", scorer.key, 1) if scorer else None

    def judge(ratings: np.ndarray, hashes: Texts, texts: Texts, reading: Reading) -> np.ndarray:
        found = np.full(len(ratings), np.nan, np.float32)
        rated = np.isfinite(ratings.astype(np.float64))
        if rules.sentiment == "rating":
            found = rating_sentiment(ratings, rules.rating_scale)
            reading.off_scale += int((rated & np.isnan(found)).sum())
        elif scorer is not None and store is not None:
            text_of = {h: text or "" for h, text in zip(hashes, texts, strict=True) if h is not None}
            new = store.missing(hashes)
            store.add(new, scorer.score([text_of[h] for h in new])[:, None])
            held = np.array([h is not None for h in hashes], dtype=bool)
            found[held] = store.matrix(hashes)[held, 0]
        reading.rated += int(rated.sum())
        reading.disliked += int((found < 0).sum())
        return found

    return judge


def scale_check(found: dict[str, Reading]) -> dg.AssetCheckResult:
    """Fails softly, with advice, where over OFF_SCALE of a domain's ratings are not on `rating_scale`."""
    wrong = sorted(d for d, reading in found.items() if reading.off_scale > OFF_SCALE * reading.rated)
    keys = " and ".join(f"domains.{domain}.reviews.rating_scale" for domain in wrong)
    return dg.AssetCheckResult(
        passed=not wrong,
        check_name=SCALE_CHECK,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Ratings outside the scale say nothing about taste: set {keys} to [worst, best]"
        if wrong
        else "Ratings lie between worst and best.",
        metadata={f"off_scale/{domain}": reading.off_scale for domain, reading in found.items()},
    )


def language_check(found: dict[str, Reading]) -> dg.AssetCheckResult:
    """Fails softly where the encoder cannot read over UNREADABLE_LIMIT of a domain's reviews."""
    unread = {
        domain: reading.unreadable / max(1, reading.reviews - reading.without_text)
        for domain, reading in found.items()
    }
    wrong = [
        f"{domain} ({share:.1%})" for domain, share in sorted(unread.items()) if share > UNREADABLE_LIMIT
    ]
    return dg.AssetCheckResult(
        passed=not wrong,
        check_name=LANGUAGE_CHECK,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Reviews that the encoder cannot read have no vector: {', '.join(wrong)}. "
        "Set encoder.model to a model that knows their language (a Hugging Face id or a folder)"
        if wrong
        else "The encoder knows the language of the reviews.",
        metadata={f"unreadable/{domain}": round(share, 4) for domain, share in unread.items()},
    )
