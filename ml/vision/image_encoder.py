"""Images to vectors with a vision model: CLIP and its like, vision transformers, convolutional networks.

A file that is no image, or half of one, gives no vector and a reason; it never stops the others.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ml.device import pick_device
from ml.text.encoding.source import EncoderError, ModelSource, resolve_model

BATCH = 32  # 224 x 224 images: 20 MB of pixels, and activations that a small GPU holds
LONGEST = 50  # times the short side; resized by the short side, a longer strip would fill the memory
_DECODERS = 4  # threads; decoding and resizing leave the interpreter free


class ImageEncoder:
    """A frozen vision model. Weights load when the first vector, or its length, is asked for.

    model: a folder or a Hugging Face id. setting: the configuration's key that names it, for the errors.
    """

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        device: str = "auto",
        setting: str = "modalities.model",
    ) -> None:
        self.setting, self.device = setting, pick_device(device)
        self.source: ModelSource = resolve_model(model, revision, setting)

    @property
    def key(self) -> str:
        """Names the vectors: model, and revision or content; a folder name."""
        name = re.sub(r"[^a-z0-9.]+", "-", self.source.name.lower()).strip("-.") or "model"
        digest = re.sub(r"[^\w.]", "_", self.source.digest[:12])
        return f"{name}-{digest}-image"

    @cached_property
    def dimension(self) -> int:
        """Length of one vector: families of models tell it in different ways, so one image is tried."""
        from PIL import Image

        return int(self._embed([Image.new("RGB", (64, 64), "grey")]).shape[1])

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoImageProcessor

        # Always Pillow's resampling: vectors must not depend on whether torchvision is installed.
        return self._load(AutoImageProcessor, "a preprocessor_config.json", backend="pil")

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModel

        return self._load(AutoModel, "weights that transformers' AutoModel reads").to(self.device).eval()

    def _load(self, factory: Any, expected: str, **arguments: Any) -> Any:
        try:
            return factory.from_pretrained(self.source.location, **self.source.load_arguments, **arguments)
        except (OSError, ValueError, KeyError) as error:
            told = str(error).strip().splitlines() or [type(error).__name__]
            raise EncoderError(
                f"{self.setting} {self.source.location!r} is no image encoder: expected {expected} "
                f"({told[0]})"
            ) from error

    def encode(self, images: Sequence[bytes]) -> tuple[np.ndarray, list[str | None]]:
        """Vectors of the files' contents, and why there is none.

        Returns (n, dimension) float32, unit rows, zero where the image is broken; and n faults, None where
        there is a vector. Animated images count by their first frame; transparency becomes white.
        """
        out = np.zeros((len(images), self.dimension), np.float32)
        faults: list[str | None] = [None] * len(images)
        with ThreadPoolExecutor(_DECODERS) as pool:
            for start in range(0, len(images), BATCH):
                decoded = list(pool.map(_decode, images[start : start + BATCH]))
                for place, image in enumerate(decoded, start):
                    faults[place] = image if isinstance(image, str) else None
                good = [place for place, image in enumerate(decoded) if not isinstance(image, str)]
                if good:
                    out[[start + place for place in good]] = self._embed([decoded[place] for place in good])
        return out, faults

    @torch.inference_mode()
    def _embed(self, images: list[Any]) -> np.ndarray:
        try:
            pixels = self._processor(images, return_tensors="pt")["pixel_values"].to(self.device)
            pooled = self._pooled(pixels)
        except torch.OutOfMemoryError as error:
            if len(images) == 1:
                raise EncoderError(
                    f"one image does not fit the memory of {self.device}: use a smaller {self.setting}"
                ) from error
        else:
            return torch.nn.functional.normalize(pooled.float(), dim=1).cpu().numpy()
        # Outside the handler: the traceback would keep the failed batch's tensors alive.
        torch.cuda.empty_cache()
        half = (len(images) + 1) // 2
        return np.concatenate([self._embed(images[:half]), self._embed(images[half:])])

    def _pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """(b, d): the shared space of an image-text model; else the class token; else the mean.

        Not `pooler_output` of a vision transformer: many checkpoints leave that layer's weights out.
        """
        if hasattr(self._model, "get_image_features"):
            found = self._model.get_image_features(pixel_values=pixels)
            return found if torch.is_tensor(found) else found.pooler_output
        states = self._model(pixel_values=pixels).last_hidden_state
        if states.ndim == 4:  # (b, d, height, width)
            return states.mean(dim=(2, 3))
        return states[:, 0] if self._has_class_token else states.mean(dim=1)

    @cached_property
    def _has_class_token(self) -> bool:
        return any(name.endswith("cls_token") for name, _ in self._model.named_parameters())


def _decode(content: bytes) -> Any:
    """An RGB image of the file's content, or why there is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as opened:
            if max(opened.size) > LONGEST * min(opened.size):
                return f"a strip of {opened.width} x {opened.height} pixels"
            opened.load()  # until here only the header was read: a file cut off would look whole
            return _rgb(opened)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # The message of an unknown format names a buffer's address, which differs from run to run.
        return "no image of a known format" if "cannot identify" in str(error) else f"broken image: {error}"


def _rgb(opened: Any) -> Any:
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):  # 16 bits a pixel, which a plain conversion clips to white
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
