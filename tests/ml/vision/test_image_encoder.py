"""The image encoder on real files: every family of models, every form of picture, every damage."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_vision import picture, save_model

from ml.text.encoding.source import EncoderError
from ml.vision import image_encoder
from ml.vision.image_encoder import ImageEncoder


def file_of(image: Image.Image, form: str = "PNG", **options) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


@pytest.mark.parametrize("family, width", [("clip", 24), ("vit", 32), ("resnet", 16)])
def test_every_family_gives_unit_rows_that_tell_pictures_apart(family, width, tmp_path):
    encoder = ImageEncoder(save_model(family, tmp_path / family), device="cpu")
    vectors, faults = encoder.encode([picture(1), picture(2), picture(1)])
    assert vectors.shape == (3, width) == (3, encoder.dimension)
    assert vectors.dtype == np.float32
    assert faults == [None, None, None]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.allclose(vectors[0], vectors[2], atol=1e-6)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-4)


def test_clip_gives_what_transformers_gives(clip, clip_folder):
    """The reference: the model and its preprocessor by hand."""
    from transformers import CLIPImageProcessorPil, CLIPModel

    opened = Image.open(io.BytesIO(picture(5)))
    pixels = CLIPImageProcessorPil.from_pretrained(clip_folder)([opened], return_tensors="pt")["pixel_values"]
    model = CLIPModel.from_pretrained(clip_folder).eval()
    with torch.inference_mode():
        features = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    expected = torch.nn.functional.normalize(features, dim=1).numpy()
    assert np.allclose(clip.encode([picture(5)])[0], expected, atol=1e-6)


@pytest.mark.parametrize("form, mode", [
    ("PNG", "RGB"), ("JPEG", "RGB"), ("GIF", "P"), ("PNG", "L"), ("PNG", "1"), ("PNG", "RGBA"),
    ("JPEG", "CMYK"), ("BMP", "RGB"), ("WEBP", "RGB"),
])  # fmt: skip
def test_pictures_of_any_form_are_read(clip, form, mode):
    vectors, faults = clip.encode([picture(3, form, mode=mode)])
    assert faults == [None]
    assert vectors.any()


def test_damage_is_told_and_stops_nothing(clip):
    whole = picture(1)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    images = [whole, b"", b"<html>404</html>", whole[: len(whole) // 2], bytes(flipped), picture(2)]
    vectors, faults = clip.encode(images)
    assert [fault is None for fault in faults] == [True, False, False, False, False, True]
    assert faults[1] == faults[2] == "no image of a known format"
    assert "truncated" in faults[3]
    assert not vectors[1:5].any()
    alone = clip.encode([picture(2)])[0][0]
    assert np.allclose(vectors[5], alone, atol=1e-6)


def test_a_strip_and_a_bomb_are_left_out(clip, monkeypatch):
    vectors, faults = clip.encode([file_of(Image.new("RGB", (3000, 2)))])
    assert faults == ["a strip of 3000 x 2 pixels"]
    assert not vectors.any()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # PIL refuses twice as many
    vectors, faults = clip.encode([picture(1)])
    assert "decompression bomb" in faults[0]
    assert not vectors.any()


def test_transparency_is_white_and_turned_pictures_are_turned(clip):
    clear = file_of(Image.new("RGBA", (40, 40), (255, 0, 0, 0)))
    white = file_of(Image.new("RGB", (40, 40), "white"))
    upright = Image.open(io.BytesIO(picture(4, size=(40, 60))))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned = file_of(upright.rotate(90, expand=True), exif=exif)
    vectors, _ = clip.encode([clear, white, file_of(upright), turned])
    assert np.allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.allclose(vectors[2], vectors[3], atol=1e-6)


def test_sixteen_bits_are_not_clipped_to_white(clip):
    grey = np.linspace(0, 65535, 1600).reshape(40, 40)
    deep, plain = (Image.fromarray(g) for g in (grey.astype(np.uint16), (grey / 257).astype(np.uint8)))
    vectors, _ = clip.encode([file_of(deep), file_of(plain)])
    assert vectors[0] @ vectors[1] > 0.999


def test_batches_change_nothing(clip, monkeypatch):
    images = [picture(seed) for seed in range(7)]
    whole, _ = clip.encode(images)
    monkeypatch.setattr(image_encoder, "BATCH", 2)
    assert np.allclose(clip.encode(images)[0], whole, atol=1e-6)
    assert clip.encode([])[0].shape == (0, 24)


def test_what_does_not_fit_the_memory_is_halved(clip, monkeypatch):
    whole, _ = clip.encode([picture(seed) for seed in range(5)])
    real, sizes = clip._pooled, []

    def scarce(pixels):
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(pixels)

    monkeypatch.setattr(clip, "_pooled", scarce)
    vectors, _ = clip.encode([picture(seed) for seed in range(5)])
    assert np.allclose(vectors, whole, atol=1e-6)
    assert sizes == [5, 3, 2, 1, 2]
    monkeypatch.setattr(clip, "_pooled", lambda pixels: real(scarce(pixels.repeat(3, 1, 1, 1))))
    with pytest.raises(EncoderError, match="one image does not fit the memory of cpu"):
        clip.encode([picture(1)])


def test_the_key_names_the_content(clip, clip_folder, tmp_path):
    assert clip.key == ImageEncoder(clip_folder).key
    assert clip.key != ImageEncoder(save_model("vit", tmp_path / "clip")).key
    assert clip.key.endswith("-image")


@pytest.mark.parametrize("model, told", [
    ("no/such/folder/at-all", "films.look.model 'no/such/folder/at-all': no such folder"),
    ("{folder}", "films.look.model .*holds no config.json"),
])  # fmt: skip
def test_a_model_that_is_not_there_is_named_by_its_setting(model, told, tmp_path):
    with pytest.raises(EncoderError, match=told):
        ImageEncoder(model.format(folder=tmp_path), setting="films.look.model")


def test_a_model_that_reads_text_is_refused(tmp_path):
    from transformers import BertConfig, BertModel

    sizes = {"vocab_size": 8, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(num_hidden_layers=1, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="no image encoder: expected a preprocessor_config"):
        ImageEncoder(str(tmp_path), device="cpu", setting="films.look.model").encode([picture(1)])
