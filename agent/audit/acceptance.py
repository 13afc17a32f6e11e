"""Is the share of errors below a limit? A sequential test: look after every item, it ends when it is sure.

Two tests run side by side, one that would show that errors are fewer than the limit, one that they are more. Each
weighs how likely the answers so far are if some other share of labels is wrong against how likely they are at the
limit: a likelihood ratio, averaged over such shares, which exceeds 1 / alpha with a chance of at most alpha whenever
one looks (Ville's inequality; Ramdas et al. 2023, "Game-theoretic statistics and safe anytime-valid inference").
Items are drawn without replacement, and the likelihoods are those of such draws (as in Waudby-Smith and Ramdas 2020),
so that a small population is done with sooner."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp

Doubles = npt.NDArray[np.float64]

BELOW, ABOVE = tuple(np.linspace(0.02, 0.98, 49)), tuple(np.geomspace(1.02, 20.0, 49))
"""Shares of errors that the limit is held against, as multiples of it."""
MOST_FURTHER = 20_000  # items that are looked ahead


class Verdict(enum.StrEnum):
    """What is shown so far."""

    ACCEPT = "accept"
    REJECT = "reject"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Where a sequential test is.

    Attributes:
        verdict: accept (fewer errors than the limit), reject (more), open.
        items: that it took; all so far where it is open.
        errors: among them.
        below: evidence that errors are fewer than the limit: surely so from 1 / alpha on.
        above: that they are more.
    """

    verdict: Verdict
    items: int
    errors: int
    below: float
    above: float


def acceptance(
    wrong: Sequence[bool] | npt.NDArray[np.bool_], population: int, limit: float, alpha: float = 0.05
) -> Acceptance:
    """Test whether fewer than `limit` of a population's labels are wrong.

    Args:
        wrong: (n,) whether each label is, in the order in which they were drawn at random.
        population: labels; n at most.
        limit: above 0, below 1.
        alpha: the chance to accept labels of which `limit` or more are wrong, and that to reject labels of which
            `limit` or fewer are, both at most, however often one looks.

    Raises ValueError where an argument is out of range.
    """
    if not 0 < limit < 1 or not 0 < alpha < 1:
        raise ValueError("limit and alpha must be above 0 and below 1")
    seen = np.asarray(wrong, np.bool_)
    if len(seen) > population:
        raise ValueError(f"{len(seen)} items of {population} labels")
    counts = np.arange(1, len(seen) + 1)
    errors = np.cumsum(seen, dtype=np.int64)
    least, most = math.ceil(limit * population), math.floor(limit * population)
    below = _evidence(errors, counts, population, least, [m * limit for m in BELOW])
    above = _evidence(errors, counts, population, most, [m * limit for m in ABOVE if m * limit < 1])
    bar = math.log(1 / alpha)
    ends = np.flatnonzero((below >= bar) | (above >= bar))
    last = int(ends[0]) if len(ends) else len(seen) - 1
    if last < 0:
        return Acceptance(Verdict.OPEN, 0, 0, 1.0, 1.0)
    verdict = Verdict.OPEN
    if len(ends):
        verdict = Verdict.ACCEPT if below[last] >= bar else Verdict.REJECT
    return Acceptance(verdict, last + 1, int(errors[last]), _exp(below[last]), _exp(above[last]))


def needed(
    wrong: Sequence[bool] | npt.NDArray[np.bool_], population: int, limit: float, alpha: float = 0.05
) -> int | None:
    """How many items it takes in all to accept the labels, where all that come after those of `wrong` are right.

    None where that cannot be shown any more. Arguments as for `acceptance`.
    """
    seen = np.asarray(wrong, np.bool_)
    further = min(population, len(seen) + MOST_FURTHER) - len(seen)
    found = acceptance(np.concatenate([seen, np.zeros(further, np.bool_)]), population, limit, alpha)
    return found.items if found.verdict is Verdict.ACCEPT else None


def at_most(wrong: Sequence[bool] | npt.NDArray[np.bool_], population: int, alpha: float = 0.05) -> float:
    """The share of a population's labels that are wrong, at most: what is above it would be accepted as a limit.

    It holds with a chance of 1 - `alpha` or more, however often one looks. Arguments as for `acceptance`.
    """
    low, high = 0, population  # so many errors are not ruled out, and these or more are, or are all there can be
    while high - low > 1:
        middle = (low + high) // 2
        found = acceptance(wrong, population, (middle - 0.5) / population, alpha)
        low, high = (low, middle) if found.verdict is Verdict.ACCEPT else (middle, high)
    ruled_out = high < population or not population
    return (high - 1 if ruled_out else population) / max(population, 1)


def _exp(log: float) -> float:
    return math.exp(min(700.0, float(log)))


def _evidence(
    errors: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], population: int, at: int, shares: Sequence[float]
) -> Doubles:
    """(n,) logarithm of the likelihood ratio after each item: of the answers under `shares` of errors, averaged,
    against those under `at` errors in the population."""
    held = np.unique([min(population, max(0, round(s * population))) for s in shares])
    if len(held):  # above a limit of nearly all there may be none
        held = held[(held < at) if shares[0] * population < at else (held > at)]
    if not len(held) or not len(errors):
        return np.full(len(errors), -np.inf)
    others = np.array([_likelihood(errors, counts, population, int(m)) for m in held])
    own = _likelihood(errors, counts, population, at)
    with np.errstate(invalid="ignore"):
        ratio = logsumexp(others, axis=0) - math.log(len(held)) - own
    # with `at` errors it cannot have come to this: one side is shown once and for all, and the other one refuted
    more, fewer = errors > at, counts - errors > population - at
    shown, refuted = (more, fewer) if held[0] > at else (fewer, more)
    return np.asarray(np.where(shown, np.inf, np.where(refuted, -np.inf, ratio)), np.float64)


def _likelihood(errors: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], population: int, bad: int) -> Doubles:
    """(n,) logarithm of the chance of such a sequence of draws where `bad` of the labels are wrong."""
    good = population - bad
    possible = (errors <= bad) & (counts - errors <= good)
    e, g = np.minimum(errors, bad), np.minimum(counts - errors, good)
    found = _falling(bad, e) + _falling(good, g) - _falling(population, counts)
    return np.where(possible, found, -np.inf)


def _falling(n: int, k: npt.NDArray[np.int64]) -> Doubles:
    """Logarithm of n (n - 1) ... (n - k + 1)."""
    return np.asarray(gammaln(n + 1) - gammaln(n - k + 1), np.float64)
