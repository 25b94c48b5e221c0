"""Images into the store: each content once, and faults that stop nothing."""

import numpy as np
import pytest
from tiny_vision import picture

from ml.text.encoding.store import EmbeddingStore
from ml.vision import embed
from ml.vision.embed import embed_images


@pytest.fixture
def store(clip, tmp_path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "images", clip.key, clip.dimension)


def test_each_content_is_embedded_once(clip, store, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "CHUNK", 2)
    names = ["a.png", "b.jpg", "same.png", "broken.png", "missing.png", "folder"]
    (tmp_path / "folder").mkdir()
    contents = (picture(1), picture(2, "JPEG"), picture(1), picture(3)[:300])
    for name, content in zip(names, contents, strict=False):
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in names]
    said = []
    report = embed_images(clip, store, paths, lambda done, total: said.append((done, total)))
    assert said == [(2, 6), (4, 6), (6, 6)]
    assert report.new == 2
    assert report.hashes[0] == report.hashes[2] != report.hashes[1]
    assert report.hashes[3:] == [None, None, None]
    assert report.faults[:3] == [None, None, None]
    assert report.faults[3].startswith("broken image")
    assert report.faults[4] == "no such file"
    assert report.faults[5].startswith("cannot be read")
    assert np.allclose(store.matrix(report.hashes)[:1], clip.encode([picture(1)])[0], atol=1e-6)
    again = embed_images(clip, store, paths)
    assert (again.new, again.hashes, again.faults) == (0, report.hashes, report.faults)


def test_a_picture_that_changed_is_embedded_anew(clip, store, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(picture(1))
    first = embed_images(clip, store, [path])
    path.write_bytes(picture(2))
    second = embed_images(clip, store, [path])
    assert second.new == 1
    assert first.hashes != second.hashes


def test_a_path_no_system_knows_is_a_fault(clip, store, tmp_path):
    report = embed_images(clip, store, [tmp_path / "a\0b.png", tmp_path / ("x" * 5000)])
    assert report.hashes == [None, None]
    assert all(fault.startswith("cannot be read") for fault in report.faults)


def test_another_encoders_store_is_refused(clip, tmp_path):
    with pytest.raises(ValueError, match="the store holds vectors of other"):
        embed_images(clip, EmbeddingStore(tmp_path, "other", 24), [])
