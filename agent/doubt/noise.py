"""What the answers of several oracles make of a text's true class: Dawid and Skene, with people's labels as truth.

Each oracle has a confusion matrix, learnt from texts that people reviewed (and, where three or more oracles answered,
from how they agree), drawn towards the confusion that it admits by its own probabilities. Numbers in, numbers out:
knows no text, no task and no store. docs/noise.md has the formulas, and what they are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import log_softmax

from agent.doubt.calibration import Doubles, Indices

LEAST = 1e-3
"""No answer rules its other classes out: together they keep this much."""
SUREST = 0.98
"""No oracle is taken to be right more often than that before it was seen to be."""
TOLD_APART = 3
"""Oracles that must have answered a text before agreement says who errs: of two, either may be the wrong one."""
ROUNDS, SETTLED = 100, 1e-4
"""Of expectation and maximisation; they end as soon as no confusion moves by more than that."""
WEIGHTS = (-4.0, 1.0)
"""Bounds of the natural logarithm of an oracle's weight."""


@dataclass(frozen=True)
class Voice:
    """What one oracle said of m out of n texts.

    Attributes:
        rows: (m,) int64, which texts.
        said: (m,) int64, the class given.
        told: (m, C) probabilities of every class; rows sum to one. See `smeared` for an oracle that gives none.
    """

    rows: Indices
    said: Indices
    told: Doubles


@dataclass(frozen=True)
class Rules:
    """How much is expected before it is seen. The defaults were chosen in `python -m evals.noise`'s simulations.

    Attributes:
        prior: as so many texts of each class counts what is expected of an oracle, and of the classes' shares.
        unreviewed: as so many reviewed texts counts one that nobody reviewed and three oracles or more answered.
        earlier: the weight of an oracle beside the last one before people are heard. Models err on the same texts, so
            that an earlier, weaker one adds little to the last one's word; people's labels show how much.
        spread: standard deviation of the logarithm of a weight; nought learns none.
    """

    prior: float = 10.0
    unreviewed: float = 0.3
    earlier: float = 0.3
    spread: float = 1.0


RULES = Rules()


@dataclass(frozen=True)
class Consensus:
    """What was made of the answers.

    Attributes:
        posterior: (n, C) the chance of each class by the answers alone; rows sum to one.
        confusions: of each oracle (C, C): the row of a true class holds how often each class is given for it.
        weights: of each oracle; 1 where its errors have nothing to do with those of the others.
        shares: (C,) of the classes.
    """

    posterior: Doubles
    confusions: tuple[Doubles, ...]
    weights: tuple[float, ...]
    shares: Doubles

    def accuracy(self, oracle: int) -> float:
        """How often the oracle at that place is right, by its confusion matrix."""
        return float(self.shares @ np.diag(self.confusions[oracle]))


def smeared(said: Indices, classes: int, accuracy: float) -> Doubles:
    """(m, C) probabilities for answers without any: `accuracy` on the class given, the rest spread evenly."""
    found = np.full((len(said), classes), (1 - accuracy) / max(1, classes - 1))
    found[np.arange(len(said)), said] = accuracy
    return found


def believed(told: Doubles, said: Indices, sure: Doubles) -> Doubles:
    """(m, C) probabilities of which the class given has its (m,) calibrated confidence; the others share the rest as
    before."""
    rows = np.arange(len(said))
    own = told[rows, said]
    found = told * ((1 - sure) / np.maximum(1 - own, 1e-9))[:, None]
    found[rows, said] = sure
    return np.asarray(found / found.sum(axis=1, keepdims=True), np.float64)


def consensus(
    voices: Sequence[Voice], truth: Indices, weights: Doubles, classes: int, rules: Rules = RULES
) -> Consensus:
    """The chance of each class for each text, by what every oracle said of it.

    The posterior of a text is `shares · Π_j (M_j[t, g_j] · q_j(t) / q̄_j,g(t)) ^ w_j`: M_j is the oracle's confusion
    matrix, g_j what it said, q_j its own probabilities and q̄_j,g their mean over its answers g, so that an answer is
    surer or less sure than usual by its own word. Without probabilities that is Dawid and Skene 1979.

    Args:
        voices: of one oracle or more, the one that counts most last.
        truth: (n,) int64 the class that people gave, -1 where nobody did.
        weights: (n,) how many texts a reviewed one stands for; see `in_effect`.
        classes: C.
        rules: what is expected.
    """
    heard = np.zeros(len(truth), np.int64)
    for voice in voices:
        heard[voice.rows] += 1
    counts = np.where(truth >= 0, weights, np.where(heard >= TOLD_APART, rules.unreviewed, 0.0))
    work = _Work([_Expected.of(v, classes) for v in voices], truth, counts, rules)
    both = np.flatnonzero((truth >= 0) & (heard > 1))
    for _ in range(ROUNDS):
        before = work.confusions
        work.expect()
        work.maximise()
        if rules.spread > 0 and len(both):
            work.weigh(both)
        if max(np.abs(a - b).max() for a, b in zip(before, work.confusions, strict=True)) < SETTLED:
            break
    work.expect()
    return Consensus(work.posterior, tuple(work.confusions), tuple(np.exp(work.logs).tolist()), work.shares)


def by_its_own_word(told: Doubles, said: Indices) -> tuple[Doubles, Doubles]:
    """(m, C) the logarithm of how much likelier an answer's own (m, C) probabilities make each class than those of an
    oracle's other answers of the same class do; and (C, C) how often each class is given for each, by the same
    probabilities and one made-up text of each class: a class that it never named is still known by its usual
    accuracy."""
    m, classes = told.shape
    told = told + LEAST / classes
    told = told / told.sum(axis=1, keepdims=True)
    own = told[np.arange(m), said].mean() if m else SUREST
    accuracy = float(np.clip(own, 1 / classes, SUREST))
    joint = smeared(np.arange(classes), classes, accuracy) + (_naming(said, classes) @ told).T
    return np.log(told / (joint / joint.sum(axis=0)).T[said]), joint


def _naming(said: Indices, classes: int) -> sparse.csr_array:
    """(C, m) sparse, 1 where an answer names a class."""
    return sparse.csr_array((np.ones(len(said)), (said, np.arange(len(said)))), shape=(classes, len(said)))


def in_effect(chances: Doubles) -> Doubles:
    """(r,) weights of texts that were reviewed with these chances: each in proportion to one over its chance, all
    together as many as such weights are worth (Kish 1965), so that one text that stands for twenty does not count as
    twenty observations."""
    inverse = 1 / np.asarray(chances, np.float64)
    return np.asarray(inverse * inverse.sum() / (inverse**2).sum(), np.float64) if len(inverse) else inverse


@dataclass(frozen=True)
class _Expected:
    """A voice, and what is expected of it before anyone is heard.

    Attributes:
        shape: (m, C) logarithm of how much likelier each class is by this answer's own probabilities than by those of
            its other answers of the same class.
        admitted: (C, C) the confusion matrix by its own probabilities.
        shares: (C,) of the classes, by the same.
        dummies: (C, m) sparse, 1 where an answer names a class.
    """

    voice: Voice
    shape: Doubles
    admitted: Doubles
    shares: Doubles
    dummies: sparse.csr_array

    @classmethod
    def of(cls, voice: Voice, classes: int) -> _Expected:
        shape, joint = by_its_own_word(voice.told, voice.said)
        rows = joint.sum(axis=1)
        return cls(voice, shape, joint / rows[:, None], rows / rows.sum(), _naming(voice.said, classes))


class _Work:
    """Expectation and maximisation, step by step."""

    def __init__(self, expected: Sequence[_Expected], truth: Indices, counts: Doubles, rules: Rules) -> None:
        self.expected, self.truth, self.counts, self.rules = expected, truth, counts, rules
        self.confusions = [e.admitted for e in expected]
        self._tallies = [np.zeros_like(e.admitted) for e in expected]
        first = np.full(len(expected), max(rules.earlier, 1e-9))
        first[-1:] = 1.0
        self.logs = self._first_logs = np.log(first)
        self.shares = self._usual_shares()

    def expect(self) -> None:
        """The posterior, as confusions, weights and shares are now."""
        found = np.tile(np.log(self.shares), (len(self.truth), 1))
        for weight, said, e in zip(np.exp(self.logs), self._said(), self.expected, strict=True):
            found[e.voice.rows] += weight * said
        self.posterior = np.exp(log_softmax(found, axis=1))

    def maximise(self) -> None:
        """Confusions and shares, as the posterior is now; what people said is taken for it where they did."""
        known = np.flatnonzero(self.truth >= 0)
        believed_in = self.posterior.copy()
        believed_in[known] = np.eye(believed_in.shape[1])[self.truth[known]]
        weighed, prior = believed_in * self.counts[:, None], self.rules.prior
        self._tallies = [(e.dummies @ weighed[e.voice.rows]).T for e in self.expected]
        self.confusions = [
            (prior * e.admitted + tally) / (prior + tally.sum(axis=1, keepdims=True))
            for e, tally in zip(self.expected, self._tallies, strict=True)
        ]
        prior *= weighed.shape[1]
        self.shares = (weighed.sum(axis=0) + prior * self._usual_shares()) / (self.counts.sum() + prior)

    def weigh(self, rows: Indices) -> None:
        """The oracles' likeliest weights on reviewed texts that several answered, each judged without its own
        review."""
        from scipy.optimize import minimize  # a seventh of what the program takes to load

        said = np.zeros((len(rows), len(self.expected), len(self.shares)))
        place = np.full(len(self.truth), -1)
        place[rows] = np.arange(len(rows))
        for j, e in enumerate(self.expected):
            here = np.flatnonzero(place[e.voice.rows] >= 0)
            said[place[e.voice.rows[here]], j] = self._left_out(j, here)
        truth, counts, usual = self.truth[rows], self.counts[rows], np.log(self.shares)
        named, nth = np.eye(len(usual))[truth], np.arange(len(rows))

        def cost(x: Doubles) -> tuple[float, Doubles]:
            weights, away = np.exp(x), (x - self._first_logs) / self.rules.spread
            logs = log_softmax(usual + np.einsum("j,njc->nc", weights, said), axis=1)
            slope = np.einsum("nc,njc->j", counts[:, None] * (np.exp(logs) - named), said) * weights
            return float(-(counts * logs[nth, truth]).sum() + (away**2).sum() / 2), slope + away / self.rules.spread

        self.logs = minimize(cost, self.logs, jac=True, method="L-BFGS-B", bounds=[WEIGHTS] * len(self.logs)).x

    def _said(self) -> list[Doubles]:
        """Of each voice (m, C): the logarithm of how likely such an answer is for each class."""
        return [
            e.shape + np.log(confusion[:, e.voice.said].T)
            for e, confusion in zip(self.expected, self.confusions, strict=True)
        ]

    def _left_out(self, j: int, here: Indices) -> Doubles:
        """The same of some of a voice's answers, each with a confusion matrix that has not heard of its own text."""
        e, tally, prior = self.expected[j], self._tallies[j], self.rules.prior
        rows, given = e.voice.rows[here], e.voice.said[here]
        truth, own = self.truth[rows], self.counts[rows]
        found = np.log(self.confusions[j][:, given].T)
        rest = prior * e.admitted[truth, given] + tally[truth, given] - own
        whole = prior + tally[truth].sum(axis=1) - own
        found[np.arange(len(here)), truth] = np.log(np.maximum(rest, 1e-9) / np.maximum(whole, 1e-9))
        return e.shape[here] + found

    def _usual_shares(self) -> Doubles:
        """(C,) the classes' shares by what the oracles say, each by its weight."""
        weights = np.exp(self.logs)
        mixed = sum(w * e.shares for w, e in zip(weights, self.expected, strict=True))
        return np.asarray(mixed / weights.sum(), np.float64)
