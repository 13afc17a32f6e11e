"""A head on a model like CLIP as a folder: saved, read again, and a file of texts with pictures labelled by it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.distill import Examples, Model, distil_depicted, is_depicted, load_model, predict_file
from agent.errors import DataError, ModelError
from agent.images import Images
from agent.job import DistilSettings
from agent.picture import join
from agent.student.depicted import DepictedEncoder
from tests.pictures import COLOURS, picture, tiny_clip

NAMES = tuple(COLOURS)


def examples(images: Images, count: int = 36, *, multilabel: bool = False) -> Examples:
    """Pictures whose colour is their label."""
    texts, labels = [], np.arange(count) % len(NAMES)
    for i, label in enumerate(labels.tolist()):
        picture(images.folder / f"{i}.png", NAMES[label], shade=i)
        texts.append(join(f"number {i % 5}", images.found(f"{i}.png", "")))
    targets = np.eye(len(NAMES), dtype=np.float32)[labels]
    return Examples(texts, targets, np.ones(count, np.float32), NAMES, multilabel)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return Images(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, images: Images) -> DepictedEncoder:
    return DepictedEncoder.of(str(tiny_clip(tmp_path_factory.mktemp("encoders") / "clip")), images)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, images: Images, encoder: DepictedEncoder) -> Path:
    found = tmp_path_factory.mktemp("models") / "parcels"
    settings = DistilSettings(abstain_below=0.4)
    distil_depicted(examples(images), settings, ("message", "photo"), encoder=encoder, folder=found)
    return found


def test_a_folder_says_what_the_model_said_that_was_saved(
    tmp_path: Path, images: Images, encoder: DepictedEncoder
) -> None:
    known = examples(images)
    network = distil_depicted(known, DistilSettings(), ("message", "photo"), encoder=encoder, folder=tmp_path / "m")
    said = Model(network).predict(known.texts)
    again = load_model(tmp_path / "m", images=images).predict(known.texts)
    assert is_depicted(tmp_path / "m")
    assert said.probabilities is not None
    assert again.probabilities is not None
    np.testing.assert_allclose(again.probabilities, said.probabilities, atol=1e-6)
    right = [NAMES[i] for i in known.targets.argmax(axis=1)]
    assert np.mean([a == b for a, b in zip(again.values, right, strict=True)]) > 0.9


def test_a_file_is_labelled_by_its_pictures(folder: Path, tmp_path: Path) -> None:
    rows = [("number 1", "new/1.png"), ("", "new/2.png"), ("number 2", "")]
    for path, colour in (("new/1.png", "blue"), ("new/2.png", "red")):
        picture(tmp_path / path, colour)
    with (tmp_path / "new.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("message", "photo"), *rows])
    model = load_model(folder, images=Images(tmp_path))
    assert predict_file(model, tmp_path / "new.csv", tmp_path / "out.csv") == 3
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["label"] for row in found] == ["blue", "red", ""]
    assert [row["photo"] for row in found] == ["new/1.png", "new/2.png", ""]
    assert list(found[0]) == ["message", "photo", "label", "abstained", "confidence", "p_red", "p_green", "p_blue"]


@pytest.mark.parametrize("name", ["../out.png", "https://example.com/a.png", "nobody.png"])
def test_a_file_that_names_no_picture_of_its_folder_is_refused_and_nothing_is_written(
    folder: Path, tmp_path: Path, name: str
) -> None:
    inner = tmp_path / "in"
    picture(tmp_path / "out.png")
    inner.mkdir()
    (inner / "new.jsonl").write_text(json.dumps({"message": "a", "photo": name}) + "\n")
    with pytest.raises(DataError, match=r"^new\.jsonl: "):
        predict_file(load_model(folder, images=Images(inner)), inner / "new.jsonl", inner / "out.jsonl")
    assert not (inner / "out.jsonl").exists()


def test_columns_by_other_names_are_read_where_they_are_named(folder: Path, tmp_path: Path) -> None:
    picture(tmp_path / "1.png", "green")
    (tmp_path / "new.jsonl").write_text(json.dumps({"said": "a", "seen": "1.png"}) + "\n")
    model = load_model(folder, images=Images(tmp_path))
    with pytest.raises(DataError, match="no column 'message' \\(`--text`\\)"):
        predict_file(model, tmp_path / "new.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="no column 'photo' \\(`--image`\\)"):
        predict_file(model, tmp_path / "new.jsonl", tmp_path / "out.jsonl", "said")
    predict_file(model, tmp_path / "new.jsonl", tmp_path / "out.jsonl", "said", image_column="seen")
    assert json.loads((tmp_path / "out.jsonl").read_text())["label"] == "green"
    with pytest.raises(DataError, match="--second 'x': this model labels texts with pictures"):
        predict_file(model, tmp_path / "new.jsonl", tmp_path / "out.jsonl", second_column="x")


def test_whoever_has_no_pictures_to_show_is_told(folder: Path) -> None:
    with pytest.raises(ModelError, match="it looks at pictures, which `labelwright predict` alone gives a model"):
        load_model(folder)


def test_any_number_of_labels(tmp_path: Path, images: Images, encoder: DepictedEncoder) -> None:
    known = examples(images, multilabel=True)
    known = replace(known, targets=known.targets * np.array([1, 1, 0], np.float32))
    distil_depicted(known, DistilSettings(), ("message", "photo"), encoder=encoder, folder=tmp_path / "m")
    said = load_model(tmp_path / "m", images=images).predict(known.texts)
    assert set(said.values) <= {(), ("red",), ("green",)}


def test_the_card_says_how_it_is_used_and_holds_no_path(folder: Path, encoder: DepictedEncoder) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "labelwright predict THIS_FOLDER texts.csv" in card
    assert "in the column message" in card
    assert "labels, cross-validated" in card
    assert str(encoder.folder) not in card
    assert (folder / "encoder" / "model.safetensors").is_file()


def test_a_folder_that_lost_its_head_is_named(folder: Path, tmp_path: Path, images: Images) -> None:
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(ModelError, match="its head cannot be read"):
        load_model(tmp_path, images=images)
