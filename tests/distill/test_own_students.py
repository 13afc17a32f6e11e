"""A task without classes brings its own student: it is fitted on all labels and saves itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.distill import made_from, save_student
from agent.records import Floats, Label, Prediction, Source, Text, TextId


class Spans:
    """As much of a task as a student of spans needs."""

    kind = "spans"

    def targets(self, labels: Sequence[Label]) -> list[Any]:
        return [label.value for label in labels]


class Lister:
    """Learns every span by heart."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.known: list[str] = []
        self.breaks = breaks

    def fit(self, texts: Sequence[Text], targets: Any, weights: Floats, rng: np.random.Generator) -> None:
        assert len(texts) == len(targets) == len(weights)
        self.known = sorted(span for spans in targets for span in spans)

    def predict(self, texts: Sequence[Text]) -> Prediction:
        raise NotImplementedError

    def save(self, folder: str) -> None:
        (Path(folder) / "known.txt").write_text("\n".join(self.known))
        if self.breaks:
            raise RuntimeError("half saved")

    def load(self, folder: str) -> None:
        self.known = (Path(folder) / "known.txt").read_text().splitlines()


def lessons(*spans: str) -> list[tuple[Text, Label]]:
    found = []
    for i, span in enumerate(spans):
        text = Text(TextId(str(i)), f"a {span} here", i)
        found.append((text, Label(text.id, [span], Source.PERSON, "ann")))
    return found


def save(student: Lister, folder: Path, *spans: str, mark: str) -> Path:
    task: Any = Spans()
    return save_student(student, task, lessons(*spans), folder, np.random.default_rng(0), facts={"made_from": mark})


def test_it_learns_all_labels_and_saves_itself(tmp_path: Path) -> None:
    folder = save(Lister(), tmp_path / "m", "cat", "saw", mark="x")
    again = Lister()
    again.load(str(folder))
    assert again.known == ["cat", "saw"]
    assert made_from(folder) == "x"


def test_a_student_that_fails_to_save_leaves_the_old_one(tmp_path: Path) -> None:
    save(Lister(), tmp_path / "m", "cat", mark="old")
    with pytest.raises(RuntimeError, match="half saved"):
        save(Lister(breaks=True), tmp_path / "m", "saw", mark="new")
    assert (tmp_path / "m" / "known.txt").read_text() == "cat"
    assert made_from(tmp_path / "m") == "old"
