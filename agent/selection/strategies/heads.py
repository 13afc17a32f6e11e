"""Small linear heads that selection fits by itself: what a committee, a posterior or a what-if is made of.

Knows vectors and targets of the labelled texts; not the student, whose own head may be anything. A constant of one
stands after each vector, so that the intercept is a weight like others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from agent.records import Floats, Rows
from agent.selection import seam, space
from agent.selection.seam import Indices, State

Doubles = npt.NDArray[np.float64]

REMEMBERED = 5_000  # labelled texts that a head is fitted to, drawn at random where there are more
ROWS_AT_ONCE = 8_192  # vectors that are read together: 12 MB of 384 numbers
STEPS = 50  # of L-BFGS at most; a dozen or two are usual


@dataclass(frozen=True, eq=False)
class Lessons:
    """What is known of the labelled texts.

    Attributes:
        vectors: (l, d + 1) float64, the last column all ones.
        targets: (l, C) float64; rows sum to one unless the task is multilabel.
        kept: (l,) int64, which of `State.labelled` these are.
    """

    vectors: Doubles
    targets: Doubles
    kept: Indices


def lessons(state: State) -> Lessons | None:
    """What the labelled texts teach, at most 5,000 of them; None without labels or classes."""
    if state.probabilities is None or state.targets is None or not len(state.labelled):
        return None
    if np.shape(state.targets) != (len(state.labelled), state.probabilities.shape[1]):
        return None
    targets = np.asarray(state.targets, dtype=np.float64)
    if not state.multilabel:
        total = targets.sum(axis=1, keepdims=True)
        targets = targets / np.where(total > 0, total, np.nan)
    kept = np.flatnonzero(np.isfinite(targets).all(axis=1))
    if len(kept) > REMEMBERED:
        kept = np.sort(state.rng(1).choice(kept, REMEMBERED, replace=False))
    if not len(kept):
        return None
    found = space.read(state.vectors, state.labelled[kept])
    return Lessons(with_constant(found.astype(np.float64)), targets[kept], kept)


def with_constant(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(m, d) to (m, d + 1), the last column all ones."""
    out: npt.NDArray[Any] = np.hstack([vectors, np.ones((len(vectors), 1), dtype=vectors.dtype)])
    return out


def streamed(state: State, rows: Rows, heads: Floats) -> Iterator[tuple[slice, Floats]]:
    """What each of k heads (d + 1, k, C) says of `rows` (n,), block by block: a slice of m rows, and (k, m, C).

    Each vector is read once, all heads in one product, and no more than one block is held. The classes lie outermost
    in memory: sums over them are then ten times as fast as over short rows.
    """
    _, k, classes = heads.shape
    weights = np.ascontiguousarray(heads.transpose(2, 1, 0).reshape(k * classes, -1), dtype=np.float32)
    step = max(1, min(ROWS_AT_ONCE, seam.NUMBERS_AT_ONCE // len(weights)))
    for start in range(0, len(rows), step):
        block = slice(start, min(start + step, len(rows)))
        with space.one_thread():
            said = weights[:, :-1] @ space.read(state.vectors, rows[block]).T
        said += weights[:, -1:]
        yield block, said.reshape(classes, k, -1).transpose(1, 2, 0)


def link(logits: npt.NDArray[Any], independent: bool) -> npt.NDArray[Any]:
    """Probabilities of logits (..., C), which are overwritten: softmax, or a sigmoid for each class."""
    if independent:
        np.clip(logits, -30, 30, out=logits)
        np.negative(logits, out=logits)
        np.exp(logits, out=logits)
        logits += 1
        np.reciprocal(logits, out=logits)
        return logits
    logits -= logits.max(axis=-1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=-1, keepdims=True)
    return logits


def as_decisions(p: Floats, independent: bool) -> Floats:
    """(k, m, C) as decisions whose last axis sums to one: itself, or (k, m · C, 2) where each class is yes or no."""
    if not independent:
        return p
    return np.stack([p, 1 - p], axis=-1).reshape(len(p), -1, 2)


def fit(taught: Lessons, weights: Doubles, penalty: float, independent: bool) -> Floats:
    """k heads at once, each minimising its weighted cross-entropy + penalty / 2 · |W|²: (d + 1, k, C) float32.

    Logistic regression, multinomial or one for each class, by L-BFGS from zero; all heads in one product.

    Args:
        taught: l lessons.
        weights: (k, l), of each lesson in each head, about 1 on average.
        penalty: above 0.
        independent: each class is a decision of its own.
    """
    from scipy.optimize import minimize

    with space.one_thread():
        k, classes = len(weights), taught.targets.shape[1]
        axes, ridge = _round_axes(taught.vectors, penalty, 0.25 if independent else (1 - 1 / classes) / classes)
        features = (taught.vectors @ axes).astype(np.float32)
        told, weighing = taught.targets.astype(np.float32)[:, None], weights.T.astype(np.float32)[:, :, None]

        def loss(flat: Doubles) -> tuple[float, Doubles]:
            turned = flat.reshape(len(ridge), -1)
            logits = (features @ turned.astype(np.float32)).reshape(-1, k, classes)
            cost, error = _cross_entropy(logits, told, independent)
            slope = features.T @ (error * weighing).reshape(len(features), -1) + ridge[:, None] * turned
            total = np.vdot(cost.astype(np.float64), weighing[..., 0]) + (ridge @ (turned * turned)).sum() / 2
            return float(total), slope.ravel()

        start = np.zeros(len(ridge) * k * classes)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "ftol": 1e-6})
        return cast(Floats, (axes @ found.x.reshape(len(ridge), -1)).reshape(-1, k, classes).astype(np.float32))


def _round_axes(vectors: Doubles, penalty: float, curvature: float) -> tuple[Doubles, Doubles]:
    """Axes (d + 1, r) in which the loss is about round, so that it takes a dozen steps, and each one's penalty (r,).

    They span the lessons; no head has weight outside.
    """
    _, size, axes = np.linalg.svd(vectors, full_matrices=False)
    steep = curvature * size**2 + penalty
    return axes.T / np.sqrt(steep), penalty / steep


def _cross_entropy(logits: Floats, told: Floats, independent: bool) -> tuple[Floats, Floats]:
    """(l, k, C) logits, which are overwritten, and (l, 1, C) targets to the loss (l, k) and its slope (l, k, C)."""
    said = np.einsum("lkc,lc->lk", logits, told[:, 0])
    if independent:
        most = np.logaddexp(0, logits).sum(axis=2)
    else:
        peak = logits.max(axis=2, keepdims=True)
        logits -= peak
        np.exp(logits, out=logits)
        total = logits.sum(axis=2, keepdims=True)
        logits /= total
        most = (np.log(total) + peak)[..., 0]
    p = link(logits, True) if independent else logits
    return most - said, p - told
