"""What texts without a label teach the student, unless the job wants nothing of it: `student.unlabelled`.

The formulas are `agent.student.propagation`'s; here a sample of the pool is drawn for them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.measuring import Lesson
from agent.records import Floats
from agent.student import HeadStudent
from agent.student.propagation import propagated, self_trained
from agent.workbench import UNLABELLED, Workbench

SAMPLE = 5_000
"""Texts without a label that are looked at: guesses of more teach no more, and a graph of them takes seconds."""
PER_LABEL = 5
"""Guesses for each label that a class has on average: one a label taught less, on three sets."""


def learn_on(bench: Workbench, lessons: Sequence[Lesson], weights: Floats) -> None:
    """Teach the student, which knows the lessons, from a sample of the rest of the pool as well.

    Does nothing where the job does not say so, for students without a head, and for several labels a text.
    """
    way, student = bench.job.student.unlabelled, bench.student
    if way == "off" or not isinstance(student, HeadStudent) or student.multilabel:
        return
    free = np.ones(len(bench.pool), bool)
    free[[t.row for t, _ in lessons if t.row >= 0]] = False
    rng, (left, _) = bench.rng(UNLABELLED, len(lessons)), bench.scored(np.flatnonzero(free))
    drawn = np.sort(rng.choice(left, min(SAMPLE, len(left)), replace=False))
    texts = [t for t, _ in lessons]
    targets: Floats = bench.task.targets([label for _, label in lessons])
    every = [*texts, *bench.pool.texts(drawn)]
    labelled = np.arange(len(texts))
    if way == "propagation":
        extra = propagated(bench.vectors(every), labelled, targets)
    else:
        per_class = PER_LABEL * max(1, round(len(texts) / len(student.names)))
        guessed = student.predict(every).probabilities
        assert guessed is not None
        extra = self_trained(guessed, labelled, per_class=per_class)
    if len(extra.rows):
        more = [every[i] for i in extra.rows.tolist()]
        student.learn_on(
            [*texts, *more], np.concatenate([targets, extra.targets]), np.concatenate([weights, extra.weights])
        )
