"""Embed the images that are new: by content, so that one picture under many names costs once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.text.encoding.store import EmbeddingStore
from ml.vision.image_encoder import ImageEncoder

CHUNK = 256  # images held at a time, and what a killed run loses at most


@dataclass(frozen=True)
class ImageReport:
    """hashes: (n,) SHA-256 of each image, None where there is no vector; faults: (n,) then why. new: embedded
    now."""

    hashes: list[str | None]
    faults: list[str | None]
    new: int


def embed_images(
    encoder: ImageEncoder,
    store: EmbeddingStore,
    paths: Sequence[Path],
    on_progress: Callable[[int, int], object] | None = None,
) -> ImageReport:
    """Put the vectors of the images at `paths` into the store, those it lacks.

    A path that cannot be read, or holds no image, is a fault of its own and stops nothing.
    """
    if store.key != encoder.key:
        raise ValueError(f"the store holds vectors of {store.key}, the encoder is {encoder.key}")
    hashes: list[str | None] = []
    faults: list[str | None] = []
    new = 0
    for start in range(0, len(paths), CHUNK):
        contents = [_read(path) for path in paths[start : start + CHUNK]]
        names = [hashlib.sha256(c).hexdigest() if isinstance(c, bytes) else None for c in contents]
        content_of = {n: c for n, c in zip(names, contents, strict=True) if isinstance(c, bytes)}
        missing = store.missing(names)
        broken: dict[str | None, str] = {}
        if missing:
            vectors, told = encoder.encode([content_of[name] for name in missing])
            broken = {name: why for name, why in zip(missing, told, strict=True) if why is not None}
            kept = [place for place, why in enumerate(told) if why is None]
            store.add([missing[place] for place in kept], vectors[kept])
            new += len(kept)
        faults += [c if isinstance(c, str) else broken.get(n) for n, c in zip(names, contents, strict=True)]
        hashes += [None if n in broken else n for n in names]
        if on_progress:
            on_progress(min(start + CHUNK, len(paths)), len(paths))
    return ImageReport(hashes, faults, new)


def _read(path: Path) -> bytes | str:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError) as error:  # ValueError: a path that holds a null byte
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
