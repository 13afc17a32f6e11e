"""Vectors of texts with pictures, by a model like CLIP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel

from agent.errors import DataError, ModelError
from agent.images import Images
from agent.picture import Reference, join
from agent.student.depicted import DepictedEncoder
from agent.student.encoder import Encoder
from tests.pictures import picture, tiny_clip
from tests.student.making import tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("encoders") / "clip")


@pytest.fixture
def images(tmp_path: Path) -> Images:
    for name in ("red", "green", "blue"):
        picture(tmp_path / f"{name}.png", name)
    return Images(tmp_path)


@pytest.fixture
def encoder(folder: Path, images: Images) -> DepictedEncoder:
    return DepictedEncoder.of(str(folder), images)


def item(images: Images, words: str, name: str) -> str:
    return join(words, images.found(f"{name}.png", ""))


def test_half_a_vector_is_of_the_words_and_half_of_the_picture(encoder: DepictedEncoder, images: Images) -> None:
    texts = [item(images, w, c) for w, c in (("a red thing", "red"), ("a red thing", "blue"), ("number 1", "blue"))]
    vectors = encoder.encode([*texts, "a red thing"])
    assert vectors.shape == (4, encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    words, shown = vectors[:, : encoder.dim // 2], vectors[:, encoder.dim // 2 :]
    np.testing.assert_allclose(words[0], words[1], atol=1e-6)
    np.testing.assert_allclose(shown[1], shown[2], atol=1e-6)
    assert np.abs(words[1] - words[2]).max() > 0.01
    assert np.abs(shown[0] - shown[1]).max() > 0.01
    np.testing.assert_allclose(words[3], words[0], atol=1e-6)
    np.testing.assert_allclose(shown[3], words[3], atol=1e-6, err_msg="words alone stand for both")
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_vectors_are_what_the_model_itself_says(encoder: DepictedEncoder, images: Images, folder: Path) -> None:
    (vector,) = encoder.encode([item(images, "a red thing", "green")])
    model = AutoModel.from_pretrained(folder).eval()
    pixels = (np.asarray(Image.open(images.folder / "green.png"), np.float32) / 255).transpose(2, 0, 1)
    mean, sd = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    pixels = (pixels - np.array(mean)[:, None, None]) / np.array(sd)[:, None, None]
    with torch.inference_mode():
        of_image = model.get_image_features(torch.tensor(pixels[None], dtype=torch.float32)).pooler_output[0].numpy()
        of_words = model.get_text_features(torch.tensor([[2, 4, 7, 5, 3]])).pooler_output[0].numpy()
    both = [part / np.linalg.norm(part) / np.sqrt(2) for part in (of_words, of_image)]
    np.testing.assert_allclose(vector, np.concatenate(both), atol=1e-5)


def test_batches_and_order_change_nothing(encoder: DepictedEncoder, images: Images) -> None:
    texts = [item(images, f"number {i}", c) for i in range(8) for c in ("red", "blue")] * 2
    whole = encoder.encode(texts)
    np.testing.assert_allclose(whole, np.vstack([encoder.encode([t]) for t in texts]), atol=1e-5)


def test_words_are_counted_and_vectors_have_a_name_of_their_own(encoder: DepictedEncoder, folder: Path) -> None:
    assert encoder.count_tokens(["a red thing", ""]) == [3, 0]
    assert encoder.max_tokens == 16
    assert encoder.key.startswith("depicted-clip-")
    assert encoder.key == DepictedEncoder.of(str(folder), Images(folder)).key
    assert encoder.key != DepictedEncoder.of(str(folder), Images(folder), max_tokens=8).key


@pytest.mark.parametrize("raw", [b"\x89PNG\r\n\x1a\n and then nothing", b"GIF89a"])
def test_a_picture_that_cannot_be_read_is_named(encoder: DepictedEncoder, images: Images, raw: bytes) -> None:
    (images.folder / "torn.png").write_bytes(raw)
    with pytest.raises(DataError, match=r"torn\.png: cannot be read as a picture"):
        encoder.encode([item(images, "a", "torn")])


def test_a_picture_that_would_fill_the_memory_is_not_unpacked(
    encoder: DepictedEncoder, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"red\.png: cannot be read as a picture .*decompression bomb"):
        encoder.encode([item(images, "a", "red")])


def test_a_picture_that_changed_has_no_vector(encoder: DepictedEncoder, images: Images) -> None:
    with pytest.raises(DataError, match=r"red\.png: has changed since"):
        encoder.encode([join("a", Reference("red.png", "0" * 64))])


def test_a_model_that_reads_no_pictures_is_refused_and_one_that_does_for_texts_alone(
    tmp_path: Path, images: Images, folder: Path
) -> None:
    with pytest.raises(ModelError, match=r"`?student\.encoder`?: .*tiny \(bert\) reads no pictures"):
        DepictedEncoder.of(str(tiny_model(tmp_path / "tiny")), images)
    with pytest.raises(ModelError, match=r"clip\) is no encoder of texts alone; .*`data\.image`"):
        Encoder.load(str(folder))


def test_a_model_that_does_not_say_how_pictures_are_prepared_is_refused(tmp_path: Path, images: Images) -> None:
    folder = tiny_clip(tmp_path / "clip")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="does not say how pictures are prepared"):
        DepictedEncoder.of(str(folder), images)
