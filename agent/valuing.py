"""What a person's minute is worth at each text that waits: `agent.doubt.value`, fed with what a job knows.

How many texts are like it is told by a sample of the pool, whatever its size; how long people take, by what they took
so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.doubt import Pace
from agent.doubt import value as valued
from agent.doubt.calibration import Bools, Doubles, Indices
from agent.doubt.calibration import places as places_of
from agent.records import Label, Text
from agent.selection.neighbours import unit
from agent.selection.space import one_thread
from agent.student import HeadStudent
from agent.workbench import VALUE, Workbench

SAMPLE = 5_000
"""Texts without a label among which texts in the same doubt are counted."""


@dataclass(frozen=True, slots=True)
class Worth:
    """Of n texts, how much a verdict on each changes (1 for the usual text), how many seconds it is expected to take,
    and how many it would for the usual text of the pool."""

    changes: Doubles
    seconds: Doubles
    usual: float

    def places(self, wrong: Doubles) -> Doubles:
        """(n,) places in people's queue, higher first, of labels that are wrong with these chances."""
        return valued.places(wrong, self.changes, self.seconds, self.usual)

    @property
    def many(self) -> Bools:
        """(n,) of which far more texts than usual are in the same doubt."""
        return np.asarray(self.changes >= valued.influence(np.array([valued.MANY]), 1.0)[0], np.bool_)


def worth_of(bench: Workbench, labels: Sequence[Label]) -> Worth:
    """What a verdict on each of these labels of picked texts is worth, beside the chance that the label is wrong."""
    picks = bench.picks()
    texts = [Text(x.text_id, picks[x.text_id].text, picks[x.text_id].row) for x in labels]
    lengths = np.array([len(t.text) for t in texts], np.float64)
    said, others = places_of((x.value for x in labels), bench.task.names), _others(bench)
    pace = _pace(bench)
    usual = pace.seconds(np.array([_usual_length(bench, others)]))[0]
    return Worth(_changes(bench, texts, said, others), pace.seconds(lengths), float(usual))


def _pace(bench: Workbench) -> Pace:
    times = np.array(bench.store.review_times(bench.job.name, valued.NEWEST), np.float64).reshape(-1, 2)
    return Pace.fit(times[:, 0], times[:, 1])


def _others(bench: Workbench) -> Indices:
    """Rows of a sample of the texts without a label that a round looks at, ascending."""
    left, _ = bench.scored(p.row for p in bench.picks().values())
    return np.sort(bench.rng(VALUE).choice(left, min(SAMPLE, len(left)), replace=False))


def _usual_length(bench: Workbench, others: Indices) -> float:
    """Characters of the middle text of those without a label; of the picked ones, where none is left."""
    if len(others):
        return float(np.median(bench.pool.lengths(others)))
    return float(np.median([len(p.text) for p in bench.picks().values()]))


def _changes(bench: Workbench, texts: Sequence[Text], said: Indices, others: Indices) -> Doubles:
    """(n,) of `value.influence`; all alike where no student of one class a text tells which texts are in doubt."""
    student = bench.student if bench.job.has_student and bench.trained and len(others) else None
    if not isinstance(student, HeadStudent) or bench.task.widget != "choice":
        return np.ones(len(texts))
    sample = bench.pool.texts(others)
    chances = student.predict(sample).probabilities
    assert chances is not None
    known, own = unit(bench.first_vectors(sample)), unit(bench.first_vectors(texts))
    with one_thread():
        alike = valued.in_doubt(own, said, known, chances)
        return valued.influence(alike, valued.usually_in_doubt(known, chances))
