"""Confident learning: how often labels of each class are right, told by a model that had not seen them.

Northcutt, Jiang and Chuang 2021 (arXiv:1911.00068), by cleanlab; here is what is made of it. Numbers in, numbers out.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from agent.doubt.calibration import Doubles, Indices
from agent.records import Floats

PRIOR = 10.0
"""As so many labels of a class counts what is so of all classes together: a few labels say little of their own."""
FARTHEST = 30.0
"""No class is shifted by more than that, in nats."""
HALVINGS = 60


def shares_right(said: Indices, probabilities: Floats) -> Doubles:
    """(C,) the share of labels of each class that is right, by the confident joint.

    A label counts as of another class where the model gives that class more than it gives it on average to labels of
    its own (of several such classes the likeliest one). Each class is drawn towards all of them together.

    Args:
        said: (n,) int64 the class given, n at least one.
        probabilities: (n, C) of a model that had not seen these labels; rows sum to one.
    """
    # late: it brings pandas and much else along, for jobs that ask again only
    from cleanlab.count import compute_confident_joint

    joint = np.asarray(compute_confident_joint(said, np.asarray(probabilities, np.float64)), np.float64)
    right, given = np.diag(joint), np.bincount(said, minlength=len(joint))
    overall = (right.sum() + 1) / (given.sum() + 2)
    return np.asarray((right + PRIOR * overall) / (given + PRIOR), np.float64)


def drawn_to(odds: Doubles, said: Indices, shares: Doubles) -> Doubles:
    """(C,) what is added to the log odds of each class's labels, so that as many of them are right as `shares` say;
    0 for a class without labels.

    Args:
        odds: (n,) log odds that each label is right.
        said: (n,) int64 the class given.
        shares: (C,) above 0 and below 1.
    """
    classes = len(shares)
    given = np.bincount(said, minlength=classes)
    low, high = np.full(classes, -FARTHEST), np.full(classes, FARTHEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        mean = np.bincount(said, expit(odds + middle[said]), classes) / np.maximum(given, 1)
        low, high = np.where(mean < shares, middle, low), np.where(mean < shares, high, middle)
    return np.where(given > 0, (low + high) / 2, 0.0)
