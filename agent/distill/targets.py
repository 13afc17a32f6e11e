"""What is to be distilled, and which of it is held out to measure and calibrate on.

Pure functions of arrays; knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.errors import DataError
from agent.records import Floats, Rows
from agent.student.logistic import Lessons as Linear

HELD_OUT, MOST_HELD_OUT = 0.1, 500
FEWEST_JUDGES = 100
"""With fewer labels no difference that anybody would expect can be told from chance."""
HOLD_OUT_FROM = 2000
"""With fewer labels all of them teach: of 1,000 labels in 77 classes a fifth less cost 4 points of accuracy."""
PAIRS_HOLD_OUT_FROM = 500
"""Likewise of pairs, which take many epochs to learn and make a network too sure of itself by then."""
PRIOR_SD = 0.5
"""Of the natural logarithm of the temperature: few labels cannot say that it is far from one."""


@dataclass(frozen=True)
class Examples:
    """Labelled texts for a task with classes.

    Attributes:
        texts: n of them.
        targets: (n, C) float32, as `Task.targets` gives them: soft, rows of sum one; for multilabel each column is a
            probability of its own.
        weights: (n,) float32; a text of weight zero is left out.
        names: the C class names, in the order of the columns.
        multilabel: any number of labels a text.
        columns: where each text is a pair (`agent.pairing`), what its two texts are called.
        seed: of everything that is drawn.
        trust: (n,) float32, how far each label is believed where it teaches, see `agent.student.teaching.trust`; not
            where it judges, or whoever doubted it would be judged by what it believes. None: wholly.
        people: (n,) bool, which labels people gave. None: it is not known of any.
        told: (n, C) float32 what a machine said of each text that people labelled, zeros where none spoke; what it
            said of the others are the targets, whatever stands here. None: of people's texts none spoke.
        by: (n,) int64 which machine that was. None: one said everything.
    """

    texts: Sequence[str]
    targets: Floats
    weights: Floats
    names: Sequence[str]
    multilabel: bool = False
    columns: tuple[str, str] | None = None
    seed: int = 0
    trust: Floats | None = None
    people: npt.NDArray[np.bool_] | None = None
    told: Floats | None = None
    by: Rows | None = None

    @property
    def teaching(self) -> Floats:
        """(n,) float32: how much each label counts where it teaches."""
        return self.weights if self.trust is None else (self.weights * self.trust).astype(np.float32)

    def part(self, rows: Rows) -> Examples:
        texts = [self.texts[i] for i in rows.tolist()]
        targets, weights = self.targets[rows], self.weights[rows]
        beside: dict[str, Any] = {
            "trust": None if self.trust is None else np.asarray(self.trust, np.float32)[rows],
            "people": None if self.people is None else np.asarray(self.people, np.bool_)[rows],
            "told": None if self.told is None else np.asarray(self.told, np.float32)[rows],
            "by": None if self.by is None else np.asarray(self.by, np.int64)[rows],
        }
        return replace(self, texts=texts, targets=targets, weights=weights, **beside)

    def checked(self) -> Examples:
        """Those of positive weight. Raises DataError where there are none, ValueError where shapes disagree."""
        targets, weights = np.asarray(self.targets, np.float32), np.asarray(self.weights, np.float32)
        if targets.shape != (len(self.texts), len(self.names)) or weights.shape != (len(self.texts),):
            raise ValueError(
                f"{len(self.texts)} texts and {len(self.names)} classes, "
                f"but targets {targets.shape} and weights {weights.shape}"
            )
        for array in (self.told, self.by, self.trust, self.people):
            if array is not None and (len(array) != len(targets) or not np.isfinite(array).all()):
                raise ValueError("what stands beside the targets has another length, or a number that is not finite")
        if not (np.isfinite(targets).all() and np.isfinite(weights).all()):
            raise ValueError("a target or a weight is not a finite number")
        kept = np.flatnonzero(weights > 0)
        if not len(kept):
            raise DataError("no label to distil from: run the job, or answer its queue, first")
        found = replace(self, targets=targets, weights=weights, names=tuple(self.names)).part(kept)
        if self.multilabel:
            return found
        return replace(found, targets=found.targets / found.targets.sum(axis=1, keepdims=True))


def hold_out(examples: Examples, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """(rows to learn from, rows held out): a tenth at random, but no class keeps fewer than two.

    None are held out of fewer than HOLD_OUT_FROM texts, or PAIRS_HOLD_OUT_FROM pairs.
    """
    n = len(examples.texts)
    if n < (HOLD_OUT_FROM if examples.columns is None else PAIRS_HOLD_OUT_FROM):
        return np.arange(n), np.arange(0)
    return drawn(examples, np.arange(n), min(MOST_HELD_OUT, round(HELD_OUT * n)), rng)


def drawn(examples: Examples, candidates: Rows, wanted: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """(all other rows, at most so many of the candidates at random), both sorted; no class keeps fewer than two."""
    likeliest = examples.targets.argmax(axis=1)
    left = np.bincount(likeliest, minlength=len(examples.names))
    held: list[int] = []
    for i in rng.permutation(candidates).tolist():
        if len(held) >= wanted:
            break
        if left[likeliest[i]] > 2:
            left[likeliest[i]] -= 1
            held.append(i)
    out = np.array(sorted(held), np.int64)
    return np.setdiff1d(np.arange(len(examples.texts)), out), out


def mean_length(features: Floats) -> np.float32:
    """Of (n, d) features, which are divided by it, so that penalties mean the same for each encoder."""
    return np.float32(max(float(np.linalg.norm(features, axis=1).mean()), 1e-6))


def best_temperature(logits: Floats, targets: Floats, weights: Floats, *, multilabel: bool) -> float:
    """What to divide (n, C) logits by, so that probabilities fit the targets best (Guo et al. 2017, sec. 4.2).

    A prior around one keeps a handful of texts from saying much.
    """
    from scipy.optimize import minimize_scalar

    linear = Linear(np.zeros((0, 0), np.float32), targets, weights, multilabel)

    def loss(log_temperature: float) -> float:
        found, _ = linear.loss(logits * np.float32(np.exp(-log_temperature)))
        return found + 0.5 * (log_temperature / PRIOR_SD) ** 2

    found = minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded", options={"xatol": 0.01})
    return float(np.exp(found.x))
