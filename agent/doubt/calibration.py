"""From a confidence as an oracle gave it to the share of such answers that people call right.

Numbers in, numbers out: knows no answer, no task and no store. What people said of earlier answers comes in as
`Judged`; three ways of learning from it are tried on each other's left-out answers, and the best one is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_softmax, logit

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
Confidences = Sequence[float | None] | npt.NDArray[np.floating]
Truths = Sequence[bool] | npt.NDArray[np.bool_]
Kind = Literal["uncalibrated", "temperature", "vector", "isotonic"]

ENOUGH = 20  # people's labels before anything is fitted,
ENOUGH_FOR_VECTOR = 60  # before each class gets an offset of its own,
ENOUGH_FOR_ISOTONIC = 500  # and before a curve of any rising shape is
TEMPERATURES = (0.2, 20.0)
SURE = 1e-6  # confidences are kept this far from 0 and 1: a token's probability rounds to 1, its logit does not exist
SPREAD_OF_OFFSETS = 1.0
"""Standard deviation of a class's offset, in nats, before people are heard. A model that takes half of all texts for
one class of two has offsets of about one."""
FOLDS = 5
CLEARLY = 1.0
"""Standard errors by which a way with more freedom has to be better than the temperature alone."""


@dataclass(frozen=True)
class Given:
    """n answers of an oracle as it gave them.

    Attributes:
        confidences: (n,) of the value given, 0 to 1; NaN where there was none.
        probabilities: (n, C) of every class; a row of NaN where there were none. None for tasks without classes.
        said: (n,) int64, the class given, -1 where the value is none of them.
    """

    confidences: Doubles
    probabilities: Doubles | None = None
    said: Indices | None = None

    @classmethod
    def of(cls, confidences: Confidences) -> Given:
        """Confidences alone; None counts as NaN."""
        return cls(np.asarray(confidences, dtype=np.float64))

    def __len__(self) -> int:
        return len(self.confidences)

    def part(self, rows: Indices | Bools) -> Given:
        """The answers at `rows`."""
        if self.probabilities is None or self.said is None:
            return Given(self.confidences[rows])
        return Given(self.confidences[rows], self.probabilities[rows], self.said[rows])

    @property
    def has_classes(self) -> Bools:
        """(n,) whether an answer has the probabilities of all classes, its own among them."""
        if self.probabilities is None or self.said is None:
            return np.zeros(len(self), np.bool_)
        return np.isfinite(self.probabilities).all(axis=1) & (self.said >= 0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Turns confidences as given into the share of such answers that people call right.

    Attributes:
        kind: how: `temperature`, one number by which log odds are divided (Platt 1999 without the offset; Guo et al.
            2017); `vector`, the same for the log probabilities of all classes, plus an offset for each class (Guo et
            al. 2017, with one temperature), which takes out a preference for some classes; `isotonic`, the rising
            curve that fits best (Zadrozny and Elkan 2002); `uncalibrated`, nothing is changed.
        temperature: within 0.2 to 20; 1 changes nothing, above 1 the oracle was too sure of itself.
        labels: how many people's labels it rests on.
        offsets: of each class, in nats, for `vector`.
        curve: (confidence, share right), both rising, for `isotonic`.
    """

    temperature: float = 1.0
    labels: int = 0
    kind: Kind = "uncalibrated"
    offsets: tuple[float, ...] = ()
    curve: tuple[tuple[float, float], ...] = field(default=(), repr=False)

    @classmethod
    def fit(cls, given: Given | Confidences, correct: Truths, truth: Indices | None = None) -> Calibration:
        """The way that foretells best what people say of answers that it was not fitted on.

        With fewer than 20 answers that have a confidence nothing is changed. `vector` and `isotonic` are tried where
        there are enough answers for them, in five folds, and taken where their log loss is lower than that of the
        temperature by more than its standard error.

        Args:
            given: n answers; those without a confidence are left out.
            correct: (n,) whether a person agreed.
            truth: (n,) int64 the class that people named, -1 for none; without it there is no `vector`.

        Raises ValueError where lengths differ.
        """
        given = given if isinstance(given, Given) else Given.of(given)
        right = np.asarray(correct, dtype=np.bool_)
        if right.shape != given.confidences.shape or right.ndim != 1:
            raise ValueError(
                f"one verdict for each confidence is needed, got {right.shape} for {given.confidences.shape}"
            )
        known = ~np.isnan(given.confidences)
        named = np.full(len(right), -1) if truth is None else np.asarray(truth, dtype=np.int64)
        given, right, named = given.part(known), right[known], named[known]
        if len(right) < ENOUGH:
            return cls(1.0, len(right))
        ways: list[Kind] = ["temperature"]
        if len(right) >= ENOUGH_FOR_VECTOR and (given.has_classes & (named >= 0)).all():
            ways.append("vector")
        if len(right) >= ENOUGH_FOR_ISOTONIC:
            ways.append("isotonic")
        return WAYS[_best(ways, given, right, named)](given, right, named)

    def apply(self, given: Given | Confidences) -> Doubles:
        """(n,) calibrated confidences; NaN where none was given. All but `vector` keep their order."""
        given = given if isinstance(given, Given) else Given.of(given)
        if self.kind == "uncalibrated":
            return given.confidences
        if self.kind == "isotonic":
            xs, ys = zip(*self.curve, strict=True)
            found = np.interp(given.confidences, xs, ys)
            return np.asarray(np.where(np.isnan(given.confidences), np.nan, found), dtype=np.float64)
        alone = np.asarray(expit(odds(given.confidences) / self.temperature), dtype=np.float64)
        if self.kind == "vector" and given.probabilities is not None and given.said is not None:
            rows = np.flatnonzero(given.has_classes)
            said = given.said[rows]
            alone[rows] = np.exp(self._logs(given.probabilities[rows])[np.arange(len(rows)), said])
        return alone

    def crossed(self, given: Given, correct: Bools, truth: Indices) -> Doubles:
        """(n,) calibrated confidences of the very answers it was fitted on, each by a fit without its own verdict;
        NaN where none was given. A threshold is to be set on these. A temperature keeps their order: it may stay."""
        if self.kind in ("uncalibrated", "temperature"):
            return self.apply(given)
        found = np.full(len(given), np.nan)
        rows = np.flatnonzero(~np.isnan(given.confidences))
        found[rows] = _left_out(WAYS[self.kind], given.part(rows), correct[rows], truth[rows])
        return found

    def _logs(self, probabilities: Doubles) -> Doubles:
        """(n, C) log probabilities of every class, by `vector`."""
        scaled = np.log(np.maximum(probabilities, SURE)) / self.temperature + np.asarray(self.offsets)
        return np.asarray(log_softmax(scaled, axis=1), dtype=np.float64)


def table(told: Iterable[Mapping[str, float] | None], names: Sequence[str]) -> Doubles:
    """(n, C) probabilities of every class; rows of NaN for answers that have none."""
    rows = [[(p or {}).get(n, math.nan) for n in names] for p in told]
    return np.array(rows, np.float64).reshape(-1, len(names))


def places(values: Iterable[object], names: Sequence[str]) -> Indices:
    """(n,) which class each value is, -1 for none of them."""
    known = {name: place for place, name in enumerate(names)}
    return np.array([known.get(v, -1) if isinstance(v, str) else -1 for v in values], np.int64)


Fit = Callable[[Given, Bools, Indices], Calibration]


def odds(confidences: Doubles) -> Doubles:
    """(n,) log odds, finite where a confidence is."""
    return np.asarray(logit(np.clip(confidences, SURE, 1 - SURE)), dtype=np.float64)


def smoothed(right: Bools) -> Doubles:
    """(n,) what each verdict counts as, so that a run of right answers does not make the next one certain (Platt
    1999)."""
    found = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))
    return np.asarray(found, np.float64)


def folds(n: int) -> Iterator[Bools]:
    """(n,) masks of what is left out, each answer once."""
    for fold in range(FOLDS):
        yield np.arange(n) % FOLDS == fold


def lead(foretold: Doubles, otherwise: Doubles, right: Bools) -> float:
    """By how much the log loss of one foretelling is surely (by `CLEARLY` standard errors) below that of another, in
    nats an answer; below nought where it is not.

    Args:
        foretold, otherwise: (n,) chances to be right; NaN says no more than the share of right answers.
        right: (n,).
    """
    gain = _log_loss(otherwise, right) - _log_loss(foretold, right)
    return float(gain.mean() - CLEARLY * gain.std(ddof=1) / math.sqrt(len(gain)))


def _log_loss(foretold: Doubles, right: Bools) -> Doubles:
    p = np.clip(np.where(np.isnan(foretold), right.mean(), foretold), SURE, 1 - SURE)
    return np.asarray(-np.log(np.where(right, p, 1 - p)), np.float64)


def _best(ways: Sequence[Kind], given: Given, right: Bools, truth: Indices) -> Kind:
    """Who foretells left-out answers best; the temperature, unless another is clearly better."""
    if len(ways) == 1:
        return ways[0]
    seen = {kind: _left_out(WAYS[kind], given, right, truth) for kind in ways}
    leads = {kind: lead(p, seen["temperature"], right) for kind, p in seen.items() if kind != "temperature"}
    best = max(leads, key=lambda kind: leads[kind])
    return best if leads[best] > 0 else "temperature"


def _left_out(way: Fit, given: Given, right: Bools, truth: Indices) -> Doubles:
    """(n,) what a fit on the other folds makes of each answer."""
    found = np.empty(len(right))
    for here in folds(len(right)):
        found[here] = way(given.part(~here), right[~here], truth[~here]).apply(given.part(here))
    return found


def _temperature(given: Given, right: Bools, truth: Indices) -> Calibration:
    """The likeliest temperature, drawn towards 1 by a standard normal prior on its logarithm."""
    from scipy.optimize import minimize_scalar

    log_odds, target = odds(given.confidences), smoothed(right)

    def cost(log_temperature: float) -> float:
        z = log_odds / math.exp(log_temperature)
        return float((np.logaddexp(0, z) - target * z).sum() + log_temperature**2 / 2)

    found = minimize_scalar(cost, bounds=tuple(math.log(t) for t in TEMPERATURES), method="bounded")
    return Calibration(math.exp(float(found.x)), len(right), "temperature")


def _vector(given: Given, right: Bools, truth: Indices) -> Calibration:
    """The likeliest temperature and offsets for the classes that people named, with normal priors on both."""
    from scipy.optimize import minimize

    assert given.probabilities is not None
    logs = np.log(np.maximum(given.probabilities, SURE))
    n, classes = logs.shape
    named = np.zeros((n, classes))
    named[np.arange(n), truth] = 1
    wide = 2 * SPREAD_OF_OFFSETS**2

    def cost(x: Doubles) -> tuple[float, Doubles]:
        scale = math.exp(-x[0])
        p = log_softmax(logs * scale + x[1:], axis=1)
        off = np.exp(p) - named
        value = -p[np.arange(n), truth].sum() + x[0] ** 2 / 2 + (x[1:] ** 2).sum() / wide
        slope = np.concatenate([[-(off * logs).sum() * scale + x[0]], off.sum(axis=0) + 2 * x[1:] / wide])
        return float(value), slope

    bounds = [tuple(math.log(t) for t in TEMPERATURES), *[(None, None)] * classes]
    found = minimize(cost, np.zeros(classes + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Calibration(math.exp(float(found[0])), n, "vector", tuple(found[1:].tolist()))


def _isotonic(given: Given, right: Bools, truth: Indices) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(given.confidences, smoothed(right))
    curve = tuple(zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True))
    return Calibration(1.0, len(right), "isotonic", curve=curve)


WAYS: Mapping[Kind, Fit] = {"temperature": _temperature, "vector": _vector, "isotonic": _isotonic}
