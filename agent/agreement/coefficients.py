"""Cohen's and Fleiss's kappa and Krippendorff's alpha, overall and of each label against the rest, with intervals.

All three have one form: 1 - observed / expected disagreement, and both disagreements are sums over the labels. So a
label by itself is one term of each sum, which is what the coefficient is when the other labels become one.

Intervals hold 95 % of bootstrap resamples of the units (Efron and Tibshirani 1993, ch. 13). Units with the same
ratings are one pattern, and a resample is how often each pattern comes, so 100,000 units take a second or two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Ratings = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
# sums over units, one row a resample, to observed and expected disagreement by label: (B, m) to two of (B, C)
Disagreements = Callable[[Doubles], tuple[Doubles, Doubles]]

RESAMPLES = 500
AT_ONCE = 2**22  # weights of patterns held at once: 32 MB
FEW = 8  # units a pattern from which on counting patterns is quicker than drawing units


@dataclass(frozen=True, slots=True)
class Figure:
    """A coefficient, -1 to 1, with its 95 % interval. NaN where it is 0/0: all gave the same label to everything, so
    that chance alone explains the agreement."""

    value: float
    lo: float = math.nan
    hi: float = math.nan


@dataclass(frozen=True, slots=True)
class Coefficient:
    """Of all labels together, and of each against the rest, in the order of the classes. It rests on `units`."""

    overall: Figure
    labels: tuple[Figure, ...]
    units: int


def cohen(
    a: Ratings, b: Ratings, classes: int, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Coefficient | None:
    """Cohen's kappa (1960) of two raters; None where no unit was rated by both.

    Args:
        a: (n,) class of each unit by the one, -1 where missing.
        b: (n,) by the other.
        classes: how many there are.
        rng: draws the resamples.
        resamples: how many; with 0 the interval is NaN.
    """
    _check(np.stack([a, b], axis=1), classes)
    both = (a >= 0) & (b >= 0)
    if not both.any():
        return None
    cells, counts = np.unique(a[both] * classes + b[both], return_counts=True)
    left, right = np.divmod(cells, classes)
    same = np.where(left == right, left, -1)
    columns = sparse.hstack([_indicator(x, classes) for x in (left, right, same)], format="csr")

    def disagreements(sums: Doubles) -> tuple[Doubles, Doubles]:
        rows, cols, diagonal = np.split(sums / sums[:, :classes].sum(axis=1, keepdims=True), 3, axis=1)
        return rows + cols - 2 * diagonal, rows * (1 - cols) + cols * (1 - rows)

    patterns = _Patterns(counts, None)
    return _coefficients(patterns, columns, [disagreements], rng, resamples)[0]


def fleiss_and_krippendorff(
    table: Ratings, classes: int, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[Coefficient, Coefficient] | None:
    """Fleiss's kappa (1971) and Krippendorff's nominal alpha (2004); None where no unit was rated twice.

    Both use the units with at least two ratings. Where units have unequally many, Fleiss's kappa counts each unit
    once, whoever rated it: its observed agreement is that of its own pairs of ratings, its share of a label among all
    is that of its own ratings (Gwet 2014, "Handbook of Inter-Rater Reliability", ch. 2). Krippendorff's alpha counts
    each rating once, and corrects for small samples.

    Args:
        table: (n, raters) class of each unit, -1 where missing.
        classes: how many there are.
        rng: draws the resamples, the same for both.
        resamples: how many; with 0 the intervals are NaN.
    """
    _check(table, classes)
    usable = table[(table >= 0).sum(axis=1) >= 2]
    if not len(usable):
        return None
    patterns, counted = _distinct(usable, classes)
    size = np.asarray(counted.sum(axis=1), np.float64).reshape(-1, 1)
    split = counted.multiply(size) - counted.multiply(counted)  # n_ic (n_i - n_ic)
    parts = (counted / size, split / (size * (size - 1)), counted, split / (size - 1))
    columns = sparse.hstack([sparse.csr_array(part) for part in parts], format="csr")

    def fleiss(sums: Doubles) -> tuple[Doubles, Doubles]:
        share, apart = sums[:, :classes], sums[:, classes : 2 * classes]
        units = share.sum(axis=1, keepdims=True)  # the shares of a unit add up to one
        return apart / units, share / units * (1 - share / units)

    def krippendorff(sums: Doubles) -> tuple[Doubles, Doubles]:
        given, apart = sums[:, 2 * classes : 3 * classes], sums[:, 3 * classes :]
        ratings = given.sum(axis=1, keepdims=True)
        return apart, given * (ratings - given) / (ratings - 1)

    kappa, alpha = _coefficients(patterns, columns, [fleiss, krippendorff], rng, resamples)
    return kappa, alpha


def agreed(a: Ratings, b: Ratings) -> tuple[int, int]:
    """How many units two raters gave the same class, of how many both rated; both are (n,), -1 where missing."""
    both = (a >= 0) & (b >= 0)
    return int((a[both] == b[both]).sum()), int(both.sum())


# Resamples ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Patterns:
    """How many units have each pattern of ratings, and which one each unit has (None: not needed, they are few)."""

    counts: Ratings
    of_unit: Ratings | None

    @property
    def units(self) -> int:
        return int(self.counts.sum())

    def resampled(self, rng: np.random.Generator, resamples: int) -> Iterator[Doubles]:
        """(b, K) blocks of how often each pattern comes in a resample of the units."""
        block = max(1, AT_ONCE // len(self.counts))
        for size in (min(block, resamples - done) for done in range(0, resamples, block)):
            if self.of_unit is None or FEW * len(self.counts) <= self.units:
                yield rng.multinomial(self.units, self.counts / self.units, size).astype(np.float64)
                continue
            out = np.empty((size, len(self.counts)))
            for row in out:
                drawn = self.of_unit[rng.integers(0, self.units, self.units)]
                row[:] = np.bincount(drawn, minlength=len(self.counts))
            yield out


def _coefficients(
    patterns: _Patterns,
    columns: sparse.csr_array,
    kinds: list[Disagreements],
    rng: np.random.Generator,
    resamples: int,
) -> list[Coefficient]:
    sums = np.asarray(patterns.counts @ columns, np.float64)[None, :]
    drawn = [np.asarray(weights @ columns) for weights in patterns.resampled(rng, resamples)]
    again = np.concatenate(drawn) if drawn else np.empty((0, columns.shape[1]))
    found = []
    for kind in kinds:
        overall, labels = _values(*kind(sums))
        overalls, each = _values(*kind(again)) if len(again) else (np.empty(0), np.empty((0, labels.shape[1])))
        figures = tuple(_figure(float(v), each[:, c]) for c, v in enumerate(labels[0].tolist()))
        found.append(Coefficient(_figure(float(overall[0]), overalls), figures, patterns.units))
    return found


def _values(observed: Doubles, expected: Doubles) -> tuple[Doubles, Doubles]:
    """1 - observed / expected: (B,) of all labels together, (B, C) of each; NaN where none is expected."""
    both = [np.hstack([part.sum(axis=1, keepdims=True), part]) for part in (observed, expected)]
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(both[1] > 1e-12, 1 - both[0] / both[1], np.nan)
    return values[:, 0], values[:, 1:]


def _figure(value: float, again: Doubles) -> Figure:
    told = again[np.isfinite(again)]
    if math.isnan(value) or not len(told):
        return Figure(value)
    lo, hi = np.quantile(told, [0.025, 0.975])
    return Figure(value, float(lo), float(hi))


def _distinct(table: Ratings, classes: int) -> tuple[_Patterns, sparse.csr_array]:
    """The patterns of a table, whatever rater gave which class, and how often each class comes in each: (K, C)."""
    inverse = np.zeros(len(table), np.int64)
    for column in np.sort(table, axis=1).T:  # one rater after the other: few new patterns each time, and no overflow
        inverse = np.unique(inverse * (classes + 1) + column + 1, return_inverse=True)[1]
    first, counts = np.unique(inverse, return_index=True, return_counts=True)[1:]
    rows, places = np.nonzero(table[first] >= 0)
    given = table[first][rows, places]
    shape = (len(first), classes)
    counted = sparse.coo_array((np.ones(len(rows)), (rows, given)), shape=shape).tocsr()
    return _Patterns(counts.astype(np.int64), inverse), counted


def _indicator(classes_of: Ratings, classes: int) -> sparse.csr_array:
    """(K, C): 1 at the class of each pattern, nothing where it is -1."""
    rows = np.flatnonzero(classes_of >= 0)
    return sparse.csr_array((np.ones(len(rows)), (rows, classes_of[rows])), shape=(len(classes_of), classes))


def _check(table: Ratings, classes: int) -> None:
    if table.ndim != 2 or not np.issubdtype(table.dtype, np.integer):
        raise ValueError(f"a table of units and raters holds whole numbers; got {table.dtype} of shape {table.shape}")
    if table.size and not (table.min() >= -1 and table.max() < classes):
        raise ValueError(f"classes are 0 to {classes - 1}, and -1 where missing")
