"""Which labels are wrong, most likely: a small model of several signs of doubt, learnt from what people said.

An oracle's own confidence is one sign. That the student expects something else, and that texts like this one have
other labels, are two more, and the better ones: a small model that errs is often sure of itself.

Signs are log odds that the label is right, each as if it were alone; nought where it says nothing. Knows no text, no
oracle and no store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from agent.doubt.calibration import Bools, Doubles, folds, smoothed
from agent.records import Floats, Rows

SIGNS = ("confidence", "student", "neighbours", "lost", "order", "length")
"""What speaks for or against a label: the oracle's own confidence, the student that had not seen it, labels of texts
like this one, probability that went to no label, an answer that changed with the order of the labels, and a text far
longer than most."""
EXPECTED: Mapping[str, float] = {
    "confidence": 0.5,
    "student": 0.5,
    "neighbours": 0.5,
    "lost": 0.5,
    "order": 0.5,
    "length": 0.0,
}
"""Weights before any person is heard."""
SPREAD = 0.3
"""Standard deviation of a weight around what is expected."""
SPREAD_OF_OFFSET = 2.0
ENOUGH = 20
"""People's labels before weights are fitted."""
SURELY = 7.0
"""No sign alone says more than that, in nats."""
NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """Log odds that a label is right, as a weighted sum of its signs.

    Attributes:
        offset: of all labels.
        weights: (S,) in the order of `SIGNS`, none below nought: a sign that people contradict is left out, not
            turned round.
        labels: people's labels that it rests on; 0 where it is what is expected.
    """

    offset: float = 0.0
    weights: tuple[float, ...] = tuple(EXPECTED[s] for s in SIGNS)
    labels: int = 0

    @classmethod
    def fit(cls, signs: Doubles, correct: Bools) -> ErrorModel:
        """The likeliest weights (logistic regression), drawn towards what is expected by normal priors.

        With fewer than 20 verdicts, what is expected.

        Args:
            signs: (n, S), see `SIGNS`.
            correct: (n,) whether a person agreed.
        """
        right = np.asarray(correct, np.bool_)
        if len(right) < ENOUGH:
            return cls()
        from scipy.optimize import minimize

        expected, target = np.array([EXPECTED[s] for s in SIGNS]), smoothed(right)

        def cost(x: Doubles) -> tuple[float, Doubles]:
            z = x[0] + signs @ x[1:]
            away = (x[1:] - expected) / SPREAD
            value = (np.logaddexp(0, z) - target * z).sum() + (away**2).sum() / 2 + (x[0] / SPREAD_OF_OFFSET) ** 2 / 2
            off = expit(z) - target
            return float(value), np.concatenate(
                [[off.sum() + x[0] / SPREAD_OF_OFFSET**2], signs.T @ off + away / SPREAD]
            )

        bounds = [(None, None), *[(0, None)] * len(expected)]
        found = minimize(cost, np.concatenate([[0.0], expected]), jac=True, method="L-BFGS-B", bounds=bounds).x
        return cls(float(found[0]), tuple(found[1:].tolist()), len(right))

    def right(self, signs: Doubles) -> Doubles:
        """(n,) the chance that each label is right, of (n, S) signs."""
        return np.asarray(expit(self.offset + signs @ np.asarray(self.weights)), np.float64)

    def against(self, signs: Doubles) -> str | None:
        """The sign that speaks most against a label, of its (S,) signs; None where none does."""
        said = signs * np.asarray(self.weights)
        return SIGNS[int(said.argmin())] if said.min() < 0 else None

    @classmethod
    def crossed(cls, signs: Doubles, correct: Bools) -> Doubles:
        """(n,) the chance that each label is right, by a fit without its own verdict. A threshold is to be set on
        these: what was fitted on a verdict promises too much of it."""
        found = np.empty(len(correct))
        for here in folds(len(correct)):
            found[here] = cls.fit(signs[~here], correct[~here]).right(signs[here])
        return found


def of_student(probabilities: Floats, said: Rows) -> Doubles:
    """(n,) the student's log odds of the class given against the likeliest other one; 0 where it has no word.

    Args:
        probabilities: (n, C) of a student that had not seen these labels; rows of NaN where there was none.
        said: (n,) the class given, -1 for none of them.
    """
    found = np.zeros(len(said))
    rows = np.flatnonzero((said >= 0) & np.isfinite(probabilities).all(axis=1))
    p = np.array(probabilities[rows], np.float64)
    own = p[np.arange(len(rows)), said[rows]].copy()
    p[np.arange(len(rows)), said[rows]] = 0
    found[rows] = np.log(np.maximum(own, 1e-9)) - np.log(np.maximum(p.max(axis=1, initial=0), 1e-9))
    return np.clip(found, -SURELY, SURELY)


def of_neighbours(agree: Sequence[Sequence[bool]]) -> Doubles:
    """(n,) log odds from whether the nearest labels are the same, `NEIGHBOURS` of them at most; half a label counts
    for either side, so that none of them says nothing."""
    same = np.array([sum(a[:NEIGHBOURS]) for a in agree], np.float64)
    other = np.array([len(a[:NEIGHBOURS]) for a in agree], np.float64) - same
    return np.asarray(np.log(same + 0.5) - np.log(other + 0.5), np.float64)
