"""A distilled model as ONNX: the same answers from plain onnxruntime, or a clear word and nothing written."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner

from agent.cli import app
from agent.distill import Checks, Model, Runtime, distil, predict_file, write_onnx
from agent.errors import DataError, ExtraMissing, ModelError
from agent.student.encoder import Encoder
from tests.distill.conftest import GENTLE
from tests.distill.making import NAMES, examples, make_encoder, sentences

runtime = importlib.import_module("agent.distill.runtime")
TEXTS, TOPICS = sentences(30, seed=21)
ODD = [*TEXTS, "cat " * 500, "?", "old", "é ☃ 日本"]


@pytest.fixture(scope="module")
def written(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with both files."""
    folder = tmp_path_factory.mktemp("onnx") / "topics"
    shutil.copytree(model_folder, folder)
    write_onnx(folder, int8=True)
    return folder


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def logits(folder: Path, texts: list[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """As somebody has them who never heard of Labelwright."""
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    read = AutoTokenizer.from_pretrained(folder)(texts, truncation=True, padding=True, return_tensors="np")
    assert [o.name for o in session.get_outputs()] == ["logits"]
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    (found,) = session.run(None, {i.name: read[i.name] for i in session.get_inputs()})
    return found


@pytest.mark.parametrize("texts", [ODD, ["the cat"], ["old"], ["cat " * 500]])
def test_plain_onnxruntime_says_the_same_as_torch(written: Path, texts: list[str]) -> None:
    found = logits(written, texts)
    chances = np.exp(found - found.max(1, keepdims=True))
    expected = Model.load(written).predict(texts).probabilities
    np.testing.assert_allclose(chances / chances.sum(1, keepdims=True), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model_type", "inputs"),
    [
        ("bert", {"input_ids", "attention_mask", "token_type_ids"}),
        ("distilbert", {"input_ids", "attention_mask"}),
    ],
)
def test_it_takes_what_the_model_takes(tmp_path: Path, model_type: str, inputs: set[str]) -> None:
    encoder = Encoder.load(str(make_encoder(tmp_path / "encoder", model_type)))
    distil(examples(30), GENTLE, encoder=encoder, folder=tmp_path / "m")
    (file,) = write_onnx(tmp_path / "m").files
    assert (file.same, file.texts > 50, file.largest < 1e-4) == (file.texts, True, True)
    session = onnxruntime.InferenceSession(tmp_path / "m" / "model.onnx")
    assert {i.name for i in session.get_inputs()} == inputs


def test_several_labels_a_text_are_the_same(multilabel_folder: Path, tmp_path: Path) -> None:
    folder = copied(multilabel_folder, tmp_path / "m")
    write_onnx(folder)
    ours, theirs = (Model.load(folder, runtime=r).predict(ODD) for r in (Runtime.TORCH, Runtime.ONNX))
    assert ours.values == theirs.values
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("switch", "on"), [("--onnx", Runtime.ONNX), ("--int8", Runtime.INT8)])
def test_predict_labels_a_file_on_onnxruntime(written: Path, tmp_path: Path, switch: str, on: Runtime) -> None:
    source, a, b = (tmp_path / name for name in ("in.csv", "a.csv", "b.csv"))
    source.write_text("text\n" + "\n".join(TEXTS) + "\n", encoding="utf-8")
    done = CliRunner().invoke(app, ["predict", str(written), str(source), switch, "--output", str(a)])
    assert done.exit_code == 0, done.output
    predict_file(Model.load(written, runtime=on), source, b)
    assert a.read_text(encoding="utf-8") == b.read_text(encoding="utf-8")


def test_with_eight_bits_a_text_is_labelled_alike_whatever_comes_along(written: Path) -> None:
    model = Model.load(written, runtime=Runtime.INT8)
    together, alone = model.predict(ODD).probabilities, [model.predict([text]).probabilities for text in ODD]
    np.testing.assert_array_equal(together, np.concatenate(alone))  # type: ignore[arg-type]


def test_the_command_says_how_near_it_comes(model_folder: Path, tmp_path: Path) -> None:
    folder, gold = copied(model_folder, tmp_path / "m"), tmp_path / "gold.csv"
    right = [str(value) for value in Model.load(folder).predict(TEXTS).values]
    one_wrong = [next(name for name in NAMES if name != right[0]), *right[1:]]
    gold.write_text("say,topic\n" + "\n".join(map(",".join, zip(TEXTS, one_wrong, strict=True))), encoding="utf-8")
    words = ["onnx", str(folder), "--int8", "--gold", str(gold), "--text", "say", "--label", "topic"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert re.search(r"model\.onnx \d\.\d MB; (\d+) of \1 texts get the same label", said), said
    assert "96.7% with torch 96.7% as model.onnx (+0.0 points)" in said
    plain = CliRunner().invoke(app, [*words, "--texts", str(gold), "--json"])
    found = json.loads(plain.output)
    assert [f["texts"] for f in found["files"]] == [30, 30]
    assert found["accuracy"] == pytest.approx(29 / 30)


def test_the_card_says_how_to_load_it_and_that_works(written: Path) -> None:
    card = (written / "README.md").read_text(encoding="utf-8")
    assert "`model.onnx` and `model-int8.onnx`" in card
    code = next(c for c in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "onnxruntime" in c)
    *before, last = code.strip().splitlines()
    known: dict[str, object] = {}
    exec("\n".join(before).replace("THIS_FOLDER", str(written)), known)
    expected = Model.load(written).predict(["a text"]).probabilities
    np.testing.assert_allclose(eval(last, known), expected, atol=1e-5)


def test_a_model_that_says_something_else_there_is_refused_and_nothing_is_written(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(model_folder, tmp_path / "m")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    plain = runtime.OnnxNetwork.logits
    monkeypatch.setattr(runtime.OnnxNetwork, "logits", lambda self, tokens: -plain(self, tokens))
    with pytest.raises(ModelError, match=r"as ONNX it gives \d+ of \d+ texts another label .*nothing was written"):
        write_onnx(folder, int8=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_crash_halfway_leaves_the_old_files(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(written, tmp_path / "m")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runtime.OnnxNetwork, "logits", crash)
    with pytest.raises(KeyboardInterrupt):
        write_onnx(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("checks", "content", "message"),
    [
        (Checks(gold=Path("gold.csv")), "text,label\na cat,anmal\n", r"gold\.csv.*(?s:.*)anmal"),
        (Checks(gold=Path("gold.csv")), "text,lable\na cat,animal\n", r"no column 'label'"),
        (Checks(texts=Path("gold.csv")), "txt\na cat\n", r"no column 'text'"),
        (Checks(texts=Path("gold.csv")), 'text\n" "\n', r"no text in column 'text'"),
        (Checks(texts=Path("none.csv")), "", r"none\.csv: no such file"),
    ],
)
def test_a_bad_file_is_told_before_anything_is_written(  # noqa: PLR0917
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checks: Checks, content: str, message: str
) -> None:
    folder = copied(model_folder, tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    Path("gold.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        write_onnx(folder, checks)
    assert not list(folder.glob("*.onnx*"))


def test_a_folder_without_the_file_names_the_command(model_folder: Path) -> None:
    with pytest.raises(ModelError, match=rf"no model\.onnx; write it first: labelwright onnx {model_folder}$"):
        Model.load(model_folder, runtime=Runtime.ONNX)
    with pytest.raises(ModelError, match=r"no model-int8\.onnx; .* --int8$"):
        Model.load(model_folder, runtime=Runtime.INT8)


def test_a_broken_file_is_said(written: Path, tmp_path: Path) -> None:
    folder = copied(written, tmp_path / "m")
    (folder / "model.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelError, match=r"model\.onnx: onnxruntime cannot read it"):
        Model.load(folder, runtime=Runtime.ONNX)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_the_line_to_install_it_is_said(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    folder = copied(model_folder, tmp_path / "m")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExtraMissing, match=rf"needs {package}, .*pip install 'labelwright\[onnx\]'"):
        write_onnx(folder)
    assert not list(folder.glob("*.onnx*"))


def test_running_needs_onnxruntime(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'labelwright\[onnx\]'"):
        Model.load(written, runtime=Runtime.INT8)


def test_names_come_from_the_folder(written: Path) -> None:
    assert Model.load(written, runtime=Runtime.ONNX).names == NAMES
