"""A light head on embeddings: logistic regression that chooses its own penalty and says honest probabilities.

Knows vectors and targets; no text, no task, no encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.errors import ModelError
from agent.records import Floats, Rows
from agent.student.logistic import Lessons, principal_axes, sigmoid, softmax, solve

PENALTIES = (8.0, 2.0, 0.5, 0.125, 0.03, 0.0075)
"""l2 from strong to weak. Measured on unit vectors of 2 to 151 classes and 20 to 4,000 labels: two classes want about
one; many classes with few labels want the weakest, and weaker ones than that gain 0.01 of accuracy at most."""
FOLDS = 5
ROUGH, FINE = 5e-4, 5e-5
"""Nats for each label that may be left to gain, while searching and in what is kept."""
FEWEST_JUDGED = 10
"""Texts that cross-validation must be able to judge a penalty by; with fewer it says nothing."""
UNJUDGED_FEW, UNJUDGED_MANY, MANY_CLASSES = 1.0, 0.03, 10
"""The penalty where nothing can be judged: for a few classes, and for more than ten."""
PRIOR_SD = 0.5
"""Of the natural logarithm of the temperature: twenty labels cannot say that it is 0.2, a thousand can."""


class Head:
    """Multinomial logistic regression; or, where `independent`, one logistic regression for each class.

    A constant of one is added to each vector, so that the intercept is a weight like others and penalised like them:
    a class that nobody saw yet keeps a small probability instead of none.

    Attributes:
        l2: the penalty that cross-validation chose.
        temperature: what logits are divided by, fitted to the out-of-fold logits (Guo et al. 2017).
        out_of_fold: (n, C) float32: for each text that `fit` was given, in its order, the probabilities by a head
            that had not seen it; uniform for texts of no weight, or where there are too few labels to hold any out.
    """

    def __init__(self, classes: int, *, independent: bool = False) -> None:
        self.classes, self.independent = classes, independent
        self.l2, self.temperature = 1.0, 1.0
        self.weights: Floats = np.zeros((0, classes), np.float32)
        self.out_of_fold: Floats = np.zeros((0, classes), np.float32)
        self._parts: list[tuple[Rows, Floats]] = []

    def fit(self, vectors: Floats, targets: Floats, weights: Floats, rng: np.random.Generator) -> None:
        """Learn from n texts, and forget what was learnt before. A class may have no text.

        Args:
            vectors: (n, d) float32, n at least one.
            targets: (n, C) float32, soft; rows are scaled to sum to one unless `independent`.
            weights: (n,) float32; a text of weight zero is left out.
            rng: deals the folds; the same state gives the same head.
        """
        with one_thread():
            self._fit(*self._lessons(vectors, targets, weights), targets, rng)

    def _fit(self, lessons: Lessons, kept: Rows, targets: Floats, rng: np.random.Generator) -> None:
        axes = principal_axes(lessons)
        turned = replace(lessons, features=lessons.features @ axes)
        start = np.zeros((axes.shape[1], self.classes), np.float32)
        self._parts = []
        self.l2, self.temperature = (UNJUDGED_MANY if self.classes > MANY_CLASSES else UNJUDGED_FEW), 1.0
        self.out_of_fold = np.full(targets.shape, 0.5 if self.independent else 1 / self.classes, np.float32)
        fold = _deal(lessons, rng)
        judged = _learnable(lessons, fold)
        if _can_hold_out(lessons) and (len(judged) < FEWEST_JUDGED or judged.sum() >= FEWEST_JUDGED):
            search = _Search(turned, fold, judged)
            self.l2, self.temperature, logits = search.best()
            self.out_of_fold[kept] = lessons.probabilities(logits / np.float32(self.temperature))
            start = search.mean()
            self._parts = [(kept[fold == k], axes @ w) for k, w in enumerate(search.weights)]
        self.weights = axes @ solve(turned, self.l2, start, FINE)

    def parts(self) -> Iterator[tuple[Rows, Head]]:
        """(rows of a fold, ascending; a head that `fit` taught on all others): the folds are those of `out_of_fold`.

        None where there are too few labels to hold any out.
        """
        for held, weights in self._parts:
            part = Head(self.classes, independent=self.independent)
            part.l2, part.temperature, part.weights = self.l2, self.temperature, weights
            yield held, part

    def learn_on(self, vectors: Floats, targets: Floats, weights: Floats, *, tolerance: float = FINE) -> None:
        """Learn from n texts, some of them with guesses instead of labels, starting from what is known.

        Penalty, temperature and `out_of_fold` stay those of the labels alone: guesses always agree with themselves.
        Arguments as for `fit`; `tolerance` in nats for each label.
        """
        lessons, _ = self._lessons(vectors, targets, weights)
        with one_thread():
            self.weights = solve(lessons, self.l2, self.weights, tolerance)

    def predict(self, vectors: Floats) -> Floats:
        """(n, C) float32 probabilities of (n, d) float32 vectors. Raises ModelError for vectors of another length."""
        logits = self.logits(vectors)
        return sigmoid(logits) if self.independent else softmax(logits)

    def logits(self, vectors: Floats) -> Floats:
        """(n, C) float32, divided by the temperature. Raises ModelError for vectors of another length."""
        if not len(self.weights):
            raise RuntimeError("the head has learnt nothing yet: fit it or load it first")
        if vectors.shape[1] != len(self.weights) - 1:
            said = f"the head was taught on vectors of {len(self.weights) - 1} numbers, these have {vectors.shape[1]}"
            raise ModelError(f"{said}; use the encoder it was taught with, or teach it anew")
        with one_thread():
            logits: Floats = vectors @ self.weights[:-1]
        logits += self.weights[-1]
        logits /= np.float32(self.temperature)
        return logits

    def state(self) -> dict[str, Floats]:
        """Everything that `predict` needs, as arrays."""
        return {"weights": self.weights, "temperature": np.array([self.temperature, self.l2], np.float32)}

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Take over what `state` gave. Raises ValueError where it is of another shape."""
        weights = state["weights"]
        if weights.ndim != 2 or weights.shape[1] != self.classes:
            raise ValueError(f"weights of shape {weights.shape} for {self.classes} classes")
        self.weights = np.ascontiguousarray(weights, np.float32)
        self.temperature, self.l2 = (float(v) for v in state["temperature"])

    def _lessons(self, vectors: Floats, targets: Floats, weights: Floats) -> tuple[Lessons, Rows]:
        kept = np.flatnonzero(weights > 0)
        if not len(kept):
            raise ValueError("nothing to learn from: no text has a weight above zero")
        wanted = np.asarray(targets, np.float32)[kept]
        if not self.independent:
            wanted = wanted / wanted.sum(axis=1, keepdims=True)
        if not np.isfinite(wanted).all():
            raise ValueError("a target is not finite, or a row of them sums to zero")
        ones = np.ones((len(kept), 1), np.float32)
        features = np.hstack([np.asarray(vectors, np.float32)[kept], ones])
        return Lessons(features, wanted, np.asarray(weights, np.float32)[kept], self.independent), kept


class _Search:
    """Cross-validation along the path of penalties, each fit starting where the one before it ended."""

    def __init__(self, turned: Lessons, fold: Rows, judged: npt.NDArray[np.bool_]) -> None:
        self.turned, self.fold = turned, fold
        # a text whose class no other fold holds cannot be foreseen: judged by it, the strongest penalty would win
        self._judged = replace(turned, weights=turned.weights * judged) if judged.any() else turned
        self.weights = np.zeros((int(fold.max()) + 1, turned.features.shape[1], turned.targets.shape[1]), np.float32)
        self._parts = [turned.part(fold != k) for k in range(len(self.weights))]

    def best(self) -> tuple[float, float, Floats]:
        """The penalty, the temperature and the (n, C) out-of-fold logits of the least out-of-fold loss."""
        chosen, least, kept = PENALTIES[0], np.inf, self.weights.copy()
        for l2 in PENALTIES:
            loss, _ = _temper(self._judged, self._logits(l2, ROUGH))
            if loss > least:  # weaker penalties only overfit from here
                break
            chosen, least, kept = l2, loss, self.weights.copy()
        self.weights = kept
        logits = self._logits(chosen, FINE)
        return chosen, _temper(self._judged, logits)[1], logits

    def mean(self) -> Floats:
        """(r, C): the folds' weights on average, a good start for all the texts together."""
        found: Floats = self.weights.mean(axis=0)
        return found

    def _logits(self, l2: float, tolerance: float) -> Floats:
        out = np.empty_like(self.turned.targets)
        for k, part in enumerate(self._parts):
            self.weights[k] = solve(part, l2, self.weights[k], tolerance)
            held_out = self.fold == k
            out[held_out] = self.turned.features[held_out] @ self.weights[k]
        return out


def one_thread() -> Any:
    """Linear algebra on one thread: rounding that depends on the number of threads could tip a pick."""
    return _blas().limit(limits=1)


@cache
def _blas() -> Any:
    """NumPy's linear algebra, for its number of threads; kept, since finding it takes a millisecond."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController().select(user_api="blas")


def _temper(lessons: Lessons, logits: Floats) -> tuple[float, float]:
    """The least loss that dividing the logits by a temperature gives, and that temperature."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        found, _ = lessons.loss(logits * np.float32(np.exp(-log_temperature)))
        return found + 0.5 * (log_temperature / PRIOR_SD) ** 2

    result = minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded", options={"xatol": 0.01})
    return float(result.fun), float(np.exp(result.x))


def _can_hold_out(lessons: Lessons) -> bool:
    """Whether cross-validation can tell anything: some class must be wanted by one text and not by another."""
    return len(lessons.targets) > 1 and bool((np.ptp(lessons.targets, axis=0) > 0.5).any())


def _learnable(lessons: Lessons, fold: Rows) -> npt.NDArray[np.bool_]:
    """(n,) whether a text's likeliest class is wanted in any other fold than its own."""
    if lessons.independent:
        return np.ones(len(fold), bool)
    wanted = np.stack([lessons.targets[fold != k].sum(axis=0) for k in range(int(fold.max()) + 1)])
    found: npt.NDArray[np.bool_] = wanted[fold, lessons.targets.argmax(axis=1)] >= 0.5
    return found


def _deal(lessons: Lessons, rng: np.random.Generator) -> Rows:
    """(n,) the fold of each text: dealt out class by class, so that every fold sees each class in proportion."""
    n = len(lessons.targets)
    order = np.lexsort((rng.random(n), lessons.targets.argmax(axis=1)))
    fold = np.empty(n, np.int64)
    fold[order] = np.arange(n) % min(FOLDS, n)
    return fold
