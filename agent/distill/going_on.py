"""The first weights of a classifier that goes on from another one, and what is replayed so that nothing is forgotten.

A class that is known already keeps its row; a new one gets the row that a penalised logistic regression finds beside
those. Labels that are here teach all the same. For what there are none of, the old model has an opinion: texts
without a label are learnt as the network reads them before it learns anything, which of the old classes is the old
model's view (Li and Hoiem 2016, learning without forgetting, arXiv:1606.09282; Buzzega and others 2020, dark
experience, arXiv:2004.07211) and leaves room for the new ones.

Knows tokens, features and numbers; no file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
RECALLED, MOST_ROUNDS, FOLDS = 0.75, 10, 3
"""How many labels of new classes rows that were found without them must recall, and in how many rounds at most. See
`_Memory.settled`."""


def begin(network: Network, lessons: Lessons, source: Source, seed: int) -> tuple[Head, Lessons | None]:
    """Give the classifier of an opened network its first weights.

    Returns a head that was taught the lessons' labels alone, with what it said of texts it had not seen, and what is
    to be replayed, if anything.
    """
    if not isinstance(source, Start) or not source.knows(network.names):
        return warm_start(network, lessons, seed), None
    features = network.features(lessons.tokens)
    head, scale = head_on(features, lessons, seed, multilabel=network.multilabel)
    tokens = network.tokens(source.texts) if source.texts else []
    taught = _Taught(features, lessons.targets, lessons.weights, scale, head.l2)
    memory = _Memory(source, network, taught, network.features(tokens))
    rows, targets = memory.settled(taught, np.random.default_rng([seed, 9]))
    network.set_classifier(rows[:-1], rows[-1])
    weights = memory.weights(targets)
    some = np.flatnonzero(weights > 0)
    return head, Lessons(tokens, targets, weights).part(some) if len(some) else None


@dataclass(frozen=True, eq=False)
class _Taught:
    """n texts with labels: (n, d) features, (n, C) targets, (n,) weights; length and penalty of a head on them."""

    features: Floats
    targets: Floats
    weights: Floats
    scale: np.float32
    l2: float

    def part(self, rows: Rows) -> _Taught:
        features, targets, weights = self.features[rows], self.targets[rows], self.weights[rows]
        return replace(self, features=features, targets=targets, weights=weights)


class _Memory:
    """What an old model says of m other texts, and the rows of a classifier that stand beside it.

    Args:
        taught: everything that has labels.
        seen: (m, d) what the classifier reads of the other texts.
    """

    def __init__(self, start: Start, network: Network, taught: _Taught, seen: Floats) -> None:
        self._seen, self._several = seen, network.multilabel
        known = np.array([name in start.names for name in network.names])
        before = [start.names.index(name) for name in network.names if name in start.names]
        self._known, self._new = np.flatnonzero(known), np.flatnonzero(~known)
        self._most = float(taught.weights.sum())
        counts = (taught.weights[:, None] * taught.targets).sum(axis=0)
        self._need = (known * ENOUGH / (ENOUGH + counts)).astype(np.float32)
        said = self._chances(seen, start.rows)[:, before]
        # what it took for a class that is dropped says little of the others
        self._sure = np.ones(len(seen), np.float32) if self._several else said.sum(axis=1)
        self._opinions = np.zeros((len(seen), len(known)), np.float32)
        self._opinions[:, self._known] = said if self._several else said / np.maximum(self._sure, 1e-9)[:, None]
        self._old = np.zeros((len(start.rows), len(known)), np.float32)
        self._old[:, self._known] = start.rows[:, before]
        if not self._several:  # where a new row begins, whatever all logits have in common
            self._old[:, self._new] = self._old[:, self._known].mean(axis=1, keepdims=True)

    def weights(self, opinions: Floats) -> Floats:
        """(m,) float32 what each text counts, by how much its classes lack labels; all together no more than labels
        do, since there are new classes among them that nobody named."""
        need = np.full(len(opinions), self._need.max()) if self._several else self._sure * (opinions @ self._need)
        found = REPLAYED * need
        found[found < LEAST] = 0.0
        weights: Floats = (found * min(1.0, self._most / max(float(found.sum()), 1e-9))).astype(np.float32)
        return weights

    def settled(self, taught: _Taught, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """(d + 1, C) rows: the old ones as they were and new ones; and (m, C) what they say of the other texts.

        Some of the other texts are of new classes, which no old opinion says. It begins with all of them as the old
        model sees them; each round believes what the new rows say of them, and finds the rows again (Nigam and others
        2000, text classification from labelled and unlabelled documents using EM). Rounds without end take what is
        not theirs, so there are as few as will do.
        """
        opinions = self._opinions
        for _ in range(self._rounds(taught, rng) + 1):
            rows = self._rows(taught, opinions)
            opinions = self._chances(self._seen, rows)
        return rows, opinions

    def _rounds(self, taught: _Taught, rng: np.random.Generator) -> int:
        """After how many rounds rows that were found without them recall the labels of new classes."""
        wanted = taught.targets[:, self._new] >= 0.5
        if not wanted.any() or not len(self._seen):
            return 0
        fold = rng.permutation(len(wanted)) % FOLDS
        opinions, said = [self._opinions] * FOLDS, np.empty_like(taught.targets)
        for rounds in range(MOST_ROUNDS):
            for k in range(FOLDS):
                rows = self._rows(taught.part(np.flatnonzero(fold != k)), opinions[k])
                opinions[k] = self._chances(self._seen, rows)
                said[fold == k] = self._chances(taught.features[fold == k], rows)
            likeliest = said >= (0.5 if self._several else said.max(axis=1, keepdims=True))
            if likeliest[:, self._new][wanted].mean() >= RECALLED:
                return rounds
        return MOST_ROUNDS

    def _rows(self, taught: _Taught, opinions: Floats) -> Floats:
        """(d + 1, C) rows, the new ones from labels and from opinions of the other texts."""
        rows = self._old.copy()
        if not len(self._new):
            return rows
        features: Floats = np.concatenate([taught.features, self._seen])
        linear = Linear(
            _with_one(features / taught.scale),
            np.concatenate([taught.targets, opinions]),
            np.maximum(np.concatenate([taught.weights, self.weights(opinions)]), 1e-6),
            self._several,
        )
        added = solve_beside(linear, taught.l2, _with_one(features) @ rows, self._new, FINE)
        added[:-1] /= taught.scale
        rows[:, self._new] += added
        return rows

    def _chances(self, features: Floats, rows: Floats) -> Floats:
        logits = _with_one(features) @ rows
        return sigmoid(logits) if self._several else softmax(logits)


def _with_one(features: Floats) -> Floats:
    return np.hstack([features, np.ones((len(features), 1), np.float32)])
