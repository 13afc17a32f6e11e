"""The small model: an encoder that turns texts into vectors, and a head that learns labels on them.

Importing this loads no torch; `load_encoder` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import JobFileError
from agent.job import Job
from agent.records import CountTokens, Student
from agent.student.absent import Absent, counter
from agent.student.classify import HeadStudent, Vectors
from agent.student.nearest import NearestStudent
from agent.student.reader import Reader
from agent.student.ridge import RidgeStudent
from agent.student.tagger import Tagger
from agent.tasks import ExtractiveQa, Generation, Regression, Spans, Task
from agent.tasks.loading import load_named

if TYPE_CHECKING:
    from agent.student.encoder import Encoder

__all__ = [
    "Absent",
    "HeadStudent",
    "NearestStudent",
    "Reader",
    "RidgeStudent",
    "Tagger",
    "Vectors",
    "build_student",
    "counter",
    "load_counter",
    "load_encoder",
]

OF_ONE_TASK = {
    "tagger": "tasks with spans",
    "ridge": "tasks of regression",
    "reader": "extractive questions",
    "nearest": "tasks of generation",
}


def build_student(
    job: Job,
    task: Task,
    vectors: Vectors,
    temperatures: Sequence[float] = (1.0,),
    encoder: Callable[[], Encoder] | None = None,
) -> Student:
    """The student that the job names, or else the task's own.

    `head` is built here, for as many encoders side by side as there are `temperatures`, `ridge`, `nearest`, and
    `tagger` and `reader`, on the `encoder`, which is the job's where none is given; a `package.module:Name` of your
    own is built as `Name(task, vectors)`; `none` is nobody. Raises JobFileError.
    """
    if not job.has_student:
        return Absent()
    kind = job.student.kind or task.student
    if ":" in kind:
        student: Student = load_named(kind, "student.kind")(task, vectors)
        missing = [n for n in ("fit", "predict", "save", "load") if not callable(getattr(student, n, None))]
        if missing:
            raise JobFileError("job", [(0, f"`student.kind`: {kind} is no Student: it lacks {', '.join(missing)}")])
        return student
    if (own := _without_classes(kind, task, vectors, encoder or partial(load_encoder, job))) is not None:
        return own
    if kind != "head":
        said = f"`student.kind`: unknown kind {kind!r}; known: head, none, or package.module:Name"
        if kind in OF_ONE_TASK:
            said = f"`student.kind`: {kind} is for {OF_ONE_TASK[kind]}, and not for {task.kind}"
        raise JobFileError("job", [(0, said)])
    if not task.names:
        said = f"`student.kind`: head needs classes, and a {task.kind} task has none; name a package.module:Name"
        raise JobFileError("job", [(0, said)])
    return HeadStudent(task, vectors, multilabel=task.widget == "multiple", temperatures=temperatures)


def _without_classes(kind: str, task: Task, vectors: Vectors, encoder: Callable[[], Encoder]) -> Student | None:
    """The student of this kind, where it fits the task and the task's labels are no classes."""
    if kind == "tagger" and isinstance(task, Spans):
        return Tagger(task.types, encoder)
    if kind == "reader" and isinstance(task, ExtractiveQa):
        return Reader(encoder, may_be_none=task.may_be_none)
    if kind == "ridge" and isinstance(task, Regression):
        return RidgeStudent(task.scale, vectors)
    if kind == "nearest" and isinstance(task, Generation):
        return NearestStudent(vectors)
    return None


def load_encoder(job: Job) -> Encoder:
    """The encoder that the job names, a folder's path being relative to the job file. Raises ModelError."""
    from agent.student.depicted import DepictedEncoder
    from agent.student.encoder import Encoder

    if (images := job.images) is not None:
        return DepictedEncoder.of(_named(job), images, job.student.max_tokens, job.student.batch_tokens)
    return Encoder.load(_named(job), job.student.max_tokens, job.student.batch_tokens)


def load_counter(job: Job) -> CountTokens:
    """How the job's encoder counts tokens, without loading it: for a job without a student."""

    def find() -> Path:
        from agent.student.encoder import folder_of

        return folder_of(_named(job))

    return counter(find)


def _named(job: Job) -> str:
    folder = job.path(job.student.encoder)
    return str(folder) if folder.is_dir() else job.student.encoder
