"""What speaks for and against new labels, noted when they are given: the signs from which an error model is learnt.

They are noted then and kept, since they are worth something only as long as neither the student nor a person has
seen the label: a student that was taught a wrong label believes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from agent.doubt import SIGNS, of_neighbours, of_student
from agent.doubt.calibration import Doubles, odds, places
from agent.doubt.suspicion import NEIGHBOURS, SURELY
from agent.records import Floats, Label, Text, TextId
from agent.selection.neighbours import nearest
from agent.student import HeadStudent
from agent.tasks import Generation
from agent.workbench import Workbench

MOST_COMPARED = 50_000
"""Labelled texts among which neighbours are sought: of more, the newest."""


def signs_of(
    bench: Workbench, labels: Sequence[Label], texts: Mapping[TextId, Text], turned: Collection[TextId]
) -> Doubles:
    """(n, S) signs of new labels, see `agent.doubt.SIGNS`; nought where there is none.

    Args:
        labels: not yet in the store, and the student was not taught them.
        texts: of the labels.
        turned: whose answers changed with the order of the labels.
    """
    found = np.zeros((len(labels), len(SIGNS)))
    if not labels:
        return found
    asked = [texts[label.text_id] for label in labels]
    confidences = np.array([np.nan if x.confidence is None else x.confidence for x in labels], np.float64)
    columns = {
        "confidence": np.nan_to_num(odds(confidences)),
        "student": _of_student(bench, labels, asked),
        "neighbours": neighbours_of(bench, labels, asked),
        "lost": np.log1p(-np.clip([x.lost_mass for x in labels], 0, 0.999)),
        "order": -np.array([x.text_id in turned for x in labels], np.float64),
        "length": _of_length(asked),
    }
    for place, name in enumerate(SIGNS):
        found[:, place] = np.clip(columns[name], -SURELY, SURELY)
    return found


def as_row(signs: Doubles) -> dict[str, float]:
    """One label's signs as the store keeps them."""
    return {name: round(float(s), 4) for name, s in zip(SIGNS, signs, strict=True)}


def as_array(rows: Sequence[Mapping[str, float]]) -> Doubles:
    """(n, S) of what the store kept; nought for a sign that was not known then."""
    return np.array([[row.get(name, 0.0) for name in SIGNS] for row in rows], np.float64).reshape(-1, len(SIGNS))


def _of_student(bench: Workbench, labels: Sequence[Label], texts: Sequence[Text]) -> Doubles:
    """The student of the round before: it was taught none of these. Nought where it was: of a text that was put off
    it knows what a weaker oracle said."""
    if not bench.trained:
        return np.zeros(len(labels))
    seen = {t.id for t, _ in bench.taught}
    return np.where([x.text_id in seen for x in labels], 0.0, _foretold(bench, labels, texts))


def _foretold(bench: Workbench, labels: Sequence[Label], texts: Sequence[Text]) -> Doubles:
    if isinstance(bench.task, Generation):  # its student writes nothing of its own
        return np.zeros(len(labels))
    said = bench.student.predict(texts)
    if said.probabilities is not None and bench.task.widget == "choice":
        return of_student(said.probabilities, places((x.value for x in labels), bench.task.names))
    sure = odds(np.clip(1 - np.asarray(said.doubt, np.float64), 0.5, 1))
    agrees = [bench.task.agreement(x.value, v) == 1.0 for x, v in zip(labels, said.values, strict=True)]
    return np.where(agrees, sure, -sure)


def neighbours_of(bench: Workbench, labels: Sequence[Label], texts: Sequence[Text]) -> Doubles:
    """(n,) whether texts like these, with labels of anyone, have the same label; the new ones speak for each other,
    and none for itself."""
    if not isinstance(bench.student, HeadStudent):
        return np.zeros(len(labels))  # a student of one's own need not know any vectors
    new = {x.text_id for x in labels}
    known = [(t, x.value) for t, x in bench.lessons() if t.id not in new][-MOST_COMPARED:]
    known += [(t, x.value) for t, x in zip(texts, labels, strict=True)]
    own: Floats = np.asarray(bench.first_vectors(texts), np.float32)
    others = np.asarray(bench.first_vectors([t for t, _ in known]), np.float32)
    near, _ = nearest(own, others, NEIGHBOURS + 1, "cosine")
    agree = [
        [bench.task.agreement(x.value, known[i][1]) == 1.0 for i in rows if known[i][0].id != x.text_id][:NEIGHBOURS]
        for x, rows in zip(labels, near.tolist(), strict=True)
    ]
    return of_neighbours(agree)


def _of_length(texts: Sequence[Text]) -> Doubles:
    """How many times as long as the middle one of these a text is, as a logarithm below nought; others 0."""
    length = np.array([max(1, len(t.text)) for t in texts], np.float64)
    return np.minimum(0.0, -np.log(length / np.median(length)))
