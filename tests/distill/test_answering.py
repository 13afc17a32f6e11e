"""Models that answer by quoting: a standard question answering folder, on long contexts, on files and over HTTP."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from starlette.testclient import TestClient
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from agent.distill import AnswerLessons, Answers, Runtime, distil_answers, load_model, predict_file, write_onnx
from agent.endpoint.app import create_app
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.pairing import join, split
from agent.records import Value
from agent.student.encoder import Encoder
from tests.distill.making import ANIMALS, FILLERS, FOODS, TOOLS

COURSE = DistilSettings(epochs=20, learning_rate=2e-4)
COLUMNS = ("question", "context")


def asked(count: int, seed: int = 0, long: int = 0) -> tuple[list[str], list[Value]]:
    """Which animal, tool or food is it? One thing stands in each context, now and then of another kind."""
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    values: list[Value] = []
    for k in range(count):
        things, kind = ((ANIMALS, "cat"), (TOOLS, "saw"))[k % 2]
        thing = str(rng.choice(FOODS if k % 5 == 4 else things))
        before, behind = (" ".join(rng.choice(FILLERS, rng.integers(1, 4) + long)) for _ in range(2))
        texts.append(join(f"the {kind}", f"{before} {thing} {behind}"))
        start = len(before) + 1
        values.append(() if k % 5 == 4 else ((start, start + len(thing), thing),))
    return texts, values


def taught(encoder: Encoder, folder: Path, *, may_be_none: bool = True) -> Answers:
    texts, values = asked(200)
    lessons = AnswerLessons(texts, values, np.ones(len(texts), np.float32))
    how = {"encoder": encoder, "folder": folder, "seed": 3, "facts": {"job": "things", "made_from": "some labels"}}
    return distil_answers(lessons, COLUMNS, COURSE, may_be_none=may_be_none, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers") / "model"
    taught(encoder, folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Answers:
    return Answers.load(folder)


@pytest.mark.parametrize("long", [0, 90])
def test_it_quotes_what_it_was_taught_also_in_contexts_longer_than_a_window(model: Answers, long: int) -> None:
    texts, values = asked(60, seed=9, long=long)
    found = model.predict(texts)
    assert np.mean([a == b for a, b in zip(values, found.values, strict=True)]) > (0.6 if long else 0.8)
    assert ((found.doubt >= 0) & (found.doubt <= 1)).all()
    for text, value in zip(texts, found.values, strict=True):
        assert all(split(text)[1][a:b] == quote for a, b, quote in value)
    if long:
        assert len(model.windows(texts)) > 2 * len(texts)


def test_transformers_alone_loads_it_and_says_the_same(folder: Path, model: Answers) -> None:
    read = AutoTokenizer.from_pretrained(folder)
    theirs = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    assert (folder / "model.safetensors").is_file()
    texts, _ = asked(40, seed=5)
    same = 0
    for text, value in zip(texts, model.predict(texts).values, strict=True):
        question, context = split(text)
        given = read(question, context, truncation="only_second", return_tensors="pt", return_offsets_mapping=True)
        offsets = given.pop("offset_mapping")[0].tolist()
        with torch.inference_mode():
            said = theirs(**given)
        start, end = int(said.start_logits.argmax()), int(said.end_logits.argmax())
        if start == end == 0:
            same += value == ()
        elif start and end:
            a, b = offsets[start][0], offsets[end][1]
            same += value == ((a, b, context[a:b]),)
    assert same >= 37, "but where the best beginning and the best end make no piece"


def test_where_every_question_has_an_answer_it_gives_one(encoder: Encoder, tmp_path: Path) -> None:
    model = taught(encoder, tmp_path / "model", may_be_none=False)
    texts, _ = asked(20, seed=4)
    assert all(model.predict(texts).values)
    assert "p_no_answer" not in model.adds()
    assert Answers.load(tmp_path / "model").may_be_none is False


def test_the_same_labels_make_the_same_model(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    taught(encoder, tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_the_card_says_how_to_use_it(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: question-answering" in card
    assert "It answers a question by quoting a piece of its context." in card
    assert "## Labels" not in card
    code = card.split("```python\n")[1].split("```")[0].replace("THIS_FOLDER", str(folder))
    exec(code, {})


def test_a_file_is_answered(folder: Path, tmp_path: Path) -> None:
    texts, _ = asked(20, seed=7)
    rows = [dict(zip(COLUMNS, split(t), strict=True)) for t in texts] + [{"question": "the cat", "context": ""}]
    with (tmp_path / "new.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, COLUMNS)
        out.writeheader()
        out.writerows(rows)
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "new.parquet")
    model = load_model(folder)
    for kind in ("csv", "jsonl", "parquet"):
        assert predict_file(model, tmp_path / f"new.{kind}", tmp_path / f"out.{kind}") == 21
    told = model.told(texts)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [r["answer"] for r in found[:-1]] == [t["answer"] for t in told]
    assert [r["start"] for r in found[:-1]] == ["" if t["start"] is None else str(t["start"]) for t in told]
    assert found[-1]["confidence"] == "", "it has no context"
    assert {r["answer"] == "" for r in found[:-1]} == {True, False}
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [(r["answer"], r["start"], r["end"]) for r in lines] == [
        (r["answer"], r["start"], r["end"]) for r in pq.read_table(tmp_path / "out.parquet").to_pylist()
    ]


def test_an_endpoint_answers(folder: Path) -> None:
    model = load_model(folder)
    text, _ = asked(1)
    question, context = split(text[0])
    with ThreadPoolExecutor(1) as pool, TestClient(create_app(model, pool)) as client:
        found = client.post("/predict", json={"text": question, "second": context}).json()
        assert found == model.told(text)[0]
        assert found["answer"] == context[found["start"] : found["end"]]
        assert client.post("/predict", json={"text": question}).status_code == 422


def test_what_is_for_classifiers_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="it quotes answers, and such models run on torch alone"):
        load_model(folder, Runtime.ONNX)
    with pytest.raises(ModelError, match="it quotes answers, and only classifiers of texts"):
        write_onnx(folder)


def test_lessons_without_an_answer_teach_nothing_where_there_is_always_one(encoder: Encoder, tmp_path: Path) -> None:
    nothing = AnswerLessons([join("the cat", "a saw")], [()], np.ones(1, np.float32))
    with pytest.raises(ModelError, match="no answer stands where it is read"):
        distil_answers(nothing, COLUMNS, COURSE, may_be_none=False, encoder=encoder, folder=tmp_path / "m", seed=0)
    assert not (tmp_path / "m").exists()


def test_nothing_is_asked(model: Answers) -> None:
    assert model.predict([]).values == []
    assert model.predict([join("the cat", " ")]).values == [()]
