"""Generated text: which items and users a model writes for, where it is kept, how documents take it in.

What leaves the machine with `generator.endpoint`: the texts of poor items with the domain's name, keywords of
users. No item id, no user id, no event.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestration.config import Config, Home
from orchestration.files import replaced_file
from orchestration.language_config import Generator

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.text.generate import LanguageModel, Session, Written

Progress = Callable[[int, int], None]


def writes(config: Config, what: Literal["items", "users"]) -> bool:
    """Whether a generator is configured to write descriptions of items, or summaries of users."""
    return config.generator is not None and what in config.generator.writes


def generated_path(home: Home, domain: str) -> Path:
    """Where a domain's generated texts lie: item_id, source_hash (of the document read), generated."""
    return home.root / "generated" / "items" / f"{domain}.parquet"


def summaries_path(home: Home, as_of_key: str) -> Path:
    """Where the summaries of users' interests lie: user_id, summary."""
    return home.root / "generated" / "users" / f"{as_of_key}.parquet"


def cache_path(home: Home) -> Path:
    """The answers of all runs, by the hash of what was asked."""
    return home.root / "generated" / "answers.sqlite"


def language_model(settings: Generator) -> LanguageModel:
    """The configured model; it is neither loaded nor asked before it has to write."""
    if settings.endpoint is None:
        from ml.text.generate.local import LocalModel

        return LocalModel(
            settings.model, settings.revision, settings.max_tokens, timeout=settings.timeout_seconds
        )
    from ml.text.generate.endpoint import Endpoint

    return Endpoint(
        settings.endpoint,
        settings.model,
        key=os.environ.get(settings.api_key_env, "").strip() or None,
        timeout=settings.timeout_seconds,
        max_tokens=settings.max_tokens,
    )


def session_of(settings: Generator) -> Session:
    """A run's budget."""
    from ml.text.generate import Limits, Session

    return Session(Limits(settings.max_requests, settings.retries))


def write_item_texts(
    documents: pa.Table, domain: str, config: Config, home: Home, session: Session, progress: Progress
) -> Written:
    """Write descriptions for the poor items among `documents` to `generated_path`.

    An item for which there is no new text keeps the one that was generated for the same document before.
    """
    import pyarrow as pa

    from ml.text.generate import DESCRIBE_ITEM, AnswerCache, write_texts

    settings = _settings(config)
    poor = poor_items(documents, settings.poor_words)
    language = config.domains[domain].language
    inputs = [
        {"language": language, "catalogue": domain, "text": text} for text in poor["document"].to_pylist()
    ]
    cache = AnswerCache(cache_path(home))
    written = write_texts(language_model(settings), DESCRIBE_ITEM, inputs, cache, session, progress)
    kept = _texts_before(home, domain)
    texts = [
        text or kept.get(found)
        for text, found in zip(written.texts, _keys(poor["item_id"], poor["text_hash"]), strict=True)
    ]
    columns = [poor["item_id"], poor["text_hash"], pa.array(texts, pa.string())]
    _write(generated_path(home, domain), pa.table(columns, names=["item_id", "source_hash", "generated"]))
    return written


def poor_items(documents: pa.Table, poor_words: int) -> pa.Table:
    """The rows whose document has fewer than `poor_words` words, but some: of nothing nothing can be told."""
    import pyarrow as pa

    from ml.text.generate import word_count

    poor = [
        text is not None and 0 < word_count(text) < poor_words for text in documents["document"].to_pylist()
    ]
    return documents.filter(pa.array(poor, pa.bool_()))


def with_generated(documents: pa.Table, domain: str, config: Config, home: Home) -> pa.Table:
    """The documents, with generated text below those for which it was written, and their new hash.

    As they are without `generator: {writes: [items]}`, also where texts of an earlier configuration lie
    there. A text that was generated for another state of the document is left out.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = generated_path(home, domain)
    if not writes(config, "items") or not path.exists():
        return documents
    table = pq.read_table(path).combine_chunks()
    rows = pc.index_in(documents["item_id"], value_set=table["item_id"].combine_chunks())
    same = pc.equal(table["source_hash"].take(rows), documents["text_hash"])
    nothing = pa.scalar(None, pa.string())
    additions = pc.if_else(same, table["generated"].take(rows), nothing).combine_chunks()
    together = pc.binary_join_element_wise(documents["document"], additions, "\n").combine_chunks()
    fits = additions.is_valid()
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in together.filter(fits).to_pylist()]
    for name, values in (("document", together.filter(fits)), ("text_hash", pa.array(hashes, pa.string()))):
        column = documents[name].combine_chunks()
        position = documents.column_names.index(name)
        documents = documents.set_column(position, name, pc.replace_with_mask(column, fits, values))
    return documents


def write_summaries(
    as_of_key: str, config: Config, home: Home, session: Session, progress: Progress
) -> Written:
    """Write a summary for every user with keywords to `summaries_path`; users without one are left out."""
    import pyarrow as pa

    from ml.text.generate import SUMMARISE_INTERESTS, AnswerCache, write_texts

    interests = _interests(as_of_key, home)
    language = config.domains[config.domain_names[0]].language
    inputs = [{"language": language, "interests": text} for text in interests.values()]
    cache = AnswerCache(cache_path(home))
    model = language_model(_settings(config))
    written = write_texts(model, SUMMARISE_INTERESTS, inputs, cache, session, progress)
    rows = [(user, text) for user, text in zip(interests, written.texts, strict=True) if text is not None]
    table = pa.table(
        {
            "user_id": pa.array([user for user, _ in rows], pa.string()),
            "summary": pa.array([text for _, text in rows], pa.string()),
        }
    )
    _write(summaries_path(home, as_of_key), table)
    return written


def _interests(as_of_key: str, home: Home) -> dict[str, str]:
    """user -> keywords by domain in one line, sorted by user."""
    from orchestration.profiles import read_profiles

    profiles = read_profiles(home, as_of_key).sort_by([("user_id", "ascending"), ("domain", "ascending")])
    lines: dict[str, list[str]] = {}
    for row in profiles.to_pylist():
        lines.setdefault(row["user_id"], []).append(f"{row['domain']}: {', '.join(row['keywords'])}")
    return {user: "; ".join(parts) for user, parts in lines.items()}


def _texts_before(home: Home, domain: str) -> dict[tuple[str, str], str]:
    import pyarrow.parquet as pq

    path = generated_path(home, domain)
    if not path.exists():
        return {}
    table = pq.read_table(path)
    keys = _keys(table["item_id"], table["source_hash"])
    return {key: text for key, text in zip(keys, table["generated"].to_pylist(), strict=True) if text}


def _keys(items: pa.ChunkedArray, hashes: pa.ChunkedArray) -> list[tuple[str, str]]:
    return list(zip(items.to_pylist(), hashes.to_pylist(), strict=True))


def _write(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    with replaced_file(path) as beside:
        pq.write_table(table, beside, compression="zstd")


def _settings(config: Config) -> Generator:
    if config.generator is None:
        raise ValueError("no generator is configured: add `generator:` to the configuration")
    return config.generator
