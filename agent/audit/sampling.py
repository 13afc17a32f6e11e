"""Which labels an audit looks at: strata by how doubtful labels are, and a random sample of known chances from each.

Errors gather where labels are doubted, so that a stratum of doubtful labels, looked at more closely than the others,
makes the same number of items tell more. The interval is right whatever the doubt is worth: only its width depends
on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

CUTS = (0.1, 0.3, 0.6)
"""Shares of the population, the most doubted first, at which strata end."""
FEWEST = 10
"""Items of every stratum, where it has so many: what is sure in theory is looked at, too."""
LEAST_ERROR = 0.02
"""Share of errors that a stratum is never expected to be below when items are dealt out."""


@dataclass(frozen=True, eq=False)
class Draw:
    """What an audit looks at.

    Attributes:
        items: (n,) places in the population, in the order in which they are shown, which is random.
        strata: (n,) of each.
        chances: (n,) of each to be drawn, above 0, at most 1.
        sizes: (H,) of the strata in the population.
        expected: (H,) mean chance to be right of each stratum's labels, as foretold.
    """

    items: Indices
    strata: Indices
    chances: Doubles
    sizes: Indices
    expected: Doubles


def bands(right: Doubles, cuts: Sequence[float] = CUTS) -> Indices:
    """(N,) the stratum of each label, 0 the most doubted, by its foretold chance to be right.

    Equal chances are never parted, so that there may be fewer strata than cuts allow; they are numbered without gaps.
    """
    if not len(right):
        return np.empty(0, np.int64)
    edges = np.unique(np.quantile(right, cuts))
    found = np.searchsorted(edges, right, side="left")
    return np.asarray(np.unique(found, return_inverse=True)[1], np.int64)


def allocate(size: int, sizes: Indices, expected: Doubles) -> Indices:
    """(H,) items of each stratum: `size` together, or all there are.

    By a stratum's size times the spread of right and wrong in it (Neyman 1934), ten at least, none above its size.

    Args:
        sizes: (H,) labels of each stratum.
        expected: (H,) mean chance to be right in each, as foretold.
    """
    sizes, size = np.asarray(sizes, np.int64), int(min(size, sizes.sum()))
    wrong = np.clip(1 - np.asarray(expected, np.float64), LEAST_ERROR, 0.5)
    wanted = sizes * np.sqrt(wrong * (1 - wrong))
    dealt = np.minimum(sizes, min(FEWEST, size // max(1, len(sizes))))
    while (left := size - int(dealt.sum())) > 0:
        room = sizes - dealt
        share = np.where(room > 0, wanted, 0)
        more = np.minimum(np.floor(left * share / share.sum()).astype(np.int64), room)
        if not more.any():  # what is left goes to where a share of it is largest
            most = np.argsort(-np.where(room > 0, wanted / (dealt + 1), -1), kind="stable")[:left]
            more = np.zeros_like(dealt)
            more[most] = np.minimum(1, room[most])
        dealt = dealt + more
    return dealt


def draw(size: int, right: Doubles, strata: Indices, rng: np.random.Generator) -> Draw:
    """A stratified random sample without replacement, in random order.

    Args:
        size: items; all of the population where it has no more.
        right: (N,) foretold chance of each label to be right.
        strata: (N,) of each; all 0 for a plain random sample.
    """
    count = int(strata.max()) + 1 if len(strata) else 0
    sizes = np.bincount(strata, minlength=count).astype(np.int64)
    expected = np.bincount(strata, right, count) / np.maximum(sizes, 1)
    dealt = allocate(size, sizes, expected)
    parts = [
        np.sort(rng.choice(np.flatnonzero(strata == h), dealt[h], replace=False, shuffle=False)) for h in range(count)
    ]
    items = np.concatenate([np.empty(0, np.int64), *parts])
    items = items[rng.permutation(len(items))]
    own = strata[items]
    return Draw(items, own, (dealt / np.maximum(sizes, 1))[own], sizes, expected)


def size_for(margin: float, sizes: Indices, expected: Doubles, level: float = 0.95) -> int:
    """The fewest items with which an interval is expected to reach `margin` to either side, by what is foretold.

    All, where no smaller number does.
    """
    total = int(np.sum(sizes))
    low, high = 1, total
    while low < high:
        middle = (low + high) // 2
        if _margin(middle, sizes, expected, level) <= margin:
            high = middle
        else:
            low = middle + 1
    return high


def _margin(size: int, sizes: Indices, expected: Doubles, level: float) -> float:
    dealt = np.maximum(allocate(size, sizes, expected), 1)
    wrong = np.clip(1 - np.asarray(expected, np.float64), LEAST_ERROR / 2, 0.5)
    share = sizes / np.sum(sizes)
    variance = (share**2 * (1 - dealt / sizes) * wrong * (1 - wrong) / dealt).sum()
    return float(ndtri(0.5 + level / 2)) * math.sqrt(max(0.0, float(variance)))
