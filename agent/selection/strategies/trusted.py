"""What an oracle can be asked: usefulness times the probability that it is right there.

Looks at the vectors of the best `among` candidates and of at most 5,000 labelled texts: O(among * l * d) and O(n)
beside the base, 16 MB of similarities at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agent.records import Floats
from agent.selection import space
from agent.selection.seam import NUMBERS_AT_ONCE, State, top
from agent.selection.strategies.basis import OnBase, agreement_with, usefulness
from agent.selection.strategies.composed import number
from agent.selection.strategies.options import whole

REMEMBERED = 5_000  # labelled texts among which neighbours are sought
TIES, SAMPLE = 71, 72  # streams of `State.rng`


def label_quality(trust: Floats | None, agreed: Floats | None, agreement: float) -> Floats | None:
    """(l,) float32 in 0 to 1, how right each label seems: its trust, and how much a student that had not seen it
    agrees. None where neither is known.

    Args:
        trust: (l,) or None.
        agreed: (l,) in 0 to 1, or None.
        agreement: 0 to 1, the share of the second where both are known.
    """
    if agreed is None or trust is None:
        return agreed if trust is None else np.asarray(trust, dtype=np.float32)
    return np.asarray((1 - agreement) * trust + agreement * agreed, dtype=np.float32)


def right_probability(points: Floats, labelled: Floats, right: Floats, neighbours: int, prior: float) -> Floats:
    """The probability that a label would be right at each of the points: (m,) float32.

    The mean of the nearest labels' `right`, weighted by their cosine similarity (none below zero), shrunk to the mean
    of all labels: (sum of w r + prior * mean) / (sum of w + prior). A probability of a right answer that depends on
    where one asks, used to choose what to ask, is that of Du and Ling 2010, "Active Learning with Human-Like Noisy
    Oracle"; theirs falls with the student's own doubt, this one is read off the labels.

    Args:
        points: (m, d).
        labelled: (l, d), l from 1.
        right: (l,) in 0 to 1.
        neighbours: how many labels count.
        prior: how many labels the mean of all weighs, above 0.
    """
    mean, k = right.mean(dtype=np.float64), min(neighbours, len(labelled))
    out = np.empty(len(points), dtype=np.float32)
    known = _unit(labelled)
    step = max(1, NUMBERS_AT_ONCE // len(labelled))
    with space.one_thread():
        for start in range(0, len(points), step):
            near = _unit(points[start : start + step]) @ known.T
            best = np.argpartition(near, len(labelled) - k, axis=1)[:, len(labelled) - k :]
            weight = np.maximum(np.take_along_axis(near, best, axis=1), 0)
            out[start : start + step] = ((weight * right[best]).sum(axis=1) + prior * mean) / (
                weight.sum(axis=1) + prior
            )
    return out


@dataclass(frozen=True, kw_only=True)
class Trusted(OnBase):
    """The base's usefulness times the probability that the oracle is right there; the base alone while nothing is
    known of the labels.

    Attributes:
        base: gives the usefulness.
        neighbours: labels near a candidate that speak for it, from 1.
        prior: how many labels the mean of all weighs against them, above 0.
        agreement: 0 to 1, how much it counts that a student which had not seen a label agrees with it. Where the
            student is weak it disagrees with right labels too, so this is less than a half.
        among: the best so many candidates by the base are looked at; the others have the mean probability.
    """

    neighbours: int = 10
    prior: float = 5.0
    agreement: float = 0.3
    among: int = 20_000
    name: ClassVar[str] = "trusted"

    def problems(self) -> Iterable[str | None]:
        """What is wrong with the settings."""
        return (
            whole("neighbours", self.neighbours, 1),
            number("prior", self.prior, 1e-3),
            number("agreement", self.agreement, 0, 1),
            whole("among", self.among, 1),
        )

    def score(self, state: State) -> Floats:
        """(n,) float32, never below zero."""
        useful = usefulness(self.base, state)
        right = label_quality(state.trust, _agreed(state), self.agreement)
        if right is None or not len(right) or not len(useful):
            return useful
        probability = np.full(len(useful), right.mean(dtype=np.float64), dtype=np.float32)
        best = np.sort(top(useful, self.among, state.rng(TIES)))
        labels = np.arange(len(right))
        if len(labels) > REMEMBERED:
            labels = np.sort(state.rng(SAMPLE).choice(len(labels), REMEMBERED, replace=False))
        known = space.read(state.vectors, state.labelled[labels])
        points = space.read(state.vectors, state.candidates[best])
        probability[best] = right_probability(points, known, right[labels], self.neighbours, self.prior)
        return useful * probability


def _agreed(state: State) -> Floats | None:
    foreseen = state.foreseen
    if foreseen is None or getattr(state.targets, "shape", None) != foreseen.shape:
        return None
    return agreement_with(foreseen, state.targets, state.multilabel)


def _unit(points: Floats) -> Floats:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)
