"""Vision models with random weights and real image files, made where a test runs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch

_TOWER = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip


def save_model(family: str, folder: Path) -> str:
    """A tiny model of a family (clip, vit, resnet) with preprocessor; 24, 32 and 16 numbers a vector."""
    import transformers as t

    torch.manual_seed(0)  # the models offer no generator; the test process owns its seed
    if family == "clip":
        text = {**_TOWER, "vocab_size": 8, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
        config = t.CLIPConfig(text_config=text, vision_config=_TOWER, projection_dim=24)
        t.CLIPModel(config).save_pretrained(folder)
        processor = t.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    elif family == "vit":
        t.ViTModel(t.ViTConfig(**_TOWER)).save_pretrained(folder)
        processor = t.ViTImageProcessorPil(size={"height": 32, "width": 32})
    else:
        t.ResNetModel(t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])).save_pretrained(
            folder
        )
        processor = t.ConvNextImageProcessorPil(size={"shortest_edge": 32})
    processor.save_pretrained(folder)
    return str(folder)


def picture(seed: int, form: str = "PNG", size: tuple[int, int] = (48, 40), mode: str = "RGB") -> bytes:
    """The file of a coloured noise picture."""
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(sink, form)
    return sink.getvalue()
