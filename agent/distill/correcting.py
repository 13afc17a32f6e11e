"""What machines' labels stand for: how each machine errs, learnt from its labels, from texts alike, and from people.

A machine has a matrix of how often it gives each class for each true one. Expectation and maximisation find matrix
and truth together: the truth of a text by its label, by a head that was taught without this text, and by the label's
own probabilities; the matrix by the truth; then the head is taught again (Raykar and others 2010, Learning from
Crowds, JMLR 11). What people said is true. A matrix knows mistakes that a class brings, not those that a hard text
brings: where a machine makes only the latter, the head errs on the same texts, and its labels stay. Knows vectors and
labels; no text, no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from agent.distill.targets import Examples, best_temperature, mean_length
from agent.doubt import by_its_own_word
from agent.records import Floats, Rows
from agent.student.head import ROUGH, Head
from agent.student.logistic import softmax

Doubles = npt.NDArray[np.float64]

FEWEST, FEWEST_A_CLASS = 100, 10
"""Texts that machines labelled, people's among them, and texts a class on average: by fewer nobody knows how one
errs. Of 450 right labels of clinc150 in 146 classes a tenth were taken for another."""
RARE = 5
"""A label of a class with fewer than that is left as it was given: a head that did not see its text hardly knows the
class."""
ROUNDS, REFITTED = 24, 8
"""Of teaching the head again; the penalty is sought anew every so many rounds, since cleaner labels want a weaker
one. It ends early where the last so many rounds found nothing better. Measured on banking77, dbpedia14 and BBC news:
with as many rounds as that all matrices stood still."""
STEPS, SETTLED = 30, 1e-3
"""Between two of them, of matrix and truth alone; they end as soon as no entry moves by more than that."""
PRIOR = 2.0
"""Made-up labels of each class, as right as all labels of the machine: more of them (5, 10, 20) left mistakes in that
the rest of the labels showed, fewer were not tried."""
ACCURACY = 0.8
"""Of a machine, before anything is known of it."""
USUAL, OFTEN = 0.1, 5.0
"""A mistake that is told of: from this share of a class's labels, and from so many of them."""
EASY, EASY_WRONG = 0.5, 0.01
"""Of a machine's texts this part is easy, those that the head is surest of; where fewer than so many of their labels
are other than the head's, the machine errs where texts are hard. On seven sets at most 0.2 % where it did, at least
1 % where its mistakes came by chance or by the class. Of the former's labels that would have been changed (banking77,
clinc150, dbpedia14, BBC news) a third were right before and half after: models of these were 0.7 points worse."""


@dataclass(frozen=True)
class Mistake:
    """Of the labels of texts that truly are `truth`, `share` say `said`: `labels` of them."""

    truth: int
    said: int
    share: float
    labels: float


@dataclass(frozen=True, eq=False)
class Corrected:
    """Labels as they are learnt.

    Attributes:
        targets: (n, C) float32: as given where nothing speaks against the label, else the chance of each class.
        weights: (n,) float32, how much each counts where it teaches: by the chance of its likeliest class where a
            machine gave it and errs by the class or by chance.
        judging: (n,) float32, likewise where it judges.
        changed: how many have another class than was given.
        left: how many labels are of machines that err where texts are hard: just their usual mistakes are changed.
        mistakes: the usual ones, most labels first.
    """

    targets: Floats
    weights: Floats
    judging: Floats
    changed: int
    left: int = 0
    mistakes: tuple[Mistake, ...] = ()

    def told(self, names: Sequence[str], most: int = 5) -> str:
        """The usual mistakes in words."""
        return "; ".join(f"{names[m.said]} for {names[m.truth]} ({m.share:.0%})" for m in self.mistakes[:most])

    def rows(self, names: Sequence[str]) -> dict[str, Any]:
        """For the card's table of the training."""
        found: dict[str, Any] = {"labels of machines learnt as another class": self.changed}
        if self.left:
            found["labels left as given, wrong only where texts are hard"] = self.left
        return found | ({"usual mistakes in them": self.told(names)} if self.mistakes else {})


def is_correctable(known: Examples) -> bool:
    """Not with any number of labels a text, where machines labelled fewer than FEWEST texts, or where a class has
    fewer than FEWEST_A_CLASS on average."""
    if known.multilabel or known.people is None or known.people.all():
        return False
    if int((_told(known).sum(axis=1) > 0).sum()) < FEWEST or not known.teaching.any():
        return False
    classes = len(np.unique(known.targets.argmax(axis=1)))
    return len(known.texts) >= FEWEST_A_CLASS * classes


def correct(features: Floats, known: Examples) -> Corrected | None:
    """Put machines' labels right, or None where that cannot be done: see `is_correctable`; or where no class has
    enough to hold some out.

    Args:
        features: (n, d) float32.
        known: n examples that were checked.
    """
    if not is_correctable(known):
        return None
    work = _Work(features / mean_length(features), known)
    found = work.truth()
    return None if found is None else work.corrected(*found)


class _Work:
    """Expectation and maximisation, round by round."""

    def __init__(self, features: Floats, known: Examples) -> None:
        assert known.people is not None
        self._features, self._known, self._people = features, known, known.people
        self._weights = known.weights.astype(np.float64)
        self._given = known.targets.argmax(axis=1)
        self._machines = _Machines(known)
        self._head = Head(len(known.names))
        self._parts: list[tuple[Rows, Head]] = []

    def truth(self) -> tuple[Doubles, Doubles] | None:
        """(n, C) of the round under which the labels that were given are likeliest, and (n, C) as it was foreseen by
        heads that did not see the text. None where none can be held out."""
        truth: Doubles = self._known.targets.astype(np.float64)
        weights, most, best, kept = self._known.teaching, -np.inf, 0, None
        for number in range(ROUNDS):
            foreseen = self._foreseen(truth.astype(np.float32), weights, refit=number % REFITTED == 0)
            if foreseen is None or number > best + REFITTED:
                break
            truth, evidence = self._settled(foreseen)
            weights = self._known.weights
            if evidence > most:
                most, best, kept = evidence, number, (truth, foreseen)
        return kept

    def corrected(self, truth: Doubles, foreseen: Doubles) -> Corrected:
        known, likeliest = self._known, truth.argmax(axis=1)
        mistakes = self._machines.usual(truth, self._weights)
        rare = (np.bincount(self._given, minlength=truth.shape[1]) < RARE)[self._given]
        changed = (likeliest != self._given) & ~self._people & ~rare
        usual = np.zeros((truth.shape[1],) * 2, np.bool_)
        usual[[m.truth for m in mistakes], [m.said for m in mistakes]] = True
        left = self._errs_by_text(foreseen) & ~(changed & usual[likeliest, self._given])
        changed &= ~left
        targets = np.where(changed[:, None], truth, known.targets).astype(np.float32)
        trusted = 1.0 if known.trust is None else known.trust
        sure = np.where(self._people, 1.0, np.where(rare | left, trusted, truth.max(axis=1)))
        return Corrected(
            targets,
            (known.weights * sure).astype(np.float32),
            (known.weights * np.where(left, 1.0, sure)).astype(np.float32),
            int(changed.sum()),
            int(left.sum()),
            mistakes,
        )

    def _errs_by_text(self, foreseen: Doubles) -> npt.NDArray[np.bool_]:
        """(n,) labels of machines that contradict the head on hardly any text that is easy."""
        by, machines = _by(self._known), ~self._people
        found, sureness = np.zeros(len(foreseen), np.bool_), foreseen.max(axis=1)
        other = foreseen.argmax(axis=1) != self._given
        for machine in np.unique(by[machines]):
            rows = np.flatnonzero((by == machine) & machines)
            easy = rows[np.argsort(-sureness[rows], kind="stable")][: max(1, round(EASY * len(rows)))]
            found[rows] = other[easy].mean() < EASY_WRONG
        return found

    def _settled(self, foreseen: Doubles) -> tuple[Doubles, float]:
        """The truth, with the matrices that suit it, and the mean logarithm of how likely all labels are."""
        own = self._known.targets.astype(np.float64)
        for _ in range(STEPS):
            chances = foreseen * self._machines.chances()
            truth = chances / chances.sum(axis=1, keepdims=True)
            truth[self._people] = own[self._people]
            if self._machines.learn(truth, self._weights) < SETTLED:
                break
        likely = np.where(self._people, (chances * own).sum(axis=1), chances.sum(axis=1))
        return truth, float(np.average(np.log(np.maximum(likely, 1e-12)), weights=self._weights))

    def _foreseen(self, targets: Floats, weights: Floats, *, refit: bool) -> Doubles | None:
        """(n, C) by heads that did not see the text."""
        if refit:
            self._head.fit(self._features, targets, weights, np.random.default_rng([self._known.seed, 10]))
            self._parts = list(self._head.parts())
            found = self._head.out_of_fold
            if not self._parts:
                return None
        else:
            logits = np.zeros_like(targets)
            for held, part in self._parts:
                rest = np.setdiff1d(np.arange(len(targets)), held)
                part.temperature = 1.0
                part.learn_on(self._features[rest], targets[rest], weights[rest], tolerance=ROUGH)
                logits[held] = part.logits(self._features[held])
            found = softmax(logits / np.float32(best_temperature(logits, targets, weights, multilabel=False)))
        found = np.maximum(found.astype(np.float64), 1e-6)
        return np.asarray(found / found.sum(axis=1, keepdims=True), np.float64)


class _Machines:
    """How each of k machines errs.

    Attributes:
        matrices: (k, C, C): the row of a true class holds how often each class is given for it.
    """

    def __init__(self, known: Examples) -> None:
        told = _told(known)
        self._heard = np.flatnonzero(told.sum(axis=1) > 0)
        self._said = told[self._heard].argmax(axis=1)
        self._by = np.unique(_by(known)[self._heard], return_inverse=True)[1]
        classes, machines = told.shape[1], int(self._by.max(initial=0)) + 1
        self._own = np.ones((len(self._heard), classes))
        for k in range(machines):
            rows = np.flatnonzero(self._by == k)
            own, _ = by_its_own_word(told[self._heard[rows]].astype(np.float64), self._said[rows])
            self._own[rows] = np.exp(own)
        self._shape = (len(told), classes)
        cells = (self._by * classes + self._said, np.arange(len(self._said)))
        self._naming = sparse.csr_array(
            (np.ones(len(self._said)), cells), shape=(machines * classes, len(self._said))
        )
        self.matrices = np.tile(_even(classes, ACCURACY), (machines, 1, 1))

    def chances(self) -> Doubles:
        """(n, C) how likely what was said of a text is for each true class; ones where no machine spoke."""
        found = np.ones(self._shape)
        found[self._heard] = self.matrices[self._by, :, self._said] * self._own
        return found

    def learn(self, truth: Doubles, weights: Doubles) -> float:
        """The matrices that suit the truth. Returns by how much an entry moved, at most."""
        before, classes = self.matrices, self._shape[1]
        counts = self._counts(truth, weights)
        right = np.trace(counts, axis1=1, axis2=2) / np.maximum(counts.sum(axis=(1, 2)), 1e-9)
        usual = np.stack([_even(classes, float(share)) for share in right])
        self.matrices = (counts + PRIOR * usual) / (counts.sum(axis=2, keepdims=True) + PRIOR)
        return float(np.abs(self.matrices - before).max())

    def usual(self, truth: Doubles, weights: Doubles) -> tuple[Mistake, ...]:
        """The mistakes that all of them together make often."""
        counts = self._counts(truth, weights).sum(axis=0)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
        np.fill_diagonal(shares, 0.0)
        found = [
            Mistake(int(t), int(s), float(shares[t, s]), float(counts[t, s]))
            for t, s in np.argwhere((shares >= USUAL) & (counts >= OFTEN))
        ]
        return tuple(sorted(found, key=lambda mistake: -mistake.labels))

    def _counts(self, truth: Doubles, weights: Doubles) -> Doubles:
        """(k, C, C) labels, by their true class and the one given."""
        by_label = self._naming @ (truth * weights[:, None])[self._heard]
        return np.asarray(by_label.reshape(self.matrices.shape).swapaxes(1, 2), np.float64)


def _told(known: Examples) -> Floats:
    """(n, C) what a machine said of each text; zeros where none spoke."""
    told = np.zeros_like(known.targets) if known.told is None else np.asarray(known.told, np.float32)
    return told if known.people is None else np.where(known.people[:, None], told, known.targets)


def _by(known: Examples) -> Rows:
    """(n,) which machine spoke of each text, where one did."""
    return np.zeros(len(known.texts), np.int64) if known.by is None else np.asarray(known.by, np.int64)


def _even(classes: int, accuracy: float) -> Doubles:
    """(C, C) of a machine that is right so often, and else says any other class."""
    found = np.full((classes, classes), (1 - accuracy) / max(1, classes - 1))
    np.fill_diagonal(found, accuracy)
    return found
