"""Tiny vision models under contract."""

from __future__ import annotations

import pytest
from tiny_vision import save_model

from ml.vision.image_encoder import ImageEncoder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory) -> str:
    return save_model("clip", tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def clip(clip_folder) -> ImageEncoder:
    return ImageEncoder(clip_folder, device="cpu")
