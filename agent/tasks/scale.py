"""Numbers on a scale: read, snapped to the scale's step, written, and compared.

Knows numbers alone; no text, no answer and no file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
DIGITS = 10
"""Of a grade behind the point: three steps of 0.1 are 0.3, and not 0.30000000000000004."""
SHARE_WITHIN = 0.1
"""Of a scale without a step: two numbers no further apart than that say the same."""
MOST_GRADES = 101
"""A scale with more is as one without a step to whoever lists its grades: 0 to 100 is one with few."""


@dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high`; with a `step` only every so many of them, which are its grades."""

    low: float
    high: float
    step: float | None = None

    @property
    def width(self) -> float:
        return self.high - self.low

    @property
    def tolerance(self) -> float:
        """How far apart two numbers may be that count as the same: half a step, or a tenth of the scale."""
        return SHARE_WITHIN * self.width if self.step is None else self.step / 2

    @property
    def grades(self) -> tuple[float, ...]:
        """All of them, lowest first, where they are few (see `MOST_GRADES`); else none."""
        if self.step is None:
            return ()
        count = round(self.width / self.step) + 1
        return tuple(self._grade(k) for k in range(count)) if count <= MOST_GRADES else ()

    def read(self, said: object) -> float:
        """A number, or words that are one, as a value of the scale. Raises ValueError."""
        words = "" if said is None else str(said).strip()
        if isinstance(said, bool) or not NUMBER.fullmatch(words):
            what = repr(words[:60]) if words and words != "nan" else "nothing"
            raise ValueError(f"a number from {self} was expected, not {what}")
        number = float(words)
        slack = 1e-9 * self.width  # what reckoning in binary may add
        if not self.low - slack <= number <= self.high + slack:
            raise ValueError(f"{words[:60]} is not on the scale, which goes from {self}")
        return self.snapped(number)

    def snapped(self, number: float) -> float:
        """The nearest value of the scale, the higher one of two that are as near."""
        inside = min(self.high, max(self.low, float(number)))
        if self.step is None:
            return inside + 0.0  # no -0
        return self._grade(math.floor((inside - self.low) / self.step + 0.5 + 1e-9))

    def _grade(self, k: int) -> float:
        assert self.step is not None
        return min(self.high, round(self.low + k * self.step, DIGITS) + 0.0)

    def __str__(self) -> str:
        """`1 to 5 in steps of 1`."""
        steps = "" if self.step is None else f" in steps of {written(self.step)}"
        return f"{written(self.low)} to {written(self.high)}{steps}"


def written(number: float) -> str:
    """A number without a point that says nothing: 4, 2.5. It reads back as the same number, also as JSON."""
    return repr(float(number) + 0.0).removesuffix(".0")


def within(a: Doubles, b: Doubles, scale: Scale) -> npt.NDArray[np.bool_]:
    """(n,) whether two numbers count as the same, see `Scale.tolerance`."""
    found: npt.NDArray[np.bool_] = np.abs(a - b) <= scale.tolerance * (1 + 1e-9)
    return found


def pearson(a: Doubles, b: Doubles) -> float:
    """Correlation, -1 to 1; NaN where one of them is the same everywhere, or there are less than two."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    x, y = a - a.mean(), b - b.mean()
    return float(np.clip((x @ y) / (np.linalg.norm(x) * np.linalg.norm(y)), -1, 1))


def spearman(a: Doubles, b: Doubles) -> float:
    """Correlation of ranks, ties sharing theirs; NaN as `pearson`."""
    from scipy.stats import rankdata  # a third of what every command would wait for before it begins

    return pearson(rankdata(a), rankdata(b))


def weighted_kappa(a: Doubles, b: Doubles) -> float:
    """Cohen's kappa with quadratic weights (1968), -1 to 1; NaN where all of both are one number.

    Expected squared differences of independent numbers need no table: they are both variances, and the square of the
    difference of the means. So this is Lin's concordance (1989) as well.
    """
    expected = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return float(1 - np.mean((a - b) ** 2) / expected) if expected > 0 else math.nan


def figures(gold: Sequence[float], said: Sequence[float], scale: Scale) -> dict[str, float]:
    """How near `said` is to `gold`; first the share `within` the tolerance, where more is better. `mae` and `rmse`
    are in units of the scale; `weighted_kappa` is there for a scale with a step. NaN without any."""
    names = ["within", "mae", "rmse", "pearson", "spearman", *(["weighted_kappa"] if scale.step is not None else [])]
    if not len(gold):
        return dict.fromkeys(names, math.nan)
    a, b = np.asarray(gold, np.float64), np.asarray(said, np.float64)
    found = [
        float(within(a, b, scale).mean()),
        float(np.abs(a - b).mean()),
        float(np.sqrt(np.mean((a - b) ** 2))),
        pearson(a, b),
        spearman(a, b),
        weighted_kappa(a, b),
    ]
    return dict(zip(names, found, strict=False))
