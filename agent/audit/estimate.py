"""The share of labels that is right, from a sample of known chances: Horvitz and Thompson's estimate, stratum by
stratum, narrowed by what was foretold of the labels that nobody looked at.

Small shares of errors are what audits are about, and there a normal interval fails: with four errors among 400 items
it misses the truth far more often than it says. So the estimate is turned into the sample of equal chances that would
be as sure (its effective size), and the interval is that of a share: Jeffreys's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from agent.tasks.intervals import jeffreys

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

DRAWN = 1.0
"""Items that a stratum's foretold share of errors counts for beside what was seen in it."""
FORETOLD = 0.75
"""How far a stratum's share of errors is foretold, the rest of it is that of all strata."""
LEAST = 0.05
"""What narrowing leaves of the variance at least: of it less would only be chance."""
ENOUGH = 50
"""Items before anything is narrowed: how far what was foretold can be relied on is learnt from the same items."""
MOST = 10_000_000


@dataclass(frozen=True, eq=False)
class Sampled:
    """The items of an audit that people judged.

    Attributes:
        right: (n,) how right each label is, 0 to 1.
        strata: (n,) of each item, 0 to H - 1. Every stratum has an item.
        sizes: (H,) labels of each stratum in the population.
        foretold: (n,) the chance to be right that was foretold of each item, before anybody looked.
        expected: (H,) the mean of that over all labels of each stratum.
    """

    right: Doubles
    strata: Indices
    sizes: Indices
    foretold: Doubles
    expected: Doubles


@dataclass(frozen=True, slots=True)
class Estimated:
    """A share of labels that is right, and how sure that is.

    Attributes:
        value, low, high: the share and its interval.
        items: people judged.
        effective: items of a plain random sample that would be as sure.
        reliance: how far what was foretold was relied on, 0 (not at all) to 1.
        level: of the two-sided interval.
    """

    value: float
    low: float
    high: float
    items: int
    effective: float
    reliance: float = 0.0
    level: float = 0.95

    @property
    def estimator(self) -> str:
        """Its name, as the field has it."""
        return (
            "prediction-powered stratified Horvitz-Thompson" if self.reliance > 0 else "stratified Horvitz-Thompson"
        )


def estimate(sampled: Sampled, *, powered: Literal["auto", True, False] = "auto", level: float = 0.95) -> Estimated:
    """The share of the population's labels that is right.

    The estimate is the mean over strata of what was seen, each by its size. Prediction-powered (Angelopoulos et al.
    2023, "PPI++", with power tuning; within strata the difference estimator of Cochran 1977, ch. 7), it adds how far
    the items' foretold chances differ from their strata's, as far as that explains what was seen.

    Args:
        powered: "auto" narrows once 50 items are judged.

    Raises ValueError where a stratum has no item.
    """
    y, f, h = (np.asarray(x) for x in (sampled.right, sampled.foretold, sampled.strata))
    sizes, expected = np.asarray(sampled.sizes, np.float64), np.asarray(sampled.expected, np.float64)
    n = np.bincount(h, minlength=len(sizes)).astype(np.float64)
    if not len(sizes) or (n == 0).any():
        raise ValueError("every stratum needs an item that was judged")
    share = sizes / sizes.sum()
    seen = np.bincount(h, y, len(sizes)) / n
    value = float((share * seen).sum())
    unseen = share**2 * (1 - n / sizes) / n  # what a stratum's variance counts for
    variance = float((unseen * _spread(value, seen, n, share, expected)).sum())
    reliance = 0.0
    if powered is True or (powered == "auto" and len(y) >= ENOUGH):
        off, rest = f - (np.bincount(h, f, len(sizes)) / n)[h], y - seen[h]
        free = np.maximum(n - 1, 1)
        both = float((unseen * np.bincount(h, off * rest, len(sizes)) / free).sum())
        own = float((unseen * np.bincount(h, off * off, len(sizes)) / free).sum())
        reliance = min(1.0, max(0.0, both / own)) if own > 0 else 0.0
        value += reliance * float((share * (expected - np.bincount(h, f, len(sizes)) / n)).sum())
        variance = max(LEAST * variance, variance - 2 * reliance * both + reliance**2 * own)
    value = min(1.0, max(0.0, value))
    if variance <= 0:  # every label was looked at
        return Estimated(value, value, value, len(y), float("inf"), reliance, level)
    drawn = (value * len(y) + 0.5) / (len(y) + 1)
    effective = min(float(MOST), drawn * (1 - drawn) / variance)
    low, high = jeffreys(value * effective, effective, level)
    return Estimated(value, low, high, len(y), effective, reliance, level)


def _spread(value: float, seen: Doubles, n: Doubles, share: Doubles, expected: Doubles) -> Doubles:
    """(H,) variance of right and wrong in each stratum.

    What was seen in a stratum is drawn towards what is to be expected there: that ten items have no error does not
    say that there is none. What is foretold is taken for its order only: its level is that of the sample.
    """
    items = n.sum()
    wrong = 1 - (value * items + 0.5) / (items + 1)
    foretold = 1 - expected
    usual = float((share * foretold).sum())
    own = wrong * foretold / usual if usual > 0 else np.full(len(n), wrong)
    own = np.clip(FORETOLD * own + (1 - FORETOLD) * wrong, 1e-6, 0.9)
    part = n / items  # half an error in all, as in Jeffreys's prior, dealt out with the items
    errors = n * (1 - seen) + part * 0.5 * own / wrong + DRAWN * own
    drawn = errors / (n + part * (0.5 + 0.5 * own / wrong) + DRAWN)
    return np.asarray(drawn * (1 - drawn), np.float64)


def more_for(margin: float, found: Estimated, population: int) -> int | None:
    """How many more items, drawn alike, bring the interval to `margin` to either side; 0 where it is there.

    None where not even all labels of the population would, by the same arithmetic.
    """
    if (found.high - found.low) / 2 <= margin or not math.isfinite(found.effective):
        return 0
    low, high = 1.0, 2.0
    while _half(found, high) > margin:
        low, high = high, 2 * high
        if found.items * high > 1000 * population:
            return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _half(found, middle) > margin else (low, middle)
    # times as many of a boundless population; of this one fewer do
    items = found.items / (1 - found.items / population) * high if found.items < population else population
    return max(1, min(population, math.ceil(items / (1 + items / population))) - found.items)


def _half(found: Estimated, times: float) -> float:
    low, high = jeffreys(found.value * found.effective * times, found.effective * times, found.level)
    return (high - low) / 2
