"""The vectors of a domain's modalities: from files or images into one file each, and from there to models."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml import columns as c
from orchestration.config import Config, Home
from orchestration.files import replaced_file
from orchestration.landing.modalities import Fault, ModalityRows
from orchestration.landing.sources import modality_sources

if TYPE_CHECKING:
    from ml.data import Catalogue
    from ml.text.encoding.store import EmbeddingStore
    from ml.vision.image_encoder import ImageEncoder

VECTOR = "vector"
NO_IMAGE = "no image"  # an item that has none is no fault of the file


@dataclass(frozen=True)
class Landed:
    """What became of a modality's rows. embedded: images embedded in this run; dimension: 0 without rows."""

    rows: int
    kept: int
    dimension: int
    embedded: int
    faults: list[Fault]

    @property
    def sound(self) -> bool:
        """Whether there are vectors and no row was left out, save for items that have none."""
        return self.kept > 0 and all(fault.reason == NO_IMAGE for fault in self.faults)


def domains_with_modalities(config: Config) -> list[str]:
    """The domains that know their items by more than text, sorted."""
    return [name for name in config.domain_names if config.domains[name].modalities]


def modality_path(home: Home, domain: str, name: str) -> Path:
    """Where a modality's vectors lie: item_id and vector, one row an item that has one."""
    return home.root / "modalities" / domain / f"{name}.parquet"


def land_modality(
    config: Config,
    home: Home,
    domain: str,
    name: str,
    known_items: pa.Array,
    log: Callable[[str], object] = lambda line: None,
) -> Landed:
    """Read, judge and write the vectors of one modality; images are embedded by their content, once.

    Raises SourceError where its files cannot be read as mapped, EncoderError where there is no such model.
    """
    source, settings = modality_sources(config, domain)[name], config.domains[domain].modalities[name]
    path = modality_path(home, domain, name)
    if settings.model is None:
        rows = ModalityRows(source, known_items)
        dimension = _write(path, _vectors(rows.vectors()))
        return Landed(rows.rows, rows.kept, dimension, 0, rows.faults)
    encoder, store = _image_store(home, settings.model, settings.revision, f"{source.key}.model")
    embedded = 0

    def embed(paths: list[Path]) -> tuple[list[str | None], list[str | None]]:
        from ml.vision.embed import embed_images

        nonlocal embedded
        report = embed_images(
            encoder,
            store,
            paths,
            lambda done, total: log(f"{domain}.{name}: {done:,} of {total:,} images"),
        )
        embedded = report.new
        return report.hashes, report.faults

    rows = ModalityRows(source, known_items, embed)
    dimension = _write(path, _stored(rows.images(), store))
    return Landed(rows.rows, rows.kept, dimension, embedded, rows.faults)


def modalities_of(config: Config, home: Home, domain: str, catalogue: Catalogue) -> dict[str, np.ndarray]:
    """name -> (n, d) float32 for the items of a catalogue; a modality that was not landed yet is left out."""
    found = {}
    settings = config.domains.get(domain)
    for name in sorted(settings.modalities if settings else ()):
        path = modality_path(home, domain, name)
        if path.is_file():
            found[name] = _matrix(path, catalogue.item_ids)
    return found


def _image_store(
    home: Home, model: str, revision: str | None, setting: str
) -> tuple[ImageEncoder, EmbeddingStore]:
    """Beside the texts' store, not in it: what is pruned there goes by texts."""
    from ml.text.encoding.store import EmbeddingStore
    from ml.vision.image_encoder import ImageEncoder

    encoder = ImageEncoder(model, revision, setting=setting)
    return encoder, EmbeddingStore(home.root / "image_embeddings", encoder.key, encoder.dimension)


Vectors = Iterator[tuple[pa.Array, np.ndarray]]  # item ids and their vectors (b, d) float32


def _vectors(batches: Iterable[pa.RecordBatch]) -> Vectors:
    for batch in batches:
        yield batch.column(0), batch.column(1).flatten().to_numpy().reshape(len(batch), -1)


def _stored(batches: Iterable[pa.RecordBatch], store: EmbeddingStore) -> Vectors:
    for batch in batches:
        yield batch.column(0), store.matrix(batch.column(1).to_pylist())


def _write(path: Path, vectors: Vectors) -> int:
    """Write the vectors, a batch at a time; returns their length. Where there are none the file goes."""
    first = next(vectors, None)
    if first is None:
        path.unlink(missing_ok=True)
        return 0
    dimension = first[1].shape[1]
    schema = pa.schema([(c.ITEM_ID, pa.string()), (VECTOR, pa.list_(pa.float32(), dimension))])
    with (
        replaced_file(path) as beside,
        pq.ParquetWriter(beside, schema, compression="none", use_dictionary=False) as writer,
    ):
        for ids, matrix in itertools.chain([first], vectors):
            column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), dimension)
            writer.write_batch(pa.record_batch([ids, column], schema=schema))
    return dimension


def _matrix(path: Path, item_ids: np.ndarray) -> np.ndarray:
    """(n, d) float32, zero rows for items without a vector; those of other items are skipped."""
    file, catalogue = pq.ParquetFile(path), pa.array(item_ids, pa.string())
    out = np.zeros((len(item_ids), file.schema_arrow.field(VECTOR).type.list_size), np.float32)
    for batch in file.iter_batches():
        place = pc.index_in(batch[c.ITEM_ID], value_set=catalogue).fill_null(-1).to_numpy()
        out[place[place >= 0]] = batch[VECTOR].flatten().to_numpy().reshape(len(batch), -1)[place >= 0]
    return out
