"""Models that say numbers: a standard regression, the same as `pipeline` says, on files and over HTTP."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from transformers import pipeline

from agent.distill import GradeLessons, Grades, Runtime, distil_grades, load_model, predict_file, write_onnx
from agent.endpoint.app import create_app
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.student.encoder import Encoder
from agent.tasks.scale import Scale
from tests.distill.making import graded, make_encoder

STARS = Scale(1, 5, 1)
COURSE = DistilSettings(epochs=8, learning_rate=3e-4)


def taught(encoder: Encoder, folder: Path, scale: Scale = STARS, noise: float = 0.0) -> Grades:
    texts, grades = graded(200)
    said = np.array(grades, np.float32) + np.random.default_rng(0).normal(scale=noise, size=200).astype(np.float32)
    said = scale.low + (said - 1) * np.float32(scale.width / 4)
    lessons = GradeLessons(texts, said, np.ones(200, np.float32))
    facts = {"job": "animals", "made_from": "some labels"}
    return distil_grades(lessons, scale, COURSE, encoder=encoder, folder=folder, seed=3, facts=facts)


@pytest.fixture(scope="module")
def folder(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grades") / "model"
    taught(encoder, folder)
    return folder


@pytest.fixture(scope="module")
def grades(folder: Path) -> Grades:
    return Grades.load(folder)


def test_it_says_what_it_was_taught_in_grades_and_between(grades: Grades) -> None:
    texts, wanted = graded(100, seed=9)
    found = grades.predict(texts)
    assert np.mean([v == w for v, w in zip(found.values, wanted, strict=True)]) > 0.8
    assert set(found.values) <= set(STARS.grades)
    assert ((found.doubt >= 0) & (found.doubt <= 1)).all()
    assert np.abs(grades.scores(texts) - wanted).mean() < 0.4


@pytest.mark.parametrize("scale", [STARS, Scale(-100, 100)], ids=["stars", "without a step"])
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_pipeline_of_transformers_says_the_number_itself(kind: str, scale: Scale, tmp_path: Path) -> None:
    encoder = Encoder.load(str(make_encoder(tmp_path / "encoder", kind)))
    taught(encoder, tmp_path / "model", scale)
    texts = [*graded(40, seed=5)[0], "cat", "bread " * 200, "zebra"]
    grade = pipeline("text-classification", model=str(tmp_path / "model"), device="cpu")
    theirs = [row["score"] for row in grade(texts, truncation=True, function_to_apply="none")]
    ours = Grades.load(tmp_path / "model").scores(texts)
    assert ours == pytest.approx(np.clip(theirs, scale.low, scale.high), abs=1e-4 * scale.width)
    assert np.ptp(theirs) > scale.width / 2, "the scale's numbers, and not those that it learnt on"
    config = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "regression"
    assert config["architectures"][0].endswith("ForSequenceClassification")


def test_its_confidence_is_about_how_often_a_label_is_near(encoder: Encoder, tmp_path: Path) -> None:
    grades = taught(encoder, tmp_path / "model", Scale(1, 5), noise=0.6)
    texts, wanted = graded(300, seed=11)
    noisy = np.clip(np.array(wanted) + np.random.default_rng(1).normal(scale=0.6, size=300), 1, 5)
    found = grades.predict(texts)
    near = np.abs(np.array(found.values) - noisy) <= 0.4
    assert near.mean() == pytest.approx(1 - found.doubt.mean(), abs=0.12)


def test_the_same_labels_make_the_same_model(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    taught(encoder, tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_the_card_says_how_to_use_it_and_how_good_it_is(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-classification" in card
    assert 'function_to_apply": "none"' in card
    assert "1 to 5 in steps of 1" in card
    assert "each left out, before fine-tuning" in card


def test_a_file_is_graded(folder: Path, tmp_path: Path) -> None:
    texts = ["the old cat cow dog goat", "the bread", ""]
    with (tmp_path / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "score"], *([t, "mine"] for t in texts)])
    model = load_model(folder)
    assert predict_file(model, tmp_path / "texts.csv", tmp_path / "out.csv") == 3
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["score"] for row in rows] == ["mine"] * 3, "a name that was taken stays"
    told = model.told(texts[:2])
    assert [float(row["score_predicted"]) for row in rows[:2]] == pytest.approx([t["score"] for t in told], abs=1e-4)
    assert all(0 < float(row["confidence"]) <= 1 for row in rows[:2])
    assert rows[2]["score_predicted"] == ""
    assert told[0]["score"] > told[1]["score"]


def test_an_endpoint_answers_with_a_number(folder: Path) -> None:
    model = load_model(folder)
    with ThreadPoolExecutor(1) as pool, TestClient(create_app(model, pool)) as client:
        found = client.post("/predict", json={"text": "the dog"}).json()
        assert found == model.told(["the dog"])[0]
        assert set(found) == {"score", "confidence"}
        assert client.get("/health").json()["status"] == "ok"


def test_nothing_is_said_of_no_texts(grades: Grades) -> None:
    assert grades.predict([]).values == []
    assert len(grades.predict([""]).values) == 1


def test_it_runs_on_torch_alone(folder: Path) -> None:
    with pytest.raises(ModelError, match="it says numbers, and such models run on torch alone; leave --onnx out"):
        load_model(folder, Runtime.ONNX)
    with pytest.raises(ModelError, match="only classifiers of texts are written as ONNX"):
        write_onnx(folder)


def test_a_regression_of_somebody_else_has_no_scale(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    config = json.loads((other / "config.json").read_text(encoding="utf-8"))
    del config["score_scale"]
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="a regression whose scale is not known"):
        load_model(other)
