"""A model goes on from another one: what it knew it still knows, what is new it learns, and it says what it did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.distill import Bar, Distilled, Examples, Model, Start, abstains_below, distil
from agent.distill.checkpoint import Pace
from agent.errors import ModelError
from agent.job import DistilSettings
from agent.records import Floats
from agent.student.encoder import Encoder
from tests.distill.conftest import GENTLE
from tests.distill.making import NAMES, examples, make_encoder, sentences

OLD = ("animal", "tool")
HARDLY = DistilSettings(epochs=1, learning_rate=1e-9)
"""So slowly that the model stays what it was before it learnt anything."""
TWICE = DistilSettings(epochs=2, learning_rate=1e-4)


@pytest.fixture(scope="module")
def two(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows animals and tools."""
    folder = tmp_path_factory.mktemp("old") / "two"
    settings = GENTLE.model_copy(update={"abstain_below": 0.55})
    distil(examples(120, names=OLD, topics=OLD), settings, encoder=encoder, folder=folder)
    return folder


def went_on(
    start: Path | Start,
    known: Examples,
    folder: Path,
    settings: DistilSettings = HARDLY,
    note: Callable[[str], None] = lambda said: None,
) -> Distilled:
    origin = start if isinstance(start, Start) else Start.read(start)
    return distil(known, settings, start=origin, folder=folder, note=note)


def chances(folder: Path, texts: list[str], names: tuple[str, ...]) -> Floats:
    model = Model.load(folder)
    found = model.predict(texts).probabilities
    assert found is not None
    return found[:, [model.names.index(name) for name in names]]


def right(folder: Path, topics: tuple[str, ...]) -> float:
    texts, said = sentences(60, 77, topics)
    return float(np.mean([a == b for a, b in zip(Model.load(folder).predict(texts).values, said, strict=True)]))


# What is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model_folder", "multilabel_folder"])
def test_before_it_learns_it_says_what_the_old_model_says(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    old: Path = request.getfixturevalue(name)
    names, texts = ("food", "animal", "tool"), sentences(30, seed=5)[0]
    known = replace(examples(12, names=names), multilabel=Model.load(old).multilabel)
    went_on(old, known, tmp_path / "m")
    np.testing.assert_allclose(chances(tmp_path / "m", texts, names), chances(old, texts, names), atol=1e-4)


def test_a_new_class_moves_no_old_one_against_another(two: Path, tmp_path: Path) -> None:
    went_on(two, examples(30), tmp_path / "m")
    texts = sentences(30, seed=5)[0]
    odds = [np.diff(np.log(chances(folder, texts, OLD)), axis=1) for folder in (two, tmp_path / "m")]
    np.testing.assert_allclose(odds[1], odds[0], atol=1e-3)
    assert right(tmp_path / "m", NAMES) > 0.6, "and is known before the layers learn"


def test_a_class_that_is_dropped_leaves_its_share_to_the_others(model_folder: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    names, texts = ("tool", "animal"), sentences(30, seed=5)[0]
    went_on(model_folder, examples(20, names=names, topics=names), tmp_path / "m", note=notes.append)
    kept = chances(model_folder, texts, names)
    np.testing.assert_allclose(chances(tmp_path / "m", texts, names), kept / kept.sum(1, keepdims=True), atol=1e-4)
    assert any("classes kept: tool, animal; classes dropped: food" in note for note in notes)


# What is not forgotten ---------------------------------------------------------------------------------------------


def test_old_classes_without_any_label_are_kept_by_replay(two: Path, tmp_path: Path) -> None:
    """Labels of the new class alone, which say that everything is one; and texts of all three without labels."""
    known, others = examples(40, names=NAMES, topics=("food",)), sentences(90, seed=21)[0]
    done = went_on(Start.read(two, others), known, tmp_path / "with", GENTLE)
    bare = went_on(two, known, tmp_path / "without", GENTLE)
    assert (done.replayed > 40, bare.replayed) == (True, 0)
    assert right(two, OLD) > 0.9
    assert right(tmp_path / "with", OLD) > 0.8
    assert right(tmp_path / "without", OLD) < 0.6
    assert right(tmp_path / "with", ("food",)) > 0.75


def test_classes_of_many_labels_are_not_replayed(two: Path, tmp_path: Path) -> None:
    start = Start.read(two, sentences(30, seed=21)[0])
    known = examples(200, names=OLD, topics=OLD)
    assert went_on(start, known, tmp_path / "m").replayed == 0
    assert went_on(start, known.part(np.arange(20)), tmp_path / "m").replayed == 30


# Other models ------------------------------------------------------------------------------------------------------


def test_of_another_task_the_layers_are_taken(two: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    known = replace(examples(60, names=OLD, topics=OLD), names=("alive", "not alive"))
    done = went_on(two, known, tmp_path / "m", GENTLE, notes.append)
    model = Model.load(tmp_path / "m")
    assert (model.names, done.replayed) == (("alive", "not alive"), 0)
    assert "none of its classes is one of these" in notes[0]
    assert [figure.n for figure in done.figures] == [60], "labels of other classes are news to it"
    layers = [json.loads((f / "config.json").read_text())["num_hidden_layers"] for f in (two, tmp_path / "m")]
    assert layers[0] == layers[1], "it has learnt what its classifier reads"


@pytest.mark.parametrize("kind", ["encoder", "numbers"])
def test_what_is_no_classifier_gives_its_layers(kind: str, two: Path, encoder: Encoder, tmp_path: Path) -> None:
    folder = encoder.folder
    if kind == "numbers":
        folder = shutil.copytree(two, tmp_path / "grader")
        tell(folder, problem_type="regression", id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0})
    notes: list[str] = []
    went_on(folder, examples(20), tmp_path / "m", note=notes.append)
    assert "it is no classifier of texts" in notes[0]
    assert Model.load(tmp_path / "m").names == NAMES


def tell(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def without(folder: Path, name: str) -> Path:
    (folder / name).unlink()
    return folder


def pickled(folder: Path) -> Path:
    (folder / "pytorch_model.bin").touch()
    return folder


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f / "nothing", "no such folder"),
        (lambda f: without(f, "config.json"), "no config.json"),
        (lambda f: without(f, "tokenizer.json"), "no tokenizer"),
        (lambda f: without(f, "model.safetensors"), "no weights to load"),
        (lambda f: pickled(without(f, "model.safetensors")), "only pickled weights"),
        (lambda f: tell(f, model_type="roberta"), "old"),
        (lambda f: tell(f, model_type="no such architecture"), "cannot be loaded"),
        (lambda f: tell(f, architectures=["GPT2LMHeadModel"]), "a model that writes"),
    ],
)
def test_what_no_model_can_go_on_from_is_refused(
    two: Path, tmp_path: Path, spoil: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(ModelError, match=said) as refused:
        Start.read(spoil(shutil.copytree(two, tmp_path / "old")))
    assert "student.encoder" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"multilabel": True}, "gives a text one label, and this task gives it any number of labels"),
        ({"columns": ("premise", "hypothesis")}, "reads single texts .*, and this task pairs of premise"),
    ],
)
def test_classes_of_the_same_name_must_be_of_the_same_kind(
    two: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        went_on(two, replace(examples(12), **changes), tmp_path / "m")  # type: ignore[arg-type]
    assert not (tmp_path / "m").exists()


# What it says, and how it ends -------------------------------------------------------------------------------------


def test_the_card_says_what_it_went_on_from(two: Path, tmp_path: Path) -> None:
    origin = Start.read(two, sentences(30, seed=21)[0])
    done = went_on(origin, examples(12), tmp_path / "m")
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    for row in (
        f"| went on from | two ({origin.hashed}) |",
        "| classes kept | animal, tool |",
        "| new classes | food |",
        f"| texts replayed | {done.replayed} |",
        "| texts learnt from | 12 |",
        "| encoder | tiny |",
    ):
        assert row in card, row
    assert str(two.parent) not in card
    assert "It was not measured" in card, "the old model may have learnt these labels"
    assert abstains_below(two) == 0.55
    assert abstains_below(tmp_path / "m") is None, "which held of the old model"


def test_nothing_is_chosen_by_labels_that_the_old_model_may_have_learnt(two: Path, tmp_path: Path) -> None:
    known = replace(examples(24), people=np.ones(24, np.bool_))
    settings = HARDLY.model_copy(update={"loss": "auto", "abstain_at_accuracy": 0.9})
    notes: list[str] = []
    distil(
        known,
        settings,
        start=Start.read(two),
        folder=tmp_path / "m",
        note=notes.append,
        choose=lambda sure, right: Bar(0.5, "never asked"),
    )
    assert sum("may have learnt the labels that would be held out" in note for note in notes) == 2
    assert abstains_below(tmp_path / "m") is None


class KilledError(BaseException):
    """Stands for the end of the process."""


def test_killed_it_goes_on_and_ends_with_the_same_bytes(two: Path, tmp_path: Path) -> None:
    def dies(done: int, total: int) -> None:
        if done > total // 2:
            raise KilledError

    known, origin = examples(24), Start.read(two, sentences(30, seed=21)[0])
    went_on(origin, known, tmp_path / "whole", TWICE)
    every_step = Pace(seconds=0.0, share=1e9)
    for folder in ("same", "other texts", "other model"):
        with pytest.raises(KilledError):
            distil(known, TWICE, start=origin, folder=tmp_path / folder, progress=dies, pace=every_step)
    again = shutil.copytree(two, tmp_path / "moved")
    starts = {
        "same": Start.read(again, origin.texts),
        "other texts": Start.read(two, sentences(30, seed=22)[0]),
        "other model": Start.read(tmp_path / "whole", origin.texts),
    }
    notes: dict[str, list[str]] = {name: [] for name in starts}
    for name, start in starts.items():
        went_on(start, known, tmp_path / name, TWICE, notes[name].append)
    assert {name: any("the training goes on" in n for n in said) for name, said in notes.items()} == {
        "same": True,
        "other texts": False,
        "other model": False,
    }
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", *starts)]
    assert weights[0] == weights[1]
    assert len(set(weights)) == 3


def test_a_plain_encoder_folder_can_still_be_distilled_into(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "cls", pooling="cls")
    went_on(folder, examples(12), tmp_path / "m")
    assert json.loads((tmp_path / "m" / "config.json").read_text())["num_hidden_layers"] == 2
