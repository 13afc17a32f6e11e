"""Confident learning: labels that a model which had not seen them confidently takes for another class.

Northcutt, Jiang and Chuang 2021 (arXiv:1911.00068), as cleanlab has it. Numbers in, numbers out.
"""

from __future__ import annotations

import numpy as np

from agent.doubt.calibration import Bools, Indices
from agent.records import Floats


def confidently_other(said: Indices, probabilities: Floats) -> Bools:
    """(n,) which labels stand off the diagonal of the confident joint.

    A model is confident of a class where it gives it at least what it gives it on average to that class's own labels;
    of several such classes the likeliest one counts. What it is confident of no class about stands nowhere.

    Args:
        said: (n,) int64 the class given, n at least one.
        probabilities: (n, C) of a model that had not seen these labels; rows sum to one.
    """
    # late: it brings pandas and much else along, for jobs that ask again only
    from cleanlab.count import compute_confident_joint

    _, rows = compute_confident_joint(
        said, np.asarray(probabilities, np.float64), calibrate=False, return_indices_of_off_diagonals=True
    )
    found = np.zeros(len(said), np.bool_)
    found[rows] = True
    return found
