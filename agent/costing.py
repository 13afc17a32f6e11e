"""What asking about a whole pool costs, from what asking about a sample of it did cost: pure functions of numbers.

What a text costs has two parts that behave differently. Most of it hardly varies: the tokens of an answer that came.
The rest is rare and large: an attempt that may have been charged counts at its worst case, some ten times an answer.
A mean with a bell-shaped interval would be far too sure of the second part (with none seen among 50 texts it would
promise none at all), so each part has an interval of its own, and the two are put together (Donner and Zou 2012,
Statistical Methods in Medical Research 21: the limits of a sum from the limits of its parts).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from agent.tasks.intervals import wilson

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Spread:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Spread:
        """The same of so many; the factor is not below zero."""
        return Spread(self.value * factor, self.low * factor, self.high * factor)

    def rest(self) -> Spread:
        """What is left of the whole, where this is a share of it."""
        return Spread(1 - self.value, 1 - self.high, 1 - self.low)

    def over(self, other: Spread) -> Spread:
        """This divided by that, whichever of their limits meet."""
        return Spread(_ratio(self.value, other.value), _ratio(self.low, other.high), _ratio(self.high, other.low))


def mean_cost(plain: Sequence[float], unclear: Sequence[float], worst: float, population: int) -> Spread:
    """The mean cost of a text of the pool.

    Args:
        plain: (n,) what answers about each sampled text cost whose tokens are known.
        unclear: (n,) what else was charged for it, at the worst case: retries after a time-out and the like.
        worst: the worst case of one question, for the unclear part where none was seen.
        population: texts of the pool that the sample was drawn from, each at most once.

    All in one unit, and so is the result. Without any text (0, 0, infinite).
    """
    n = len(plain)
    if n == 0:
        return Spread(0.0, 0.0, math.inf)
    left = max(0.0, 1 - n / max(population, n))  # the share of the pool that is not known yet
    usual = _bell(np.asarray(plain, float), left, worst)
    rare = _rare(np.asarray(unclear, float), left, worst)
    value = usual.value + rare.value
    below = math.hypot(usual.value - usual.low, rare.value - rare.low)
    above = math.hypot(usual.high - usual.value, rare.high - rare.value)
    return Spread(value, max(0.0, value - below), value + above)


def share(hits: int, n: int) -> Spread:
    """A share with Wilson's interval; (0, 0, 1) without any observation."""
    return Spread(hits / n if n else 0.0, *wilson(hits, n, LEVEL))


def affordable(money: float, text: Spread, worst: float, population: int) -> Spread:
    """How many texts the money pays for, at most all of the pool.

    A question is asked only while its worst case fits, so that the last ones may not be asked although they would
    have cost less.
    """

    def at(cost: float) -> float:
        if money < worst:
            return 0.0
        return min(float(population), (money - worst) / cost + 1 if cost > 0 else math.inf)

    return Spread(at(text.value), at(text.high), at(text.low))


def _bell(costs: np.ndarray[tuple[int], np.dtype[np.float64]], left: float, worst: float) -> Spread:
    """Student's interval of a mean; one text alone says nothing of how texts differ."""
    mean = float(costs.mean())
    if left == 0:
        return Spread(mean, mean, mean)
    if len(costs) == 1:
        return Spread(mean, 0.0, max(mean, worst))
    error = float(costs.std(ddof=1)) * math.sqrt(left / len(costs))
    half = float(stdtrit(len(costs) - 1, 0.5 + LEVEL / 2)) * error
    return Spread(mean, max(0.0, mean - half), mean + half)


def _rare(costs: np.ndarray[tuple[int], np.dtype[np.float64]], left: float, worst: float) -> Spread:
    """The mean of what few texts cost: how many they are times what they cost, each with its own doubt."""
    hits = costs[costs > 0]
    mean = float(costs.mean())
    if left == 0:
        return Spread(mean, mean, mean)
    each = _bell(hits, left, worst) if len(hits) > 1 else Spread(worst, worst, worst)
    if len(hits) == 1:
        each = Spread(float(hits[0]), float(hits[0]), max(worst, float(hits[0])))
    size = len(costs) / left  # a sample of half the pool leaves half the doubt
    part = len(hits) / len(costs)
    low, high = wilson(size * part, size, LEVEL)
    below = math.hypot((part - low) * each.value, part * (each.value - each.low))
    above = math.hypot((high - part) * each.value, part * (each.high - each.value))
    return Spread(mean, max(0.0, mean - below), mean + above)


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else math.inf if a > 0 else 0.0
