"""Training data as models read it: a snapshot with the vectors of its texts and its modalities."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.config import Config, Home

if TYPE_CHECKING:
    from ml.data import Snapshot
    from ml.metrics.item_facts import ItemFacts
    from ml.text.encoding.encoder import TextEncoder


def text_encoder(config: Config, adapter: Path | None = None) -> TextEncoder:
    """The configured encoder, with the update in the folder `adapter`; weights load at the first `encode`."""
    from ml.text.encoding.encoder import EncoderConfig, TextEncoder

    known = config.encoder.model_dump(include={f.name for f in fields(EncoderConfig)})
    return TextEncoder(EncoderConfig(**known, adapter=adapter))


def encoder_in_use(config: Config, home: Home, as_of_key: str | None = None) -> TextEncoder:
    """The encoder whose vectors a snapshot as of a day reads (None: the newest), adapted where it passed."""
    from orchestration.adapters import Adapters

    return text_encoder(config, Adapters(config, home).in_use(as_of_key))


def embedded_snapshot(as_of_key: str, config: Config, home: Home) -> Snapshot:
    """The snapshot of an as-of key with its items' vectors, of text and of every modality.

    A text not embedded yet counts as none, and so does an item that a modality says nothing of.
    """
    from orchestration.defs.snapshot import snapshot_of
    from orchestration.modalities import modalities_of
    from orchestration.reviews import with_review_vectors

    snapshot = snapshot_of(as_of_key)
    modalities = {
        name: modalities_of(config, home, name, catalogue) for name, catalogue in snapshot.catalogues.items()
    }
    encoder = encoder_in_use(config, home, as_of_key)
    snapshot = with_review_vectors(snapshot, encoder.key, home)
    return with_vectors_of(snapshot, encoder, home).with_modalities(modalities)


def item_facts(target: str, as_of_key: str, config: Config, home: Home) -> ItemFacts:
    """How well known and how much alike the items of a target are, as of a day."""
    from dataclasses import replace

    from ml.metrics.item_facts import ItemFacts
    from ml.text.encoding.store import EmbeddingStore
    from orchestration.defs.snapshot import snapshot_of

    snapshot, encoder = snapshot_of(as_of_key), encoder_in_use(config, home, as_of_key)
    catalogue, store = (
        snapshot.catalogues[target],
        EmbeddingStore(home.embeddings, encoder.key, encoder.dimension),
    )
    catalogue = replace(catalogue, vectors=store.domain_matrix(target, catalogue.text_hashes))
    return ItemFacts.of(catalogue, snapshot.interactions[target], config.evaluation.seed)


def with_vectors_of(snapshot: Snapshot, encoder: TextEncoder, home: Home) -> Snapshot:
    """The snapshot with what the store holds of one encoder."""
    from ml.text.encoding.store import EmbeddingStore

    store = EmbeddingStore(home.embeddings, encoder.key, encoder.dimension)
    return snapshot.with_vectors(
        {name: store.domain_matrix(name, cat.text_hashes) for name, cat in snapshot.catalogues.items()}
    )
