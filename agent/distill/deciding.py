"""From which probability on a label holds, where a text has any number of them.

A half is right for whoever minds each wrong decision alike. What is told of such labels is F1, and of rare labels the
best F1 comes from less: half of that F1, where probabilities are what they say (Lipton and others 2014,
arXiv:1402.1892). Numbers in, numbers out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.distill.network import HALF
from agent.records import Floats

STEP, LEAST = 0.05, 0.1
"""What is tried, from the half down: a few hundred texts tell thresholds apart no better."""
FEWEST = 100
"""Texts that must be there to choose by."""


class Holds(NamedTuple):
    """From which probability on a label holds. `why` are some words."""

    threshold: float
    why: str


AT_HALF = Holds(HALF, "")


def best_threshold(probabilities: Floats, targets: Floats, weights: Floats) -> Holds:
    """The one of the best F1 over all decisions, or a half where there are few texts or none is better.

    Args:
        probabilities: (n, C) of a model that did not learn these texts.
        targets: (n, C) the labels, or how likely they are.
        weights: (n,) of the texts.
    """
    if len(targets) < FEWEST or not np.ptp(probabilities):
        return Holds(HALF, f"fewer than {FEWEST} labels that it had not seen say nothing of another")
    tried = np.arange(HALF, LEAST - STEP / 2, -STEP)
    found = [_f1(probabilities >= threshold, targets, weights) for threshold in tried]
    return Holds(round(float(tried[int(np.argmax(found))]), 4), "of the best F1 on labels that it had not seen")


def at_half(probabilities: Floats, threshold: float) -> Floats:
    """(n, C) the same decisions with a half for a threshold: the odds, divided by those of the threshold."""
    if threshold == HALF:
        return probabilities
    against = (1 - probabilities) * np.float32(threshold / (1 - threshold))
    return np.asarray(probabilities / np.maximum(probabilities + against, 1e-12), np.float32)


def least_sure(probabilities: Floats, threshold: float) -> Floats:
    """(n,) how sure each text's least certain decision is, from one half to one: see `at_half`."""
    shifted = at_half(probabilities, threshold)
    return np.asarray(np.maximum(shifted, 1 - shifted).min(axis=1), np.float32)


def _f1(said: npt.NDArray[np.bool_], targets: Floats, weights: Floats) -> float:
    hit, size = (said * targets).sum(axis=1), said.sum(axis=1) + targets.sum(axis=1)
    return float(2 * (weights @ hit) / max(float(weights @ size), 1e-9))
