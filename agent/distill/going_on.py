"""The first weights of a classifier that goes on from another one, and what is replayed so that nothing is forgotten.

A class that is known already keeps its row; a new one gets the row that a penalised logistic regression finds beside
those. Labels that are here teach all the same. For what there are none of, the old model has an opinion: texts
without a label are learnt as the network reads them before it learns anything, which of the old classes is the old
model's view (Li and Hoiem 2016, learning without forgetting, arXiv:1606.09282; Buzzega and others 2020, dark
experience, arXiv:2004.07211) and leaves room for the new ones.

Knows tokens, features and numbers; no file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.distill.finetune import Lessons, head_on, warm_start
from agent.distill.network import Network
from agent.distill.start import Source, Start
from agent.records import Floats, Rows
from agent.student.head import FINE, Head
from agent.student.logistic import Lessons as Linear
from agent.student.logistic import sigmoid, softmax, solve_beside

REPLAYED = 0.5
"""What a replayed text counts for beside a label, at most: it repeats an opinion."""
ENOUGH = 10.0
"""So many labels of a class halve what is replayed of it: they are newer than the opinion."""
LEAST = 0.05
"""What would count for less is not replayed, and costs no time."""


def begin(network: Network, lessons: Lessons, source: Source, seed: int) -> tuple[Head, Lessons | None]:
    """Give the classifier of an opened network its first weights.

    Returns a head that was taught the lessons' labels alone, with what it said of texts it had not seen, and what is
    to be replayed, if anything.
    """
    if not isinstance(source, Start) or not source.knows(network.names):
        return warm_start(network, lessons, seed), None
    taught = network.features(lessons.tokens)
    head, scale = head_on(taught, lessons, seed, multilabel=network.multilabel)
    tokens = network.tokens(source.texts) if source.texts else []
    memory = _Memory(source, network, lessons, network.features(tokens))
    rows = memory.rows(taught, lessons, scale, head.l2)
    network.set_classifier(rows[:-1], rows[-1])
    targets = memory.link(_with_one(memory.seen) @ rows)
    weights = memory.weights(targets)
    some = np.flatnonzero(weights > 0)
    return head, Lessons(tokens, targets, weights).part(some) if len(some) else None


@dataclass(frozen=True, eq=False)
class _Places:
    """Columns of the network's classes: known already and new; and the known ones' in the old classifier."""

    known: Rows
    new: Rows
    before: Rows


class _Memory:
    """What an old model says of m texts, as opinions of the classes that are wanted now.

    Attributes:
        seen: (m, d) what its classifier reads of them.
    """

    def __init__(self, start: Start, network: Network, lessons: Lessons, seen: Floats) -> None:
        self.seen, self._start, self._several = seen, start, network.multilabel
        known = np.array([name in start.names for name in network.names])
        before = np.array([start.names.index(name) for name in network.names if name in start.names])
        self._at = _Places(np.flatnonzero(known), np.flatnonzero(~known), before)
        self._most = float(lessons.weights.sum())
        counts = (lessons.weights[:, None] * lessons.targets).sum(axis=0)
        self._need = (known * ENOUGH / (ENOUGH + counts)).astype(np.float32)
        said = self.link(_with_one(seen) @ start.rows)[:, before]
        # what it took for a class that is dropped says little of the others
        self._sure = np.ones(len(seen), np.float32) if self._several else said.sum(axis=1)
        self.opinions = np.zeros((len(seen), len(network.names)), np.float32)
        self.opinions[:, self._at.known] = said if self._several else said / np.maximum(self._sure, 1e-9)[:, None]

    def link(self, logits: Floats) -> Floats:
        """Probabilities."""
        return sigmoid(logits) if self._several else softmax(logits)

    def weights(self, opinions: Floats) -> Floats:
        """(m,) float32 what each text counts, by how much its classes lack labels; all together no more than labels
        do, since there are new classes among them that nobody named."""
        need = np.full(len(opinions), self._need.max()) if self._several else self._sure * (opinions @ self._need)
        found = REPLAYED * need
        found[found < LEAST] = 0.0
        weights: Floats = (found * min(1.0, self._most / max(float(found.sum()), 1e-9))).astype(np.float32)
        return weights

    def rows(self, taught: Floats, lessons: Lessons, scale: np.float32, l2: float) -> Floats:
        """(d + 1, C) the classifier: rows as they were, and new ones, which begin at the mean of those.

        Args:
            taught: (n, d) features of the lessons.
            scale, l2: length of the features and penalty of a head on them.
        """
        at, start = self._at, self._start
        rows = np.zeros((len(start.rows), self.opinions.shape[1]), np.float32)
        rows[:, at.known] = start.rows[:, at.before]
        if not len(at.new):
            return rows
        if not self._several:
            rows[:, at.new] = rows[:, at.known].mean(axis=1, keepdims=True)
        features: Floats = np.concatenate([taught, self.seen])
        linear = Linear(
            _with_one(features / scale),
            np.concatenate([lessons.targets, self.opinions]),
            np.maximum(np.concatenate([lessons.weights, self.weights(self.opinions)]), 1e-6),
            self._several,
        )
        added = solve_beside(linear, l2, _with_one(features) @ rows, at.new, FINE)
        added[:-1] /= scale
        rows[:, at.new] += added
        return rows


def _with_one(features: Floats) -> Floats:
    return np.hstack([features, np.ones((len(features), 1), np.float32)])
