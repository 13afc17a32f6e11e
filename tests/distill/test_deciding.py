"""From which probability on a label holds, where a text has any number of them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig

from agent.distill import Model, Start, distil
from agent.distill.deciding import FEWEST, at_half, best_threshold, least_sure
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.student.encoder import Encoder
from tests.distill.making import examples


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=30)
def test_it_is_the_one_that_counting_one_by_one_finds(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.beta(0.7, 2, (FEWEST, classes)).astype(np.float32)
    targets, weights = (rng.random(p.shape) < p).astype(np.float32), rng.random(FEWEST).astype(np.float32) + 0.1
    best, found = -1.0, 0.0
    for threshold in (0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1):
        hits = sizes = 0.0
        for row, wanted, weight in zip(p.tolist(), targets.tolist(), weights.tolist(), strict=True):
            for chance, holds in zip(row, wanted, strict=True):
                said = chance >= threshold
                hits += weight * (said and holds == 1)
                sizes += weight * (said + holds)
        f1 = 2 * hits / max(sizes, 1e-9)
        if f1 > best + 1e-6:
            best, found = f1, threshold
    assert best_threshold(p, targets, weights).threshold == pytest.approx(found)


def test_of_rare_labels_the_best_f1_comes_from_half_of_it() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(0.6, 5, (4000, 8)).astype(np.float32)
    targets = (rng.random(p.shape) < p).astype(np.float32)
    found = best_threshold(p, targets, np.ones(len(p), np.float32)).threshold
    said = p >= found
    f1 = 2 * (said * targets).sum() / (said.sum() + targets.sum())
    assert found < 0.4
    assert found == pytest.approx(f1 / 2, abs=0.06)


def test_by_few_texts_nothing_is_chosen() -> None:
    p = np.full((FEWEST - 1, 3), 0.2, np.float32)
    found = best_threshold(p, np.ones_like(p), np.ones(len(p), np.float32))
    assert found.threshold == 0.5
    assert "fewer than 100" in found.why


@given(st.floats(0.001, 0.999), st.floats(0.1, 0.9))
def test_what_is_as_likely_as_the_threshold_is_the_least_certain(p: float, threshold: float) -> None:
    rows = np.array([[p], [threshold]], np.float32)
    said, shifted = rows[0, 0] >= np.float32(threshold), at_half(rows, threshold)
    assert shifted[1, 0] == pytest.approx(0.5, abs=1e-4)
    assert said == (shifted[0, 0] >= 0.5) or shifted[0, 0] == pytest.approx(0.5, abs=1e-4)
    assert least_sure(rows, threshold)[0] + 1e-6 >= 0.5
    odds = lambda x: np.log(x / (1 - x))  # noqa: E731
    assert odds(float(shifted[0, 0])) == pytest.approx(odds(p) - odds(threshold), abs=1e-2)


def test_one_half_changes_nothing() -> None:
    p = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    assert at_half(p, 0.5) is p


def test_a_saved_model_says_labels_from_there_on(tmp_path: Path, encoder: Encoder) -> None:
    known = replace(examples(60), multilabel=True)
    for threshold in (0.5, 0.2):
        how = DistilSettings(epochs=1, label_threshold=threshold)
        distil(known, how, encoder=encoder, folder=tmp_path / str(threshold))
    half, fifth = (Model.load(tmp_path / name) for name in ("0.5", "0.2"))
    texts = known.texts[:30]
    said, plain = fifth.predict(texts), half.predict(texts)
    assert said.probabilities is not None
    assert said.probabilities.tolist() == plain.probabilities.tolist()  # type: ignore[union-attr]
    expected = [tuple(n for n, p in zip(fifth.names, row, strict=True) if p >= 0.2) for row in said.probabilities]
    assert said.values == expected
    assert said.values != plain.values
    assert AutoConfig.from_pretrained(tmp_path / "0.2").label_threshold == 0.2
    assert "label_threshold" not in (tmp_path / "0.5" / "config.json").read_text(encoding="utf-8")
    assert fifth.read(texts).probabilities.tolist() == at_half(said.probabilities, 0.2).tolist()
    card = (tmp_path / "0.2" / "README.md").read_text(encoding="utf-8")
    assert "probability is at least 0.2, which is `model.config.label_threshold` (as the job says)" in card
    assert "at least one half" in (tmp_path / "0.5" / "README.md").read_text(encoding="utf-8")


def test_what_a_model_learnt_from_another_says_is_its_own_business(tmp_path: Path, encoder: Encoder) -> None:
    """A threshold in the encoder's folder holds of the model that was there."""
    known = replace(examples(60), multilabel=True)
    distil(known, DistilSettings(epochs=1, label_threshold=0.2), encoder=encoder, folder=tmp_path / "first")
    again = Encoder.load(str(tmp_path / "first"))
    distil(known, DistilSettings(epochs=1), encoder=again, folder=tmp_path / "second")
    assert Model.load(tmp_path / "second").label_threshold == 0.5


def test_a_model_that_goes_on_keeps_its_threshold(tmp_path: Path, encoder: Encoder) -> None:
    known = replace(examples(60), multilabel=True)
    distil(known, DistilSettings(epochs=1, label_threshold=0.2), encoder=encoder, folder=tmp_path / "first")
    start = Start.read(tmp_path / "first", known.texts[:10])
    distil(known, DistilSettings(epochs=1), start=start, folder=tmp_path / "second")
    assert Model.load(tmp_path / "second").label_threshold == 0.2
    assert replace(start, label_threshold=0.3).key != start.key


@pytest.mark.parametrize("said", ['"abc"', "1.5", "[0.2]", "0"])
def test_a_threshold_that_is_none_is_said(tmp_path: Path, model_folder: Path, said: str) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "copy"))
    config = (copy / "config.json").read_text(encoding="utf-8")
    (copy / "config.json").write_text(config.replace("{", f'{{"label_threshold": {said},', 1), encoding="utf-8")
    with pytest.raises(ModelError, match=r"`label_threshold` is .*, and takes a number between 0 and 1"):
        Model.load(copy)
