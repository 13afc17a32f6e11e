"""The student of texts: what it doubts is what lies far from all labels, and what it says was written of another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError, ModelError
from agent.job import Job, TaskSettings
from agent.records import Text, TextId
from agent.student import NearestStudent, build_student
from agent.tasks import Classification, Generation


def texts_of(rows: Sequence[int]) -> list[Text]:
    return [Text(TextId(str(i)), f"text {i}", i) for i in rows]


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30))
def test_doubt_is_how_far_the_nearest_label_is(seed: int, known: int, asked: int) -> None:
    x = np.random.default_rng(seed).normal(size=(known + asked, 5)).astype(np.float32)
    student = NearestStudent(lambda texts: x[[t.row for t in texts]])
    student.fit(
        texts_of(range(known)),
        [f"of {i}" for i in range(known)],
        np.ones(known, np.float32),
        np.random.default_rng(0),
    )
    found = student.predict(texts_of(range(known, known + asked)))
    for value, doubt, own in zip(found.values, found.doubt.tolist(), x[known:], strict=True):
        cosines = [float(own @ k / np.linalg.norm(own) / np.linalg.norm(k)) for k in x[:known]]
        assert doubt == pytest.approx(min(1.0, max(0.0, 1 - max(cosines))), abs=1e-5)
        assert cosines[int(value.removeprefix("of "))] == pytest.approx(max(cosines), abs=1e-5)


def test_it_comes_back_from_its_folder(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    student, again = (NearestStudent(lambda texts: x[[t.row for t in texts]]) for _ in range(2))
    with pytest.raises(ValueError, match="no text has a label"):
        student.fit([], [], np.ones(0, np.float32), np.random.default_rng(0))
    student.fit(
        texts_of(range(10)), [f"ü{i}\n\x00" for i in range(10)], np.ones(10, np.float32), np.random.default_rng(0)
    )
    student.save(str(tmp_path / "kept"))
    again.load(str(tmp_path / "kept"))
    asked = texts_of(range(20))
    assert again.predict(asked).values == student.predict(asked).values
    assert (again.predict(asked).doubt == student.predict(asked).doubt).all()
    with pytest.raises(ModelError, match="no labelled texts can be read there"):
        again.load(str(tmp_path))
    other = NearestStudent(lambda texts: x[[t.row for t in texts], :3])
    other.load(str(tmp_path / "kept"))
    with pytest.raises(ModelError, match="vectors of 4 numbers, these have 3"):
        other.predict(asked)


def test_a_job_of_generation_has_it_and_no_other(tmp_path: Path) -> None:
    settings = {
        "task": {"kind": "generation", "guidelines": "Translate."},
        "data": {"pool": "pool.csv"},
        "oracle": {"base_url": "http://127.0.0.1:1/v1", "model": "m", "price": {"input": 1, "output": 1}},
        "budget": {"dollars": 1},
        "distil": {"enabled": False},
    }
    job = Job.of(settings, tmp_path)
    assert isinstance(
        build_student(job, Generation(job.task), lambda texts: np.ones((len(texts), 2))), NearestStudent
    )
    other = Job.of(settings | {"task": {"labels": ["a", "b"]}, "student": {"kind": "nearest"}}, tmp_path)
    with pytest.raises(JobFileError, match="nearest is for tasks of generation, and not for classification"):
        build_student(other, Classification(TaskSettings(labels={"a": "", "b": ""})), lambda texts: np.ones((1, 2)))
