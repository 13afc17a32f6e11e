"""A model that gives no label where it is not sure: the threshold, where it is kept, and what it was found from."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification

from agent.distill import Bar, Model, abstains_below, answered, distil, predict_file
from agent.errors import JobFileError
from agent.job import DistilSettings, Job
from agent.student.encoder import Encoder
from agent.tasks.intervals import wilson
from agent.triage import threshold
from tests.distill.making import NAMES, examples, make_encoder, sentences
from tests.whole.jobs import settings as job_settings

TEXTS, _ = sentences(30, seed=5)
QUICK = DistilSettings(epochs=1)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(str(make_encoder(tmp_path_factory.mktemp("encoders") / "tiny")))


@pytest.fixture(scope="module")
def plain(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "model"
    distil(examples(60), QUICK, encoder=encoder, folder=folder)
    return folder


@pytest.fixture(scope="module")
def careful(encoder: Encoder, plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model, which says nothing of the less sure half of the texts."""
    middle = float(np.median(1 - Model.load(plain).predict(TEXTS).doubt))
    folder = tmp_path_factory.mktemp("careful") / "model"
    distil(examples(60), QUICK.model_copy(update={"abstain_below": middle}), encoder=encoder, folder=folder)
    return folder


def test_a_model_without_a_threshold_is_what_it_was(plain: Path) -> None:
    assert abstains_below(plain) is None
    assert "abstain_below" not in (plain / "config.json").read_text(encoding="utf-8")
    model = Model.load(plain)
    assert list(model.adds()) == ["label", "confidence", *(f"p_{n}" for n in NAMES)]
    assert "abstained" not in model.told(TEXTS[:1])[0]
    assert "abstain" not in (plain / "README.md").read_text(encoding="utf-8")


def test_below_it_no_label_is_given_and_the_probabilities_are(plain: Path, careful: Path) -> None:
    below, before, now = abstains_below(careful), Model.load(plain), Model.load(careful)
    assert below is not None
    for was, told in zip(before.told(TEXTS), now.told(TEXTS), strict=True):
        assert told["probabilities"] == pytest.approx(was["probabilities"], abs=1e-5)
        assert told["abstained"] == (told["confidence"] < round(below, 6))
        assert told["label"] == (None if told["abstained"] else was["label"])
    silent = [told["abstained"] for told in now.told(TEXTS)]
    assert 10 < sum(silent) < 20
    assert list(now.predict(TEXTS).values) == list(before.predict(TEXTS).values), "what it would have said is known"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_file_says_where_it_abstained(careful: Path, tmp_path: Path, suffix: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pa.table({"text": TEXTS}), source)
    elif suffix == ".jsonl":
        source.write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS), encoding="utf-8")
    else:
        source.write_text("\n".join(["text", *TEXTS]) + "\n", encoding="utf-8")
    predict_file(Model.load(careful), source, target)
    if suffix == ".parquet":
        rows = parquet.read_table(target).to_pylist()
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    else:
        with target.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    expected = [told["abstained"] for told in Model.load(careful).told(TEXTS)]
    assert [row["abstained"] in (True, "true") for row in rows] == expected
    assert [not row["label"] for row in rows] == expected
    assert all(row["confidence"] for row in rows)


def test_transformers_ignores_the_threshold_and_keeps_it(careful: Path, tmp_path: Path) -> None:
    AutoModelForSequenceClassification.from_pretrained(careful).save_pretrained(tmp_path / "copy")
    assert AutoConfig.from_pretrained(tmp_path / "copy").abstain_below == abstains_below(careful)


def test_the_card_says_how_often_it_answers_and_how_right_it_is_then(careful: Path) -> None:
    card = (careful / "README.md").read_text(encoding="utf-8")
    about = json.loads((careful / "labelwright.json").read_text(encoding="utf-8"))["card"]
    figures = {f["name"]: f for f in about["figures"]}
    assert "leave out what scores below `model.config.abstain_below`" in card
    for name in ("coverage", "accuracy of what is answered"):
        assert figures[name]["lo"] <= figures[name]["value"] <= figures[name]["hi"]
        assert f"| {name} |" in card


def test_a_threshold_comes_to_shares_with_intervals() -> None:
    coverage, right = answered([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False], 0.7, "gold")
    assert (coverage.value, (coverage.lo, coverage.hi), coverage.n) == (0.6, wilson(3, 5), 5)
    assert (right.value, (right.lo, right.hi), right.n) == (pytest.approx(2 / 3), wilson(2, 3), 3)
    assert [f.name for f in answered([0.5], [True], 0.9, "gold")] == ["coverage"], "of no answer nothing is right"
    assert answered([0.5], [True], None, "gold") == ()


def test_it_is_chosen_from_peoples_labels_that_another_model_had_not_seen(encoder: Encoder, tmp_path: Path) -> None:
    known = examples(420)
    people = np.arange(420) % 2 == 0
    flipped = np.random.default_rng(0).random(420) < 0.1  # people err too, and no threshold is then right for sure
    known.targets[flipped] = np.roll(known.targets[flipped], 1, axis=1)
    known = replace(known, people=people)
    seen: list[tuple[int, float]] = []

    def choose(sure: np.ndarray, right: np.ndarray) -> Bar:
        seen.append((len(sure), float(right.mean())))
        found = threshold(sure, right, 0.25)
        return Bar(found.value, found.basis)

    settings = DistilSettings(epochs=3, learning_rate=1e-3, abstain_at_accuracy=0.75, labels="as_given")
    said: list[str] = []
    folder = tmp_path / "model"
    distil(known, settings, encoder=encoder, folder=folder, choose=choose, note=said.append)  # type: ignore[arg-type]
    ((count, accuracy),) = seen
    assert 100 <= count <= 210
    assert 0.75 < accuracy < 1
    below = abstains_below(folder)
    assert below is not None
    assert any(f"abstains below {below:.3f}" in line for line in said)
    figures = json.loads((folder / "labelwright.json").read_text(encoding="utf-8"))["card"]["figures"]
    told = {f["name"]: f for f in figures}
    assert told["coverage"]["measured_on"] == "people's labels, held out"
    assert told["accuracy of what is answered"]["value"] > 0.75
    assert not (tmp_path / ".model.training").exists()


def test_with_few_labels_of_people_it_answers_always_and_says_why(encoder: Encoder, tmp_path: Path) -> None:
    said: list[str] = []
    settings = DistilSettings(epochs=1, abstain_at_accuracy=0.9)
    folder = tmp_path / "model"
    distil(examples(60), settings, encoder=encoder, folder=folder, choose=lambda s, r: Bar(0.5, ""), note=said.append)
    assert abstains_below(folder) is None
    assert any("no 100 labels of people" in line for line in said)
    assert "no 100 labels of people" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"distil": {"abstain_below": 0.5, "abstain_at_accuracy": 0.9}}, "give one of them"),
        ({"distil": {"abstain_below": 1.5}}, "abstain_below"),
        ({"distil": {"label_threshold": 0.3}}, "it is for multilabel, not classification; leave it out"),
        (
            {"distil": {"labels": "as_given"}, "task": {"kind": "spans", "labels": ["a"]}},
            "it is for classification and pairs, not spans; leave it out",
        ),
        ({"distil": {"abstain_below": 0.5}, "task": {"kind": "spans", "labels": ["a"]}}, "not spans; leave it out"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(JobFileError, match=said):
        Job.of(job_settings(oracle__base_url="http://127.0.0.1:1/v1") | changes, tmp_path)
