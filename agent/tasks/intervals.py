"""Small-sample intervals for shares and differences: how far a figure can be trusted.

Pure functions of numbers at the lowest layer, so that triage, distillation and the report share one arithmetic.
Knows no task, no label and no file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtri

Figures = Sequence[float] | npt.NDArray[np.floating] | npt.NDArray[np.bool_]

RESAMPLED_AT_ONCE = 2**22  # figures held at once by the bootstrap: 32 MB


def wilson(k: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a share: `k` hits among `n` (Wilson 1927, JASA 22).

    `k` and `n` may be fractional (an effective sample size). Without any observation it is (0, 1).
    """
    if n <= 0:
        return 0.0, 1.0
    z = float(ndtri(0.5 + level / 2))
    share = k / n
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if k <= 0 else max(0.0, middle - half)
    high = 1.0 if k >= n else min(1.0, middle + half)
    return low, high


def jeffreys(hits: float, size: float, level: float = 0.95) -> tuple[float, float]:
    """Jeffreys's interval of a share: `hits` among `size`, which may be fractional (Brown, Cai and DasGupta 2001,
    "Interval estimation for a binomial proportion")."""
    tail, a, b = (1 - level) / 2, hits + 0.5, size - hits + 0.5
    low = 0.0 if hits <= 0 else float(betaincinv(a, b, tail))
    high = 1.0 if hits >= size else float(betaincinv(a, b, 1 - tail))
    return low, high


def clopper_pearson_upper(k: int, n: int, level: float = 0.95) -> float:
    """The exact one-sided upper bound of a share, `k` hits among `n` (Clopper and Pearson 1934, Biometrika 26).

    The true share is above it in at most `1 - level` of samples, whatever it is. 1.0 where every one was a hit.
    """
    return 1.0 if k >= n else float(betaincinv(k + 1, n - k, level))


def horvitz_thompson_mean(values: Figures, probabilities: Figures, level: float = 0.95) -> tuple[float, float, float]:
    """The mean of a population from items that were sampled with unequal, known chances.

    Each item stands for `1 / probability` items of the population (Horvitz and Thompson 1952); the size of the
    population is estimated by the same weights (Hájek 1971), so that the mean stays within 0 to 1. The interval is
    Wilson's at the effective sample size: the smaller of what the spread of the weights allows (Kish 1965, with
    items that were certain to be sampled adding no doubt) and what the observed variance says. The second alone
    would be far too sure where the heavy items happen to agree.

    Args:
        values: (n,) figures of 0 to 1, such as right or wrong.
        probabilities: (n,) chance of inclusion of each, above 0 and at most 1.
        level: of the two-sided interval.

    Returns:
        Mean, lower and upper bound; (nan, 0, 1) for an empty sample.

    Raises:
        ValueError: lengths differ, or a number is out of range.
    """
    y, p = np.asarray(values, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    if y.shape != p.shape or y.ndim != 1:
        raise ValueError(f"one probability for each value is needed, got {p.shape} for {y.shape}")
    if not (np.all((p > 0) & (p <= 1)) and np.all((y >= 0) & (y <= 1))):
        raise ValueError("probabilities must be above 0 and at most 1, values from 0 to 1")
    if not len(y):
        return math.nan, 0.0, 1.0
    weights = 1 / p
    mean = float(np.average(y, weights=weights))
    unsure = (1 - p) * weights**2  # what an item adds to the variance of a total (Poisson sampling)
    if not unsure.any():
        return mean, mean, mean  # everybody was asked: nothing was estimated
    size = weights.sum() ** 2 / unsure.sum()
    variance = float((unsure * (y - mean) ** 2).sum() / weights.sum() ** 2)
    if variance > 0:
        size = min(size, mean * (1 - mean) / variance)
    return mean, *wilson(mean * size, size, level)


def paired_difference(
    a: Figures, b: Figures, rng: np.random.Generator, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float, float]:
    """Mean of `a - b` over the same items, with a percentile bootstrap interval (Efron and Tibshirani 1993, ch. 13).

    Args:
        a: (n,) one system's figure for each item.
        b: (n,) the other's, item by item.
        rng: draws the resamples.
        level: of the two-sided interval.
        resamples: how many.

    Returns:
        Difference, lower and upper bound; (nan, nan, nan) without items.

    Raises:
        ValueError: lengths differ.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"both need a figure for each item, got {first.shape} and {second.shape}")
    n = len(first)
    if not n:
        return math.nan, math.nan, math.nan
    gaps = first - second
    block = max(1, RESAMPLED_AT_ONCE // n)
    blocks = [min(block, resamples - done) for done in range(0, resamples, block)]
    means = np.concatenate([gaps[rng.integers(0, n, (size, n))].mean(axis=1) for size in blocks])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(gaps.mean()), float(low), float(high)
