"""Models of spans: a standard token classifier, the same as `pipeline` finds, on files and over HTTP."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from transformers import pipeline

from agent.distill import Runtime, SpanLessons, Tags, distil_spans, load_model, predict_file, write_onnx
from agent.endpoint.app import create_app
from agent.errors import DataError, ModelError
from agent.job import DistilSettings
from agent.student.encoder import Encoder
from agent.tasks.bio import Range
from tests.distill.making import ANIMALS, TOOLS, sentences

TYPES = ("animal", "tool")
COURSE = DistilSettings(epochs=15, learning_rate=3e-4)


def spans_in(text: str) -> list[Range]:
    """Animals and tools of a made-up text; two beside each other are one."""
    found: list[Range] = []
    at = 0
    for word in text.split(" "):
        name = "animal" if word in ANIMALS else "tool" if word in TOOLS else ""
        if name and found and found[-1][1:] == (at - 1, name):
            found[-1] = (found[-1][0], at + len(word), name)
        elif name:
            found.append((at, at + len(word), name))
        at += len(word) + 1
    return found


def taught(encoder: Encoder, folder: Path) -> Tags:
    texts, _ = sentences(300)
    lessons = SpanLessons(texts, [spans_in(t) for t in texts], np.ones(len(texts), np.float32))
    facts = {"job": "things", "made_from": "some labels"}
    return distil_spans(lessons, TYPES, COURSE, encoder=encoder, folder=folder, seed=3, facts=facts)


@pytest.fixture(scope="module")
def folder(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tags") / "model"
    taught(encoder, folder)
    return folder


@pytest.fixture(scope="module")
def tags(folder: Path) -> Tags:
    return Tags.load(folder)


def test_it_finds_what_it_was_taught(tags: Tags) -> None:
    texts, _ = sentences(60, seed=9)
    found = tags.predict(texts)
    wanted = [{(a, n) for a, _, n in spans_in(t)} for t in texts]
    begun = [{(a, n) for a, _, n, _ in spans} for spans in found.values]
    assert sum(len(w & b) for w, b in zip(wanted, begun, strict=True)) > 0.9 * sum(map(len, wanted))
    assert all(t[a:b] == quote for t, spans in zip(texts, found.values, strict=True) for a, b, _, quote in spans)
    assert ((found.doubt >= 0) & (found.doubt <= 1)).all()


def test_a_pipeline_of_transformers_finds_the_same(folder: Path, tags: Tags) -> None:
    texts = [*sentences(40, seed=5)[0], "the catfish, a dog-saw (cow)", "drill"]
    find = pipeline("token-classification", model=str(folder), aggregation_strategy="first", device="cpu")
    theirs = [[(e["start"], e["end"], e["entity_group"]) for e in find(t)] for t in texts]
    assert [[s[:3] for s in spans] for spans in tags.predict(texts).values] == theirs


def test_what_is_short_long_or_empty_is_read(tags: Tags) -> None:
    long = "the dog " * 200
    found = tags.predict(["", " ", "dog", long]).values
    assert found[:2] == [(), ()]
    assert found[2] == ((0, 3, "animal", "dog"),)
    assert found[3], "the beginning of a text that is cut"
    assert tags.predict([]).values == []


def test_the_same_labels_make_the_same_model(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    taught(encoder, tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_the_card_says_how_to_use_it(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: token-classification" in card
    assert 'pipeline("token-classification"' in card


def test_a_file_is_labelled(folder: Path, tmp_path: Path) -> None:
    texts = ["the old cow, a saw", "nothing", ""]
    with (tmp_path / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([t] for t in texts)])
    model = load_model(folder)
    assert predict_file(model, tmp_path / "texts.csv", tmp_path / "out.csv") == 3
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = json.loads(rows[0]["spans"])
    assert [(s["start"], s["end"], s["label"], s["text"]) for s in found] == list(model.predict(texts).values[0])
    assert 0 < float(rows[0]["confidence"]) <= 1
    assert rows[2]["spans"] == ""
    with pytest.raises(DataError, match="single texts"):
        predict_file(model, tmp_path / "texts.csv", tmp_path / "out.csv", second_column="b")


def test_an_endpoint_answers_with_spans(folder: Path) -> None:
    model = load_model(folder)
    with ThreadPoolExecutor(1) as pool, TestClient(create_app(model, pool)) as client:
        found = client.post("/predict", json={"text": "the dog"}).json()
        assert found == model.told(["the dog"])[0]
        assert found["spans"][0]["text"] == "dog"
        assert client.get("/health").json()["labels"] == list(TYPES)


def test_it_runs_on_torch_alone(folder: Path) -> None:
    with pytest.raises(ModelError, match="leave --onnx out"):
        load_model(folder, Runtime.ONNX)


def test_labels_without_any_word_teach_nothing(encoder: Encoder, tmp_path: Path) -> None:
    nothing = SpanLessons(["", " "], [[], []], np.ones(2, np.float32))
    with pytest.raises(ModelError, match="no labelled text has a word"):
        distil_spans(nothing, TYPES, COURSE, encoder=encoder, folder=tmp_path / "model", seed=0)
    assert not (tmp_path / "model").exists()


def test_onnx_is_refused_before_anything_is_written(folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(ModelError, match="it finds spans, and only classifiers of texts are written as ONNX"):
        write_onnx(folder)
    assert sorted(path.name for path in folder.iterdir()) == before
