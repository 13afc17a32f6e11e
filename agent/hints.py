"""The student of a round: taught on the labels so far, and on what a job has beside them.

That is the classes' names, a sample of the pool's other texts, and which labels a model gave and may be wrong. The
formulas are `agent.student.teaching`'s; `student.class_names`, `student.unlabelled` and `student.label_noise` of a
job say which are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.measuring import Lesson, fit
from agent.records import Floats, Source, Student, Text
from agent.student import HeadStudent, Vectors
from agent.student.teaching import Hints, Labelled, guessing, teach
from agent.workbench import FIT, UNLABELLED, Workbench

if TYPE_CHECKING:
    from agent.distill.race import Beside

SAMPLE = 5_000
"""Texts without a label that are looked at: guesses of more teach no more, and a graph of them takes seconds."""
SAMPLE_OF_JUDGE = 500
"""The same where an encoder is judged: each way that is tried reads them all."""


def learn(bench: Workbench, lessons: Sequence[Lesson], weights: Floats, student: Student | None = None) -> Floats:
    """Teach a student, by default the job's own, everything known so far.

    Returns (n,) float32 how far each label was believed. Hints are for students with a head and for tasks with one
    label a text; others learn from labels alone.
    """
    student, task = student or bench.student, bench.task
    # by what is known, not by the round: a run that goes on teaches the same student as one that never stopped
    rng = bench.rng(FIT, len(lessons))
    if not isinstance(student, HeadStudent) or student.multilabel:
        fit(student, task, lessons, weights, rng)
        return np.ones(len(lessons), np.float32)
    targets = task.targets([label for _, label in lessons])
    known = Labelled(student.vectors([t for t, _ in lessons]), targets, weights)
    return teach(student.head, known, rng, _hints(bench, lessons, student.vectors))


def taught(bench: Workbench, lessons: Sequence[Lesson], weights: Floats, *, first: bool = False) -> Student:
    """A new student, taught as the job's own; on the `first` encoder alone, see `Workbench.new_student`."""
    student = bench.new_student(first=first)
    learn(bench, lessons, weights, student)
    return student


def trust(bench: Workbench, lessons: Sequence[Lesson]) -> Floats:
    """(n,) float32 how far a student of these labels believes each; nothing is taught where no label is doubted."""
    ones, student = np.ones(len(lessons), np.float32), bench.student
    if bench.job.student.label_noise == "ignore" or not isinstance(student, HeadStudent) or student.multilabel:
        return ones
    return learn(bench, lessons, ones, bench.new_student(first=True))


def _hints(bench: Workbench, lessons: Sequence[Lesson], vectors: Vectors) -> Hints:
    settings = bench.job.student
    given = np.array([label.source is Source.ORACLE for _, label in lessons], bool)
    return Hints(
        names=vectors(bench.class_texts) if settings.class_names and bench.class_texts else None,
        others=None if settings.unlabelled == "off" else vectors(_others(bench, lessons)),
        way=guessing(settings.unlabelled),
        doubtful=given if settings.label_noise == "reweight" else None,
    )


def beside(bench: Workbench, lessons: Sequence[Lesson]) -> Beside:
    """The same hints in words and a sample, for the student by which a tuned encoder is judged."""
    from agent.distill.race import Beside

    settings = bench.job.student
    if bench.task.widget == "multiple":
        return Beside()
    others: Sequence[Text] = [] if settings.unlabelled == "off" else _others(bench, lessons)
    some = others[:: -(-len(others) // SAMPLE_OF_JUDGE)] if others else []
    return Beside(
        [t.text for t in bench.class_texts] if settings.class_names else [],
        [t.text for t in some],
        guessing(settings.unlabelled),
        stand_for=len(others) / max(1, len(some)),
    )


def _others(bench: Workbench, lessons: Sequence[Lesson]) -> Sequence[Text]:
    """A sample of the texts without a label that a round looks at."""
    left, _ = bench.scored(t.row for t, _ in lessons)
    drawn = bench.rng(UNLABELLED, len(lessons)).choice(left, min(SAMPLE, len(left)), replace=False)
    return bench.pool.texts(np.sort(drawn))
