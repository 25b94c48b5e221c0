"""Training data as models read it: a snapshot with the configured encoder's text embeddings."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from orchestration.config import Config, Home

if TYPE_CHECKING:
    from ml.data import Snapshot
    from ml.text.encoder import TextEncoder


def text_encoder(config: Config) -> TextEncoder:
    """The configured encoder; its weights load at the first `encode`."""
    from ml.text.encoder import EncoderConfig, TextEncoder

    return TextEncoder(
        EncoderConfig(**config.encoder.model_dump(include={f.name for f in fields(EncoderConfig)}))
    )


def embedded_snapshot(as_of_key: str, config: Config, home: Home) -> Snapshot:
    """The snapshot of an as-of key with its items' vectors; a text not embedded yet counts as none."""
    from ml.text.store import EmbeddingStore
    from orchestration.defs.snapshot import snapshot_of

    snapshot, encoder = snapshot_of(as_of_key), text_encoder(config)
    store = EmbeddingStore(home.embeddings, encoder.key, encoder.dimension)
    return snapshot.with_vectors(
        {name: store.matrix(cat.text_hashes) for name, cat in snapshot.catalogues.items()}
    )
