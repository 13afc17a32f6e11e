"""The head as a student: values, doubt, chunks, folders, and how a job names it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import JobFileError, ModelError
from agent.job import Job
from agent.records import Floats, Prediction, Rows, Student, Text, TextId, Texts
from agent.student import HeadStudent, build_student, classify
from agent.tasks import Task
from tests.student.making import clusters, one_hot, task

NAMES = ("card_arrival", "lost_card", "exchange_rate")
VECTORS, LABELS = clusters(np.random.default_rng(0), 90, 3)


def read(rows: Rows) -> list[Text]:
    return [Text(TextId(str(r)), f"text {r}", int(r)) for r in rows]


def vectors(texts: Sequence[Text]) -> Floats:
    rows = texts.rows if isinstance(texts, Texts) else np.array([t.row for t in texts], np.int64)
    return VECTORS[rows]


def everything() -> Texts:
    return Texts(np.arange(len(VECTORS)), read)


def taught(kind: str = "classification", names: Sequence[str] = NAMES) -> HeadStudent:
    student = HeadStudent(task(*names, kind=kind), vectors, multilabel=kind == "multilabel")
    targets = one_hot(LABELS, 3)
    if kind == "multilabel":
        targets[::5] = 0
        targets[1::5, 0] = 1
    student.fit(everything(), targets, np.ones(len(VECTORS), np.float32), np.random.default_rng(0))
    return student


def same(a: Prediction, b: Prediction) -> bool:
    assert a.probabilities is not None
    assert b.probabilities is not None
    close = np.allclose(a.probabilities, b.probabilities, atol=1e-6) and np.allclose(a.doubt, b.doubt, atol=1e-6)
    return list(a.values) == list(b.values) and close


def test_a_class_is_named_and_doubt_is_what_is_missing_to_certainty() -> None:
    found = taught().predict(everything())
    assert found.probabilities is not None
    assert (np.array(found.values) == np.array(NAMES)[LABELS]).mean() > 0.8
    np.testing.assert_allclose(found.doubt, 1 - found.probabilities.max(axis=1), atol=1e-6)
    assert found.doubt.dtype == np.float32


def test_labels_of_at_least_a_half_are_named_and_doubt_is_the_least_certain_decision() -> None:
    found = taught("multilabel").predict(everything())
    p = found.probabilities
    assert p is not None
    assert list(found.values) == [tuple(n for n, q in zip(NAMES, row, strict=True) if q >= 0.5) for row in p]
    assert {len(v) for v in found.values} >= {0, 1}
    np.testing.assert_allclose(found.doubt, np.minimum(p, 1 - p).max(axis=1), atol=1e-6)


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_values_are_a_sequence_that_names_what_is_looked_at(kind: str) -> None:
    values = taught(kind).predict(everything()).values
    every = list(values)
    assert len(values) == len(every) == 90
    assert [values[i] for i in (0, 5, -1)] == [every[0], every[5], every[-1]]
    assert values[3:7] == every[3:7]
    assert every[2] in values
    assert repr(every[0]) in repr(values)
    with pytest.raises(IndexError):
        values[90]


def test_no_text_no_value() -> None:
    assert list(taught().predict(Texts(np.empty(0, np.int64), read)).values) == []


def test_one_and_two_threads_predict_the_same_bits() -> None:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    student = taught()
    with threadpool_limits(limits=1):
        one = student.predict(everything()).probabilities
    with threadpool_limits(limits=2):
        two = student.predict(everything()).probabilities
    np.testing.assert_array_equal(one, two)


@settings(max_examples=25)
@given(st.integers(1, 40), st.lists(st.integers(0, 89), max_size=60), st.booleans())
def test_chunks_predict_what_the_whole_predicts(size: int, rows: list[int], lazy: bool) -> None:
    student = taught()
    texts: Sequence[Text] = Texts(np.array(rows, np.int64), read) if lazy else read(np.array(rows, np.int64))
    whole = student.predict(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classify, "ROWS_AT_ONCE", size)
        assert same(student.predict(texts), whole)


def test_scoring_reads_no_text() -> None:
    def fail(_: Rows) -> list[Text]:
        pytest.fail("a text was read")

    assert len(taught().predict(Texts(np.arange(50), fail)).values) == 50


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_a_saved_student_comes_back_without_pickles(tmp_path: Path, kind: str) -> None:
    student = taught(kind)
    student.save(str(tmp_path / "deep" / "student"))
    assert {p.suffix for p in (tmp_path / "deep" / "student").iterdir()} == {".safetensors", ".json"}
    again = HeadStudent(task(*NAMES, kind=kind), vectors, multilabel=kind == "multilabel")
    again.load(str(tmp_path / "deep" / "student"))
    assert same(again.predict(everything()), student.predict(everything()))


@pytest.mark.parametrize("harm", ["missing", "no json", "half weights", "other version", "other shape"])
def test_a_folder_that_holds_no_head_of_ours_is_refused(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "student"
    if harm != "missing":
        taught().save(str(folder))
    if harm == "no json":
        (folder / "head.json").write_text("{")
    elif harm == "half weights":
        (folder / "head.safetensors").write_bytes((folder / "head.safetensors").read_bytes()[:30])
    elif harm == "other version":
        about = json.loads((folder / "head.json").read_text())
        (folder / "head.json").write_text(json.dumps(about | {"format": 99}))
    elif harm == "other shape":
        taught(names=[*NAMES, "more"][:3]).save(str(folder))
        about = json.loads((folder / "head.json").read_text())
        (folder / "head.json").write_text(json.dumps(about | {"names": [*NAMES, "more"]}))
    student = HeadStudent(task(*NAMES, *(["more"] if harm == "other shape" else [])), vectors, multilabel=False)
    with pytest.raises(ModelError, match="student"):
        student.load(str(folder))


def test_a_head_of_other_labels_is_refused(tmp_path: Path) -> None:
    taught().save(str(tmp_path))
    for names, kind in ((NAMES[::-1], "classification"), (NAMES, "multilabel")):
        student = HeadStudent(task(*names, kind=kind), vectors, multilabel=kind == "multilabel")
        with pytest.raises(ModelError, match="other labels, or another kind of task"):
            student.load(str(tmp_path))


def test_a_head_taught_with_another_encoder_says_so() -> None:
    student = taught()
    student.head.each[0].weights = student.head.each[0].weights[1:]
    with pytest.raises(ModelError, match="vectors of 15 numbers, these have 16; use the encoder it was taught with"):
        student.predict(everything())


# How a job names its student ------------------------------------------------------------------------------------


class Parrot:
    """A student of one's own: says what it heard last."""

    def __init__(self, task: Task, vectors: Any) -> None:
        self.said: Any = task.names[0]

    def fit(self, texts: Sequence[Text], targets: Any, weights: Floats, rng: np.random.Generator) -> None:
        self.said = targets[-1]

    def predict(self, texts: Sequence[Text]) -> Prediction:
        return Prediction([self.said] * len(texts), np.zeros(len(texts), np.float32), None)

    def save(self, folder: str) -> None: ...

    def load(self, folder: str) -> None: ...


class Halfway:
    def __init__(self, task: Task, vectors: Any) -> None: ...

    def fit(self) -> None: ...


def job(kind: str | None = None, task_kind: str = "classification") -> Job:
    return Job.of(
        {
            "task": {"kind": task_kind, "labels": list(NAMES)},
            "data": {"pool": "pool.csv"},
            "student": {"kind": kind} if kind else {},
            "oracle": {"model": "m", "tape": "tape.gz"},
            "budget": {"dollars": 1},
        }
    )


@pytest.mark.parametrize(("task_kind", "value"), [("classification", str), ("multilabel", tuple)])
def test_a_job_that_says_nothing_gets_the_head_its_task_needs(task_kind: str, value: type) -> None:
    student = build_student(job(task_kind=task_kind), task(*NAMES, kind=task_kind), vectors)
    student.fit(everything(), one_hot(LABELS, 3), np.ones(90, np.float32), np.random.default_rng(0))
    assert isinstance(student.predict(everything()).values[0], value)


def test_a_student_of_ones_own_is_found_by_name() -> None:
    student: Student = build_student(job("tests.student.test_head_student:Parrot"), task(*NAMES), vectors)
    student.fit([], ["hello"], np.ones(1, np.float32), np.random.default_rng(0))
    assert student.predict(everything()).values[:2] == ["hello", "hello"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("forest", "unknown kind 'forest'; known: head, none, or package.module:Name"),
        ("no.such.module:Name", "no module 'no.such.module'"),
        ("tests.student.test_head_student:Nobody", "has no 'Nobody'"),
        ("tests.student.test_head_student:Halfway", "is no Student: it lacks predict, save, load"),
    ],
)
def test_a_student_that_cannot_be_built_is_named(kind: str, said: str) -> None:
    with pytest.raises(JobFileError) as caught:
        build_student(job(kind), task(*NAMES), vectors)
    assert "`student.kind`" in str(caught.value)
    assert said in str(caught.value)


def test_importing_the_room_loads_no_torch() -> None:
    code = "import agent.student.encoder, sys; print({'torch', 'transformers'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"
    )
