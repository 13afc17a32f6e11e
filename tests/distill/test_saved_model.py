"""The folder is a standard one, whole at any moment, and says where it came from."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.distill import Figure, Model, add_figures, distil, made_from
from agent.errors import ModelError
from agent.hub import Kind, files_to_push, kind_of
from agent.student.encoder import Encoder
from tests.distill.conftest import GENTLE
from tests.distill.making import NAMES, examples, sentences

saving = importlib.import_module("agent.distill.saving")


def pipeline_says(
    folder: Path, texts: list[str]
) -> tuple[list[str], np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    """The likeliest labels, and (n, C) probabilities in the order of the names, as `transformers` itself has them."""
    from transformers import pipeline

    found = pipeline("text-classification", model=str(folder), truncation=True, top_k=None, device="cpu")(texts)
    scores = [{d["label"]: d["score"] for d in each} for each in found]
    return [each[0]["label"] for each in found], np.array([[s[name] for name in NAMES] for s in scores])


@pytest.mark.parametrize("name", ["model_folder", "multilabel_folder"])
def test_the_pipeline_says_the_same_as_we_do(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    texts = [*sentences(40, seed=6)[0], "cat " * 500, "?"]
    labels, probabilities = pipeline_says(folder, texts)
    ours = Model.load(folder).predict(texts)
    assert ours.probabilities is not None
    np.testing.assert_allclose(ours.probabilities, probabilities, atol=1e-5)
    assert [NAMES[c] for c in ours.probabilities.argmax(1)] == labels


def test_the_folder_holds_what_transformers_expects_and_no_pickle(model_folder: Path) -> None:
    names = {p.name for p in model_folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "labelwright.json"} <= names
    assert not [n for n in names if n.endswith((".bin", ".pt", ".pkl"))]
    config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    assert list(config["id2label"].values()) == list(NAMES)
    assert config["label2id"] == {name: i for i, name in enumerate(NAMES)}
    assert config["problem_type"] == "single_label_classification"


def test_what_leaves_for_the_hub_is_all_but_the_vectors_of_texts(model_folder: Path) -> None:
    there = {p.name for p in model_folder.iterdir()}
    assert kind_of(model_folder) is Kind.MODEL
    assert set(files_to_push(model_folder, Kind.MODEL)) == there - {"labelwright.vectors"}


def test_doubt_is_one_minus_confidence(model: Model) -> None:
    found = model.predict(sentences(20)[0])
    assert found.probabilities is not None
    np.testing.assert_allclose(found.doubt, 1 - found.probabilities.max(1), atol=1e-6)


def test_no_texts_give_no_predictions(model: Model) -> None:
    found = model.predict([])
    assert found.probabilities is not None
    assert (list(found.values), found.probabilities.shape) == ([], (0, 3))


@pytest.mark.parametrize("moment", ["_put", "flush"])
def test_a_crash_before_the_last_step_leaves_the_old_model(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    distil(examples(30), GENTLE, encoder=encoder, folder=tmp_path / "m", facts={"made_from": "old"})
    before = {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()}

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(saving, moment, crash)
    with pytest.raises(KeyboardInterrupt):
        distil(examples(30), GENTLE, encoder=encoder, folder=tmp_path / "m", facts={"made_from": "new"})
    assert {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()} == before
    assert made_from(tmp_path / "m") == "old"


def test_what_a_killed_run_left_is_in_nobodys_way(encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / ".m.partial").mkdir()
    (tmp_path / ".m.partial" / "model.safetensors").write_text("half")
    distil(examples(30), GENTLE, encoder=encoder, folder=tmp_path / "m", facts={"made_from": "new"})
    assert made_from(tmp_path / "m") == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("swaps", [True, False])
def test_a_new_model_takes_the_place_of_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: bool) -> None:
    if not swaps:  # a system that cannot swap two folders in one step
        monkeypatch.setattr(saving, "_exchange", lambda a, b: False)
    for content in ("one", "two"):
        with saving.replacing(tmp_path / "m") as partial:
            (partial / content).write_text(content)
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="file/m: cannot be written"), saving.replacing(tmp_path / "file" / "m"):
        pass


@pytest.mark.parametrize("content", [{}, {"config.json": "{}"}, {"labelwright.json": "not json"}])
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=str(tmp_path)):
        Model.load(tmp_path)
    assert made_from(tmp_path) is None


def test_figures_can_be_added_and_replaced_later(encoder: Encoder, tmp_path: Path) -> None:
    distil(examples(120), GENTLE, encoder=encoder, folder=tmp_path / "m", facts={"made_from": "x"})
    for value in (0.5, 0.75):
        add_figures(tmp_path / "m", [Figure("accuracy", value, 0.4, 0.9, 200, "gold")])
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert card.count("| gold |") == 1
    assert "| accuracy | 0.750 | 0.400 to 0.900 | 200 | gold |" in card
    assert "cross-validated" in card
    assert made_from(tmp_path / "m") == "x"
    with pytest.raises(ModelError, match="no model that `distil` made"):
        add_figures(tmp_path, [])


def test_importing_the_room_loads_no_torch() -> None:
    code = "import sys, agent.distill; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
