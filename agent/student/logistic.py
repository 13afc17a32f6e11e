"""Logistic regression with soft targets: the loss, its gradient, and a change of variables that makes it round.

    sum_i weight_i · cross_entropy(target_i, link(x_i W)) + l2 / 2 · |W|²

The link is softmax over the classes (one label a text) or a sigmoid for each class (any number of labels a text).
Every weight is penalised alike. `l2` is 1/C of scikit-learn's LogisticRegression.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from agent.records import Floats, Rows
from agent.student.solver import minimise


def softmax_loss(logits: Floats, targets: Floats, weights: Floats) -> tuple[float, Floats]:
    """Weighted cross-entropy in nats, and its gradient by logit, (n, C). `logits` is overwritten."""
    logits -= logits.max(axis=1, keepdims=True)
    aligned = np.einsum("nc,nc->n", logits, targets)
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    loss = np.vdot(weights.astype(np.float64), np.log(total[:, 0]) - aligned)
    logits /= total
    logits -= targets
    logits *= weights[:, None]
    return float(loss), logits


def sigmoid_loss(logits: Floats, targets: Floats, weights: Floats) -> tuple[float, Floats]:
    """The same, summed over one two-sided decision for each class. `logits` stays as it is."""
    shrunk = np.exp(-np.abs(logits))
    above = np.maximum(logits, 0)
    above -= targets * logits
    above += np.log(1 + shrunk)  # log1p is exact for tiny values, ten times as slow, and no one sees the difference
    residual = np.where(logits >= 0, np.float32(1), shrunk)
    residual /= 1 + shrunk
    residual -= targets
    residual *= weights[:, None]
    return float(np.vdot(weights.astype(np.float64), above.sum(axis=1))), residual


def softmax(logits: Floats) -> Floats:
    """(n, C) probabilities whose rows sum to one."""
    out: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    out /= out.sum(axis=1, keepdims=True)
    return out


def sigmoid(logits: Floats) -> Floats:
    """(n, C) probabilities, each of its own."""
    shrunk = np.exp(-np.abs(logits))
    out: Floats = np.where(logits >= 0, np.float32(1), shrunk)
    out /= 1 + shrunk
    return out


@dataclass(frozen=True)
class Lessons:
    """What a linear model is to learn: n texts.

    Attributes:
        features: (n, d) float32.
        targets: (n, C) float32; rows sum to one unless `independent`.
        weights: (n,) float32, positive.
        independent: each class is a decision of its own.
    """

    features: Floats
    targets: Floats
    weights: Floats
    independent: bool

    def part(self, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Lessons:
        """Those of `rows`, (n,) bool."""
        return Lessons(self.features[rows], self.targets[rows], self.weights[rows], self.independent)

    def loss(self, logits: Floats) -> tuple[float, Floats]:
        """Of the targets, given (n, C) logits, which are overwritten."""
        return (sigmoid_loss if self.independent else softmax_loss)(logits, self.targets, self.weights)

    def probabilities(self, logits: Floats) -> Floats:
        return (sigmoid if self.independent else softmax)(logits)


def principal_axes(lessons: Lessons) -> Floats:
    """(d, r) float32, orthonormal: the axes along which the features of n texts spread; r is at most n.

    Rotating the features by them changes neither the model nor the penalty, and makes the loss's curvature nearly
    diagonal, so that its diagonal alone tells how long a step should be.
    """
    weighted = lessons.features * np.sqrt(lessons.weights)[:, None]
    _, axes = np.linalg.eigh(weighted.T @ weighted)  # the least spread comes first
    found: Floats = axes[:, max(0, axes.shape[1] - len(weighted)) :]
    return found


def solve(lessons: Lessons, l2: float, start: Floats, tolerance: float) -> Floats:
    """The best (d, C) weights.

    Args:
        lessons: features along their principal axes converge in a third of the steps that others take.
        l2: the penalty's strength, positive.
        start: (d, C), where to begin.
        tolerance: nats of loss for each text that may be left to gain.
    """
    scale: Floats = 1 / np.sqrt(_curvature(lessons, start) + np.float32(l2))

    def function(point: Floats) -> tuple[float, Floats]:
        weights = scale * point
        loss, residual = lessons.loss(lessons.features @ weights)
        gradient = lessons.features.T @ residual
        gradient += np.float32(l2) * weights
        return loss + 0.5 * l2 * float(np.vdot(weights, weights)), scale * gradient

    return scale * minimise(function, start / scale, tolerance * float(lessons.weights.sum()))


def solve_beside(lessons: Lessons, l2: float, logits: Floats, columns: Rows, tolerance: float) -> Floats:
    """The best (d, k) weights of k classes, where all others stay as they are.

    Args:
        lessons: n texts.
        l2: the penalty's strength, positive; on what is added, so that it draws to the logits that are there.
        logits: (n, C) of all classes, to which the k columns' are added.
        columns: the k.
        tolerance: as for `solve`.
    """
    axes = principal_axes(lessons)
    features: Floats = lessons.features @ axes
    turned = replace(lessons, features=features)
    scale: Floats = 1 / np.sqrt(_curvature_at(turned, logits)[:, columns] + np.float32(l2))

    def function(point: Floats) -> tuple[float, Floats]:
        weights, moved = scale * point, logits.copy()
        moved[:, columns] += features @ weights
        loss, residual = lessons.loss(moved)
        gradient = features.T @ residual[:, columns]
        gradient += np.float32(l2) * weights
        return loss + 0.5 * l2 * float(np.vdot(weights, weights)), scale * gradient

    best = minimise(function, np.zeros_like(scale), tolerance * float(lessons.weights.sum()))
    found: Floats = axes @ (scale * best)
    return found


def _curvature(lessons: Lessons, at: Floats) -> Floats:
    """(d, C): the diagonal of the loss's second derivative."""
    return _curvature_at(lessons, lessons.features @ at)


def _curvature_at(lessons: Lessons, logits: Floats) -> Floats:
    """The same, given (n, C) logits."""
    p = lessons.probabilities(logits)
    p *= 1 - p
    p *= lessons.weights[:, None]
    found: Floats = np.square(lessons.features).T @ p
    return found
