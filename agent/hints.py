"""What teaches the student beside labels: the classes' names, and its own surest guesses about other texts.

Penalty, temperature and out-of-fold probabilities stay those of the labels alone; see `Head.learn_on`. The formulas
are `agent.student.propagation`'s; here a sample of the pool is drawn for them. `student.class_names` and
`student.unlabelled` of a job say which are used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.measuring import Lesson
from agent.records import Floats, Text
from agent.student import HeadStudent
from agent.student.propagation import Extra, are_telling, propagated, self_trained
from agent.workbench import UNLABELLED, Workbench

SAMPLE = 5_000
"""Texts without a label that are looked at: guesses of more teach no more, and a graph of them takes seconds."""
PER_LABEL = 5
"""Guesses for each label that a class has on average: one a label taught less, on three sets."""
WEIGHT_OF_NAME = 1.0
"""A class's name counts as one labelled text; half as much was no better."""


def guesses_a_class(labels: int, classes: int) -> int:
    """Most guesses of one class beside so many labels."""
    return PER_LABEL * max(1, round(labels / classes))


def take_hints(bench: Workbench, lessons: Sequence[Lesson], weights: Floats) -> None:
    """Teach the student, which knows the lessons, from what else there is.

    Does nothing for students without a head, for several labels a text, and where the job wants none of it.
    """
    student, settings = bench.student, bench.job.student
    if not isinstance(student, HeadStudent) or student.multilabel:
        return
    texts = [t for t, _ in lessons]
    labels: Floats = bench.task.targets([label for _, label in lessons])
    targets = labels
    if settings.class_names and _are_telling(bench, texts, targets):
        texts += bench.class_texts
        targets = np.concatenate([targets, np.eye(len(student.names), dtype=np.float32)])
        weights = np.concatenate([weights, np.full(len(student.names), WEIGHT_OF_NAME, np.float32)])
        student.learn_on(texts, targets, weights)
    if settings.unlabelled != "off":
        others = _others(bench, lessons)
        extra = _guessed(bench, texts[: len(lessons)], labels, others)
        if len(extra.rows):
            student.learn_on(
                [*texts, *(others[i] for i in extra.rows.tolist())],
                np.concatenate([targets, extra.targets]),
                np.concatenate([weights, extra.weights]),
            )


def _are_telling(bench: Workbench, texts: Sequence[Text], targets: Floats) -> bool:
    named = bench.class_vectors
    return named is not None and are_telling(named, bench.vectors(texts), targets)


def _others(bench: Workbench, lessons: Sequence[Lesson]) -> list[Text]:
    """A sample of the texts without a label that a round looks at."""
    free = np.ones(len(bench.pool), bool)
    free[[t.row for t, _ in lessons if t.row >= 0]] = False
    left, _ = bench.scored(np.flatnonzero(free))
    drawn = bench.rng(UNLABELLED, len(lessons)).choice(left, min(SAMPLE, len(left)), replace=False)
    return list(bench.pool.texts(np.sort(drawn)))


def _guessed(bench: Workbench, known: Sequence[Text], labels: Floats, others: Sequence[Text]) -> Extra:
    """Guesses about some of `others`, by their index."""
    student = bench.student
    assert isinstance(student, HeadStudent)
    if bench.job.student.unlabelled == "propagation":
        found = propagated(bench.vectors([*known, *others]), np.arange(len(known)), labels)
        return Extra(found.rows - len(known), found.targets, found.weights)
    guessed = student.predict(others).probabilities
    assert guessed is not None
    return self_trained(guessed, np.zeros(0, np.int64), per_class=guesses_a_class(len(known), len(student.names)))
