"""Which vectors a home holds, and which of them something still needs: for `landbridge embeddings`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.text.encoding.store import Contents, EmbeddingStore
from orchestration.adapters import ADAPTER, Adapters
from orchestration.config import Config, Home
from orchestration.documents import documents_of
from orchestration.features import text_encoder

# What may name texts: all but the vectors themselves, the landing files and what is made of the vectors.
_NO_TEXTS = {"embeddings", "image_embeddings", "demo", "indexes", "models", "mlflow", "recommendations"}


@dataclass(frozen=True)
class Held:
    """One encoder's vectors: what they are, and whether this configuration reads them."""

    key: str
    contents: Contents
    in_use: bool


@dataclass(frozen=True)
class Freed:
    """What pruning took, or would take, from one encoder's vectors; whole: the encoder is no longer used."""

    key: str
    contents: Contents
    whole: bool


def held(config: Config, home: Home) -> list[Held]:
    """The stores below a home, by key."""
    used = keys_in_use(config, home)
    return [Held(key, EmbeddingStore(home.embeddings, key, 0).contents(), key in used) for key in _keys(home)]


def prune(config: Config, home: Home, other_encoders: bool, dry_run: bool) -> list[Freed]:
    """Drop the vectors of texts that nothing names any more; with `other_encoders` whole stores too.

    Raises FileNotFoundError where a domain's documents are not there: their texts would all count as gone.
    """
    used = keys_in_use(config, home)
    freed = []
    for key in _keys(home):
        if key in used:
            store = EmbeddingStore.existing(home.embeddings, key)
            if store is not None:
                contents = store.prune(lambda: texts_in_use(config, home).to_pylist(), dry_run)
                freed.append(Freed(key, contents, whole=False))
        elif other_encoders:
            freed.append(Freed(key, EmbeddingStore(home.embeddings, key, 0).contents(), whole=True))
            if not dry_run:
                shutil.rmtree(home.embeddings / key)
    return [each for each in freed if each.contents.size]


def keys_in_use(config: Config, home: Home) -> set[str]:
    """The configured encoder, and every fine-tuning of it that passed: an older as-of may read it."""
    encoder = text_encoder(config)
    adapters = Adapters(config, home)
    folders = sorted(adapters.folder("any").parent.glob(f"*/{ADAPTER}"))
    decisions = [(folder, adapters.decision(folder.parent.name) or {}) for folder in folders]
    passed = [folder for folder, decision in decisions if decision.get("passed")]
    return {encoder.key, *(text_encoder(config, folder).key for folder in passed)}


def texts_in_use(config: Config, home: Home) -> pa.Array:
    """Hashes of the texts that a catalogue holds, or a snapshot or another file of the home names.

    A snapshot on disk can be trained on again, so its texts stay though a catalogue may have changed them.
    """
    columns = [documents_of(home, domain)["text_hash"] for domain in config.domain_names]
    columns += [pq.read_table(path, columns=["text_hash"])["text_hash"] for path in _files_with_hashes(home)]
    chunks = [chunk.cast(pa.string()) for column in columns for chunk in column.chunks]
    return pc.unique(pa.chunked_array(chunks, pa.string())).drop_null()


def _files_with_hashes(home: Home) -> Iterator[Path]:
    for folder in sorted(home.root.iterdir()):
        if folder.is_dir() and folder.name not in _NO_TEXTS:
            for path in sorted(folder.rglob("*.parquet")):
                if not path.name.startswith(".") and "text_hash" in pq.read_schema(path).names:
                    yield path


def _keys(home: Home) -> list[str]:
    if not home.embeddings.is_dir():
        return []
    return sorted(path.name for path in home.embeddings.iterdir() if path.is_dir())
