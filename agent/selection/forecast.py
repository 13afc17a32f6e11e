"""What more labels would bring: a learning curve through the rounds' measured accuracy, read off further right.

Pure numbers. Knows no money, no text and no store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FEWEST = 4  # measured rounds with different numbers of labels: three say where a curve is, not how it bends
EXPONENTS = np.geomspace(0.05, 2.0, 25)
DRAWS = 8_000
KEPT = 200  # draws that must be possible curves: with fewer there is no telling
PRIOR = 2.0  # observations that the measurement's own error counts for, beside the scatter that is seen

Draws = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """One measured round: labels that taught the student, its accuracy (0 to 1), the standard error of that."""

    labels: int
    accuracy: float
    error: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """A gain in accuracy, as a difference of shares (0.01 is one point): the median, and the ends of an interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Curve:
    """A power law through measured rounds: accuracy(n) = top - gap * (n / first)^-exponent.

    Power laws fit learning curves of classifiers better than logarithms and exponentials do (Gu, Hu and Liu 2001,
    "Modelling Classification Performance for Large Data Sets"; Figueroa, Zeng-Treitler, Kandula and Ngo 2012,
    "Predicting sample size required for classification performance"). It is not fitted once but drawn many times
    from its posterior, so that what the rounds leave open (mostly the exponent) shows in the interval: a uniform
    prior over a grid of exponents (0.05 to 2, by the logarithm), flat ones for `top` and `gap`, a scaled inverse
    chi-squared one for the scatter, worth two observations of the measurement's own error (Gelman et al. 2013,
    "Bayesian Data Analysis", ch. 14). Curves that fall, or end above 1, are left out.

    Attributes:
        first: the number of labels at which the gap is counted.
        last: the most labels that were measured; forecasts begin there.
        gap, exponent: (draws,) float64.
    """

    first: int
    last: int
    gap: Draws
    exponent: Draws

    def gain(self, more: float, level: float = 0.95) -> Forecast:
        """What `more` labels beyond the last round would add, with an interval of `level`.

        It is the gain of the curve, not the distance from the last measured accuracy: what the rounds share (the
        same gold texts are a little too hard or too easy) cancels out.
        """
        here, there = (((self.last + m) / self.first) ** -self.exponent for m in (0.0, max(0.0, more)))
        gains = self.gap * (here - there)
        low, middle, high = np.quantile(gains, [(1 - level) / 2, 0.5, (1 + level) / 2])
        return Forecast(float(middle), float(low), float(high))


def fit_curve(points: Sequence[Point]) -> Curve | str:
    """The curve through these points, in any order; where they cannot tell one, why, as half a sentence.

    Deterministic: the same points give the same curve. O(points * 25 + 8,000) time.
    """
    used = [p for p in points if p.labels > 0 and np.isfinite([p.accuracy, p.error]).all()]
    used.sort(key=lambda p: (p.labels, p.accuracy, p.error))
    distinct = len({p.labels for p in used})
    if distinct < FEWEST:
        measured = "no round was" if not distinct else "1 round was" if distinct == 1 else f"{distinct} rounds were"
        return f"{measured} measured alike, and a learning curve needs {FEWEST}"
    labels = np.array([p.labels for p in used], np.float64)
    y = np.array([p.accuracy for p in used], np.float64)
    errors = np.maximum([p.error for p in used], 1e-4)
    first, last = int(labels.min()), int(labels.max())
    top, gap, exponent = _draw(labels / first, y, errors)
    # measured with an error, a student that is always right may seem to be heading a little above that
    ceiling = max(1.0, float(np.average(y, weights=errors**-2)) + 2 * float(errors.mean()))
    rising, possible = gap > 0, (gap > 0) & (top <= ceiling)
    if rising.sum() < KEPT:
        return "accuracy did not rise from round to round, so no curve goes through it"
    if possible.sum() < KEPT:
        return "accuracy rises so steadily that no end of it is in sight yet"
    return Curve(first, last, gap[possible], exponent[possible])


def _draw(x: Draws, y: Draws, errors: Draws) -> tuple[Draws, Draws, Draws]:
    """(top, gap, exponent), 8,000 draws each from the posterior."""
    rng = np.random.default_rng(0)
    scale = float(np.sqrt(np.mean(errors**2)))
    fits = [_linear(x**-c, y, scale / errors, scale) for c in EXPONENTS]
    evidence = np.array([f[3] for f in fits])
    chance = np.exp(evidence - evidence.max())
    counts = rng.multinomial(DRAWS, chance / chance.sum())
    drawn = []
    for c, count, (middle, root, freedom, _) in zip(EXPONENTS, counts, fits, strict=True):
        scatter = np.sqrt(freedom / rng.chisquare(freedom, count))
        both = middle + (rng.standard_normal((count, 2)) @ root.T) * scatter[:, None]
        drawn.append(np.column_stack([both, np.full(count, c)]))
    top, gap, exponent = np.concatenate(drawn).T
    return top, gap, exponent


def _linear(z: Draws, y: Draws, weights: Draws, scale: float) -> tuple[Any, Any, float, float]:
    """Weighted least squares of y = top - gap z: (middle (2,), root of the covariance (2, 2), degrees of freedom,
    log evidence)."""
    design = np.column_stack([np.ones_like(z), -z]) * weights[:, None]
    inverse = np.linalg.pinv(design.T @ design)
    middle = inverse @ (design.T @ (y * weights))
    left = y * weights - design @ middle
    freedom = PRIOR + len(y) - 2
    total = PRIOR * scale**2 + float(left @ left)
    values, turn = np.linalg.eigh(inverse * total / freedom)
    root = turn * np.sqrt(np.maximum(values, 0.0))
    spread = float(np.log(np.maximum(np.linalg.eigvalsh(inverse), 1e-300)).sum())
    evidence = 0.5 * (spread - freedom * float(np.log(total)))
    return middle, root, freedom, evidence
