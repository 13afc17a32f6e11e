"""The student of tasks with a number a text: Bayesian linear regression on stored vectors.

Weights have a normal prior, whose penalty is where the evidence is greatest; the noise's variance is integrated out.
So what is said of a text is a t distribution (Bishop 2006, "Pattern Recognition and Machine Learning", 3.3 and 3.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.errors import ModelError
from agent.records import Floats, Prediction, Text
from agent.student.classify import ROWS_AT_ONCE, Vectors
from agent.student.head import one_thread
from agent.tasks.scale import Scale

Doubles = npt.NDArray[np.float64]
LOG_PENALTIES = (-6.0, 4.0)
"""Powers of ten between which a penalty is sought, in units of the vectors' mean square about their mean."""
GRID = 21
PRIOR_SPREAD = 0.25
"""Of the scale: before any label was seen, one text is taken to have been off by so much."""
FILE = "ridge.safetensors"


@dataclass(frozen=True)
class Expected:
    """(m,) float64 each of m texts: the `mean`, and the standard deviation `sd` that a label has about it, of a
    t distribution with `freedom` degrees."""

    mean: Doubles
    sd: Doubles
    freedom: float


class Ridge:
    """Linear regression with an intercept, which is not penalised.

    Args:
        prior: a standard deviation of the noise that counts as much as one label does; 0 for none.

    Attributes:
        penalty: of the squared weights, in units of the noise's variance.
        noise: the standard deviation of a label of weight one that the weights leave.
        coefficients, intercept: (d,) and a number.
        left_out: (n,) what each text last learnt from was expected to be by all the others, in their order; NaN for
            texts of no weight.
    """

    def __init__(self, prior: float = 0.0) -> None:
        self.prior = prior
        self.penalty, self.noise, self.intercept, self.freedom, self._total = 1.0, prior, 0.0, 1.0, 1.0
        self.coefficients: Doubles = np.zeros(0)
        self.left_out: Doubles = np.zeros(0)
        self._centre: Doubles = np.zeros(0)
        self._axes: Doubles = np.zeros((0, 0))
        self._precision: Doubles = np.zeros(0)

    def fit(self, vectors: Floats, targets: Floats, weights: Floats) -> None:
        """Learn from n texts, and forget what was learnt before.

        Args:
            vectors: (n, d), n at least one.
            targets: (n,) numbers.
            weights: (n,): a label of weight 0.5 has twice the noise's variance; one of weight zero is left out.

        Raises ValueError where no text has a weight, or a target is not finite.
        """
        kept = np.flatnonzero(weights > 0)
        if not len(kept):
            raise ValueError("nothing to learn from: no text has a weight above zero")
        x, y, w = (np.asarray(given, np.float64)[kept] for given in (vectors, targets, weights))
        if not np.isfinite(y).all():
            raise ValueError("a target is not finite")
        with one_thread():
            self._fit(x, y, w)
            self.left_out = np.full(len(weights), np.nan)
            self.left_out[kept] = self._without_each(x, y, w)

    def _fit(self, x: Doubles, y: Doubles, w: Doubles) -> None:
        self._total = float(w.sum())
        self._centre, middle = w @ x / self._total, float(w @ y / self._total)
        root = np.sqrt(w)
        left, sizes, self._axes = np.linalg.svd(root[:, None] * (x - self._centre), full_matrices=False)
        held = sizes > 1e-7 * max(float(sizes.max(initial=0.0)), 1e-12)  # of n centred texts one direction is none
        left, sizes, self._axes = left[:, held], sizes[held], self._axes[held]
        scaled = root * (y - middle)
        along = left.T @ scaled
        rest = max(0.0, float(scaled @ scaled - along @ along))
        self.freedom = max(1.0, len(y) - 1.0 + (self.prior > 0))
        self.penalty, squares = self._most_evident(sizes, along, rest, x.shape[1])
        self.noise = float(np.sqrt(squares / self.freedom))
        self._precision = sizes**2 + self.penalty
        self.coefficients = self._axes.T @ (sizes * along / self._precision)
        self.intercept = middle - float(self._centre @ self.coefficients)

    def _most_evident(self, sizes: Doubles, along: Doubles, rest: float, width: int) -> tuple[float, float]:
        """The penalty of the greatest evidence, and the sum of squares that it leaves (with the prior's)."""
        from scipy.optimize import minimize_scalar

        unit = float(sizes @ sizes) / max(1, width) or 1.0

        def squares(penalty: float) -> float:
            kept = along**2 * penalty / (sizes**2 + penalty)
            return float(kept.sum()) + rest + self.prior**2

        def loss(log10: float) -> float:
            penalty = unit * 10.0**log10
            folded = np.log1p(sizes**2 / penalty).sum()
            return float(folded + self.freedom * np.log(max(squares(penalty), 1e-300)))

        grid = np.linspace(*LOG_PENALTIES, GRID)
        best = float(grid[int(np.argmin([loss(g) for g in grid]))])
        reach = float(grid[1] - grid[0])
        found = minimize_scalar(loss, bounds=(best - reach, best + reach), method="bounded", options={"xatol": 1e-3})
        penalty = unit * 10.0 ** float(found.x)
        return penalty, squares(penalty)

    def _without_each(self, x: Doubles, y: Doubles, w: Doubles) -> Doubles:
        """Leave-one-out by the hat matrix (Allen 1974), the penalty staying what it is."""
        turned = (x - self._centre) @ self._axes.T
        pull = w * (1 / self._total + (turned**2 / self._precision).sum(axis=1))
        said = x @ self.coefficients + self.intercept
        found: Doubles = y - (y - said) / np.maximum(1 - pull, 1e-9)
        return found

    def predict(self, vectors: Floats) -> Expected:
        """What is expected of m texts, (m, d). Raises ModelError for vectors of another length."""
        if not len(self.coefficients):
            raise RuntimeError("nothing was learnt yet: fit it or load it first")
        if vectors.shape[1] != len(self.coefficients):
            said = f"it was taught on vectors of {len(self.coefficients)} numbers, these have {vectors.shape[1]}"
            raise ModelError(f"{said}; use the encoder it was taught with, or teach it anew")
        with one_thread():
            x = np.asarray(vectors, np.float64)
            centred = x - self._centre
            turned = centred @ self._axes.T
            outside = np.maximum(0.0, (centred**2).sum(axis=1) - (turned**2).sum(axis=1))
            known = (turned**2 / self._precision).sum(axis=1) + outside / self.penalty
            mean = x @ self.coefficients + self.intercept
        return Expected(mean, self.noise * np.sqrt(1 + 1 / self._total + known), self.freedom)

    def state(self) -> dict[str, Doubles]:
        """Everything that `predict` needs, as arrays."""
        numbers = [self.intercept, self.penalty, self.noise, self.freedom, self._total]
        return {
            "coefficients": self.coefficients,
            "centre": self._centre,
            "axes": np.ascontiguousarray(self._axes),
            "precision": self._precision,
            "numbers": np.array(numbers),
        }

    def restore(self, state: dict[str, Doubles]) -> None:
        """Take over what `state` gave."""
        self.coefficients, self._centre, self._axes = state["coefficients"], state["centre"], state["axes"]
        self._precision = state["precision"]
        self.intercept, self.penalty, self.noise, self.freedom, self._total = (float(v) for v in state["numbers"])


def doubt_in(values: Doubles, expected: Expected, scale: Scale) -> Floats:
    """(m,) float32: the probability that a text's number is further than the scale's tolerance from what is said.

    What is expected beyond an end of the scale is at that end.
    """
    from scipy.stats import t

    above, below = values + scale.tolerance, values - scale.tolerance
    to = np.where(above >= scale.high, np.inf, (above - expected.mean) / expected.sd)
    start = np.where(below <= scale.low, -np.inf, (below - expected.mean) / expected.sd)
    near = t.cdf(to, expected.freedom) - t.cdf(start, expected.freedom)
    doubt: Floats = np.clip(1 - near, 0, 1).astype(np.float32)
    return doubt


class RidgeStudent:
    """`agent.records.Student` for numbers on a scale; its targets are (n,) float32.

    Values are of the scale: what is expected, snapped to its step. Doubt is `doubt_in` them.
    """

    def __init__(self, scale: Scale, vectors: Vectors) -> None:
        self.scale, self.vectors = scale, vectors
        self.ridge = Ridge(PRIOR_SPREAD * scale.width)

    def fit(self, texts: Sequence[Text], targets: Any, weights: Floats, rng: np.random.Generator) -> None:
        """Learn from n texts. Nothing is drawn from `rng`."""
        self.ridge.fit(self.vectors(texts), targets, weights)

    def predict(self, texts: Sequence[Text]) -> Prediction:
        """Values and doubt; vectors are read a chunk at a time."""
        values: list[float] = []
        doubt = np.empty(len(texts), np.float32)
        for start in range(0, len(texts), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            expected = self.ridge.predict(self.vectors(texts[part]))
            said = [self.scale.snapped(mean) for mean in expected.mean.tolist()]
            doubt[part] = doubt_in(np.asarray(said), expected, self.scale)
            values += said
        return Prediction(values, doubt)

    def save(self, folder: str) -> None:
        """The regression; the encoder is the job's."""
        from safetensors.numpy import save_file

        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        save_file(self.ridge.state(), where / FILE)

    def load(self, folder: str) -> None:
        """Take over what `save` wrote. Raises ModelError."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = Path(folder) / FILE
        try:
            self.ridge.restore(load_file(path))
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ModelError(f"{path}: no regression can be read there ({error})") from None
