"""Heads taught on labels and on hints: classes' names, its own surest guesses, and which labels look wrong.

Pure functions of arrays; knows no text, no pool and no job.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from agent.records import Floats, Rows
from agent.student.head import FINE, ROUGH, Head
from agent.student.heads import Heads
from agent.student.propagation import Extra, are_telling, propagated, self_trained

PER_LABEL = 5
"""Guesses for each label that a class has on average: one a label taught less, on three sets."""
WEIGHT_OF_NAME = 1.0
"""A class's name counts as one labelled text; half as much was no better."""
ODDS_OF_ERROR = 0.1
"""That a label is wrong, before the student is heard. On three sets and three oracles (frozen encoder, two seeds,
two stages) 1, 0.5, 0.25, 0.1, 0.05 and 0.02 changed the accuracy by -0.2, -0.2, -0.2, -0.1, 0.0 and -0.1 points where
labels were right, +0.7, +0.8, +0.9, +0.8, +0.8 and +0.8 where one in five was any other class, and +2.5, +2.5, +2.2,
+1.9, +1.5 and +1.3 where classes were taken for their likes."""
LEAST_TRUST = 0.05
"""A label that looks wrong still says that somebody thought so."""


Guessing = Literal["self_training", "propagation"]


def guessing(unlabelled: str) -> Guessing:
    """How `student.unlabelled` has texts without a label teach, where it is not `off`."""
    return "propagation" if unlabelled == "propagation" else "self_training"


@dataclass(frozen=True)
class Labelled:
    """What a head learns from.

    Attributes:
        vectors: (n, d) of length one; (n, k·d) for heads on k encoders, as everywhere here.
        targets: (n, C) soft targets.
        weights: (n,) how much each counts.
    """

    vectors: Floats
    targets: Floats
    weights: Floats

    def part(self, rows: Rows) -> Labelled:
        return Labelled(self.vectors[rows], self.targets[rows], self.weights[rows])

    def and_also(self, vectors: Floats, targets: Floats, weights: Floats) -> Labelled:
        pairs = zip(self.arrays, (vectors, targets, weights), strict=True)
        return Labelled(*(np.concatenate(pair) for pair in pairs))

    @property
    def arrays(self) -> tuple[Floats, Floats, Floats]:
        return self.vectors, self.targets, self.weights


@dataclass(frozen=True)
class Hints:
    """What there is beside n labels.

    Attributes:
        names: (C, d), each class's name and description as the encoder sees them, or None.
        others: (m, d), texts without a label, or None.
        way: what these teach: the head's own guesses, or what their neighbours are.
        doubtful: (n,) bool, which labels may be wrong; None for none of them.
        stand_for: how many texts each of `others` stands for, where they are a sample of what a student is taught.
    """

    names: Floats | None = None
    others: Floats | None = None
    way: Guessing = "self_training"
    doubtful: npt.NDArray[np.bool_] | None = None
    stand_for: float = 1.0


def guesses_a_class(labels: int, classes: int) -> int:
    """Most guesses of one class beside so many labels."""
    return PER_LABEL * max(1, round(labels / classes))


def teach(heads: Heads, known: Labelled, rng: np.random.Generator, hints: Hints) -> Floats:
    """Teach heads everything, and forget what they knew.

    Args:
        heads: one label a text; with several, hints are left out.
        known: the labels.
        rng: deals the folds.
        hints: what there is beside labels.

    Returns (n,) how far each label was believed; see `trust`. Penalty, temperature and out-of-fold probabilities come
    from the labels alone, weighed by that; see `Head.learn_on`. On several encoders each head teaches itself first,
    then all learn what they guess together, as in co-training (Blum and Mitchell 1998): that was worth 0.3 points.
    """
    believed = np.ones(len(known.weights), np.float32)
    if heads.independent:
        heads.fit(*known.arrays, rng)
        return believed
    if hints.doubtful is not None and hints.doubtful.any():
        # by the first alone: an encoder that learnt a wrong label believes it
        first, state = _views(heads, known, hints)[0], rng.bit_generator.state
        heads.each[0].fit(*first[1].arrays, rng)
        rng.bit_generator.state = state
        believed[hints.doubtful] = trust(*first)[hints.doubtful]
        known = replace(known, weights=(known.weights * believed).astype(np.float32))
    heads.fit(*known.arrays, rng)
    views = _views(heads, known, hints)
    lessons = [_take(*view, FINE) for view in views]
    if len(views) > 1 and hints.others is not None and hints.way == "self_training":
        guesses = _guesses(heads.predict(hints.others), len(known.vectors), hints)
        for (head, _, mine), labelled in zip(views, lessons, strict=True):
            _learn_guesses(head, labelled, guesses, mine)
    return believed


def _views(heads: Heads, known: Labelled, hints: Hints) -> list[tuple[Head, Labelled, Hints]]:
    """Each head, with the labels and the hints as its own encoder sees them."""
    nothing = [None] * len(heads.each)
    names = nothing if hints.names is None else heads.views(hints.names)
    others = nothing if hints.others is None else heads.views(hints.others)
    columns = zip(heads.each, heads.views(known.vectors), names, others, strict=True)
    return [(h, replace(known, vectors=v), replace(hints, names=n, others=o)) for h, v, n, o in columns]


def trust(head: Head, known: Labelled, hints: Hints) -> Floats:
    """(n,) float32 from LEAST_TRUST to 1: how far each label is to be believed.

    The student is taught without the text, hints included, and says p of the label and q of the likeliest other
    class; by Bayes' rule the label is right with p / (p + ODDS_OF_ERROR · q). After "confident learning" (Northcutt
    et al. 2021, arXiv 1911.00068), which drops such labels; here they count for less.

    Args:
        head: `fit` on these very labels; its folds are what is held out.
        known, hints: as for `teach`, of one encoder.
    """
    found = np.ones(len(known.targets), np.float32)
    said = known.targets.argmax(axis=1)
    for held, part in head.parts():
        rest = known.part(np.setdiff1d(np.flatnonzero(known.weights > 0), held))
        _take(part, rest, hints, ROUGH)
        p = part.predict(known.vectors[held])
        of_label = np.take_along_axis(p, said[held, None], axis=1)[:, 0]
        np.put_along_axis(p, said[held, None], 0, axis=1)
        believed = of_label / np.maximum(of_label + np.float32(ODDS_OF_ERROR) * p.max(axis=1), 1e-12)
        # of a class that nothing else speaks of, nothing can be said
        heard_of = (rest.targets.sum(axis=0) >= 0.5) | _are_telling(hints, rest)
        found[held] = np.where(heard_of[said[held]], believed, 1)
    return np.maximum(found, np.float32(LEAST_TRUST))


def _are_telling(hints: Hints, known: Labelled) -> bool:
    return hints.names is not None and are_telling(hints.names, known.vectors, known.targets)


def _take(head: Head, labelled: Labelled, hints: Hints, tolerance: float) -> Labelled:
    """Let a head that knows the labels learn from hints, too; returns labels and names, where names say something."""
    known = labelled
    if hints.names is not None and _are_telling(hints, known):
        ones = np.full(head.classes, WEIGHT_OF_NAME, np.float32)
        known = labelled.and_also(hints.names, np.eye(head.classes, dtype=np.float32), ones)
        head.learn_on(*known.arrays, tolerance=tolerance)
    if hints.others is None or not len(hints.others):
        return known
    n = len(labelled.vectors)
    if hints.way == "propagation":
        extra = propagated(np.concatenate([labelled.vectors, hints.others]), np.arange(n), labelled.targets)
        extra = replace(extra, rows=extra.rows - n)
    else:
        extra = _guesses(head.predict(hints.others), n, hints)
    _learn_guesses(head, known, extra, hints, tolerance)
    return known


def _guesses(probabilities: Floats, labels: int, hints: Hints) -> Extra:
    """The surest of (m, C) probabilities of all the other texts."""
    per_class = max(1, round(guesses_a_class(labels, probabilities.shape[1]) / hints.stand_for))
    return self_trained(probabilities, np.zeros(0, np.int64), per_class=per_class)


def _learn_guesses(head: Head, known: Labelled, extra: Extra, hints: Hints, tolerance: float = FINE) -> None:
    if hints.others is not None and len(extra.rows):
        weights = extra.weights * np.float32(hints.stand_for)
        head.learn_on(*known.and_also(hints.others[extra.rows], extra.targets, weights).arrays, tolerance=tolerance)
