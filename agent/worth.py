"""What asking is worth: right labels a micro-dollar, from a stronger oracle about a label at hand, and of a new text.

Numbers in, numbers out: knows no oracle, no text and no store. docs/cascade.md says what each formula stands for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.doubt.calibration import Bools, Doubles, Truths

PRIOR = 10
"""Verdicts that an expectation counts for before any person is heard."""
MENDED = 0.1
"""The share of an oracle's wrong labels that its other answer is expected to mend before any was asked for: a model
errs in the same way whatever the order of the labels."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Labels of one kind by an oracle: how many it gave, how many of those people judged, and how many are right."""

    labels: int
    judged: int
    right: int


def expected(kinds: Sequence[Verdicts], prior: float) -> float:
    """The share of an oracle's labels that is right: of each kind the mean of a Beta distribution that is `prior`
    before people are heard, weighed by how many labels are of that kind.

    People see some kinds more often than others (what an oracle is not sure of), and work their queue in an order: so
    a verdict speaks for its own kind alone.
    """
    total = sum(k.labels for k in kinds)
    if not total:
        return prior
    return sum(k.labels * (PRIOR * prior + k.right) / (PRIOR + k.judged) for k in kinds) / total


def between(bar: float, classes: int) -> float:
    """What a label is taken for of which nothing tells: half-way from chance to `bar`, like those that are less sure
    than the bar."""
    chance = 1 / classes if classes else 0.0
    return (min(chance, bar) + bar) / 2


@dataclass(frozen=True, slots=True)
class Step:
    """The next oracle.

    Attributes:
        right: share of its labels that is expected to be right, of texts that the one before is not sure of.
        at_hand: the chance that a label at hand is right of which nothing tells.
        price: micro-dollars that asking it about one text is expected to cost.
    """

    right: float
    at_hand: float
    price: float

    def gains(self, sure: Doubles) -> Doubles:
        """(n,) right labels that asking brings, none below nought; `sure` are the chances of the labels at hand."""
        known = np.where(np.isnan(sure), self.at_hand, sure)
        return np.asarray(np.maximum(self.right - known, 0.0), np.float64)

    def a_dollar(self, sure: Doubles) -> Doubles:
        """(n,) the same for a micro-dollar; without a price whatever brings anything is worth any sum."""
        return np.array([ratio(gain, self.price) for gain in self.gains(sure).tolist()], np.float64)


def ratio(gain: float, price: float) -> float:
    """Gain a micro-dollar; what is free and brings something is worth any sum."""
    if gain <= 0:
        return 0.0
    return gain / price if price > 0 else math.inf


def gain_of_label(sure: Doubles, foretold: Truths, classes: int) -> float:
    """Right labels that the first oracle's label of a new text brings: what the label is right in more than what the
    student would have said instead.

    Measured on texts that were asked about last, since the next ones will be like them. Where the student had
    foretold the label, it brings nothing. Where it had not, the label is right with `sure`, and the student with no
    more than its share of the rest.

    Args:
        sure: (n,) chance that each label is right.
        foretold: (n,) the student, which had not seen the label, would have said the same.
        classes: 0 where the task has none.
    """
    if not len(sure):
        return 0.0
    students = (1 - sure) / (classes - 1) if classes > 1 else np.zeros(len(sure))
    return max(0.0, float(np.where(np.asarray(foretold, np.bool_), 0.0, sure - students).mean()))


@dataclass(frozen=True, slots=True)
class NewText:
    """Asking about one more text.

    Attributes:
        gain: right labels that it brings, with what it teaches the student about the others.
        price: micro-dollars of the first oracle.
        sent: share of such texts whose label goes on to the next oracle.
        gain_sent, price_sent: what that brings and costs a text.
    """

    gain: float
    price: float
    sent: float = 0.0
    gain_sent: float = 0.0
    price_sent: float = 0.0

    @property
    def a_dollar(self) -> float:
        """Right labels a micro-dollar, of the text alone or with what is sent on of it, whichever is more: nobody has
        to send it on."""
        together = ratio(self.gain + self.sent * self.gain_sent, self.price + self.sent * self.price_sent)
        return max(ratio(self.gain, self.price), together)


def mended(wrong: Doubles, gained: Doubles) -> float:
    """The share of wrong labels that another answer of the same oracle mends: little is expected, and what came of
    the labels that were asked again counts beside it, as the mean of a Beta distribution does.

    Args:
        wrong: (n,) chance that each label was wrong before it was asked again.
        gained: (n,) by how much the chance rose that the label which counts is right.
    """
    return min(1.0, max(0.0, float((PRIOR * MENDED + gained.sum()) / (PRIOR + wrong.sum()))))


@dataclass(frozen=True, slots=True)
class OtherWay:
    """The same oracle, asked in another way.

    Attributes:
        mends: share of its wrong labels that this puts right, see `mended`.
        at_hand: the chance that a label at hand is right of which nothing tells.
        price: micro-dollars that asking it about one text is expected to cost.
    """

    mends: float
    at_hand: float
    price: float

    def gains(self, sure: Doubles) -> Doubles:
        """(n,) right labels that asking brings; `sure` are the chances of the labels at hand."""
        known = np.where(np.isnan(sure), self.at_hand, sure)
        return np.asarray(self.mends * (1 - known), np.float64)


def asked_again(a_dollar: Doubles, questions: Doubles, most: float, new_text: float, *, ample: bool) -> list[int]:
    """Which labels are asked again, the most gain a dollar first: of those that `asked_now` would take, as many as
    fit into `most` questions of a new text's price.

    Args:
        a_dollar: (n,) right labels a micro-dollar; of equal ones the first counts first.
        questions: (n,) what asking costs, in questions about new texts.
        new_text: right labels a micro-dollar that a new text brings.
        ample: the money pays for all that may still be asked.
    """
    left, found = most, []
    worth_it = asked_now(a_dollar, new_text, ample=ample)
    for i in np.argsort(-a_dollar, kind="stable").tolist():
        if worth_it[i] and questions[i] <= left + 1e-9:
            found.append(i)
            left -= float(questions[i])
    return found


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a job may still ask.

    Attributes:
        texts: that may still be asked about.
        waiting: by oracle, how many labels wait for the one after it.
        prices: by oracle, micro-dollars a text.
        sent: by oracle, the share of its labels that is not sure enough.
    """

    texts: int
    waiting: Sequence[float]
    prices: Sequence[float]
    sent: Sequence[float]

    def cost(self) -> float:
        """Micro-dollars that all of it is expected to cost, each text through every oracle that it needs."""
        total, coming = 0.0, float(self.texts)
        for waiting, price, sent in zip(self.waiting, self.prices, self.sent, strict=True):
            total += coming * price
            coming = coming * sent + waiting
        return total


def asked_now(a_dollar: Doubles, new_text: float, *, ample: bool) -> Bools:
    """(n,) which labels go on now: all that gain where the money is ample, else those that gain more a dollar than a
    new text does."""
    return np.asarray(a_dollar > (0.0 if ample else new_text), np.bool_)
