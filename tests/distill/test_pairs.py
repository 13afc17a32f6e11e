"""Models of pairs: the folder is a standard cross-encoder, remembers its two columns, and labels files by them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from agent.distill import Checks, Examples, Model, distil, predict_file, write_onnx
from agent.distill.tables import open_table
from agent.errors import DataError
from agent.pairing import join
from agent.student.encoder import Encoder
from tests.distill.conftest import GENTLE
from tests.distill.making import make_encoder, sentences

NAMES = ("same", "other")
COLUMNS = ("premise", "hypothesis")
Pair = tuple[str, str]


def pairs(n: int, seed: int = 0) -> tuple[list[Pair], list[str]]:
    """n pairs of texts, and whether both are of the same topic."""
    (first, one), (second, two) = sentences(n, seed), sentences(n, seed + 1)
    order = np.random.default_rng(seed).permutation(n)
    both = [(first[i], second[j]) for i, j in enumerate(order)]
    return both, [NAMES[one[i] != two[j]] for i, j in enumerate(order)]


@pytest.fixture(scope="module")
def folder(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught(encoder, tmp_path_factory.mktemp("pairs") / "model")


def taught(encoder: Encoder, folder: Path) -> Path:
    both, said = pairs(120)
    targets = np.array([[float(name == s) for name in NAMES] for s in said], np.float32)
    known = Examples([join(*p) for p in both], targets, np.ones(120, np.float32), NAMES, columns=COLUMNS)
    distil(known, GENTLE, encoder=encoder, folder=folder)
    return folder


def pipeline_says(folder: Path, both: list[Pair]) -> tuple[list[str], list[float]]:
    """What `transformers` alone says of pairs: the likeliest label of each, and how likely it is."""
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(folder), truncation=True, device="cpu")
    found = [classify({"text": a, "text_pair": b}) for a, b in both]
    return [f["label"] for f in found], [f["score"] for f in found]


NASTY = [("cat", "dog " * 200), ("cat " * 200, "?"), ("a [SEP] cat", "the [SEP] saw"), ("?", "[PAD]")]


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_the_plain_pipeline_says_the_same_as_we_do(kind: str, folder: Path, tmp_path: Path) -> None:
    if kind != "bert":
        folder = taught(Encoder.load(str(make_encoder(tmp_path / "encoder", kind))), tmp_path / "model")
    both = [*pairs(20, seed=5)[0], *NASTY]
    labels, scores = pipeline_says(folder, both)
    ours = Model.load(folder).predict([join(*p) for p in both])
    assert list(ours.values) == labels
    np.testing.assert_allclose(1 - ours.doubt, scores, atol=1e-5)


def test_which_text_comes_first_matters_to_the_model(folder: Path) -> None:
    model, (both, _) = Model.load(folder), pairs(20, seed=5)
    there, back = (model.predict([join(*p) for p in every]) for every in (both, [p[::-1] for p in both]))
    assert not np.allclose(there.doubt, back.doubt, atol=1e-5)


def test_the_card_says_how_a_pair_is_given_to_it(folder: Path) -> None:
    said = (folder / "README.md").read_text(encoding="utf-8")
    assert "A pair classifier: 2 classes, exactly one label for a premise and a hypothesis." in said
    assert 'classify({"text": "a text", "text_pair": "another"})' in said
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["text_columns"] == list(COLUMNS)


# files -------------------------------------------------------------------------------------------------------------


def write(path: Path, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_is_labelled_by_the_columns_that_the_model_remembers(folder: Path, tmp_path: Path) -> None:
    model, (both, _) = Model.load(folder), pairs(12, seed=9)
    rows = [*both, ("cat", " "), ("", "dog")]
    source = write(tmp_path / "new.csv", COLUMNS, list(rows))
    assert predict_file(model, source, tmp_path / "out.csv") == 14
    found = read(tmp_path / "out.csv")
    assert [(r["premise"], r["hypothesis"]) for r in found] == rows
    assert [r["label"] for r in found] == [*model.predict([join(*p) for p in both]).values, "", ""]


def test_other_columns_can_be_named_one_by_one(folder: Path, tmp_path: Path) -> None:
    model, (both, _) = Model.load(folder), pairs(6, seed=9)
    source = write(tmp_path / "new.csv", ("premise", "claim"), list(both))
    predict_file(model, source, tmp_path / "out.csv", second_column="claim")
    assert [r["label"] for r in read(tmp_path / "out.csv")] == model.predict([join(*p) for p in both]).values
    with pytest.raises(DataError, match=r"no column 'hypothesis' \(`--second`\)"):
        predict_file(model, source, tmp_path / "out.csv")


def test_a_model_of_single_texts_refuses_a_second_column(model: Model, tmp_path: Path) -> None:
    source = write(tmp_path / "new.csv", ("text", "more"), [("cat", "dog")])
    with pytest.raises(DataError, match="labels single texts, not pairs"):
        predict_file(model, source, tmp_path / "out.csv", second_column="more")


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.tsv", "pairs.jsonl", "pairs.parquet"])
def test_both_columns_are_read_from_every_kind_of_file(tmp_path: Path, name: str) -> None:
    from tests.pool.making import WRITERS, write_csv

    rows = [{"a": "one", "b": "two"}, {"a": "three", "b": " "}]
    if name.endswith(".tsv"):
        write_csv(tmp_path / name, rows, "\t")
    else:
        next(w for n, w in WRITERS.items() if n.endswith(Path(name).suffix))(tmp_path / name, rows)
    (chunk,) = open_table(tmp_path / name, "a", "b").chunks()
    assert chunk.texts == [join("one", "two"), None]


def test_onnx_is_measured_on_pairs_by_the_columns_that_the_model_remembers(folder: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(folder, tmp_path / "model"))
    both, said = pairs(30, seed=40)
    gold = write(
        tmp_path / "gold.csv", ("premise", "hypothesis", "label"), [(*p, s) for p, s in zip(both, said, strict=True)]
    )
    done = write_onnx(model, Checks(texts=gold, gold=gold))
    right = [
        value == s for value, s in zip(Model.load(folder).predict([join(*p) for p in both]).values, said, strict=True)
    ]
    assert done.accuracy == pytest.approx(np.mean(right))
    assert (done.gold, done.files[0].texts, done.files[0].same) == (30, 30, 30)
    other = write(tmp_path / "other.csv", ("text", "label"), [("the cat", "same")])
    for checks in (Checks(gold=other), Checks(texts=other)):
        with pytest.raises(DataError, match="premise"):
            write_onnx(model, checks)
