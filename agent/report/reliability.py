"""Whether confidence can be believed: answers sorted into bins by confidence, and how many were right in each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.report.findings import Bin, Reliability
from agent.tasks.intervals import wilson

BINS = 10


def reliability(
    confidence: npt.ArrayLike, right: npt.ArrayLike, weights: npt.ArrayLike | None = None, bins: int = BINS
) -> Reliability | None:
    """Sort answers into `bins` of equal width over 0 to 1; a confidence of exactly 1 belongs to the last.

    Args:
        confidence: (n,) in 0 to 1; entries that are not finite are left out.
        right: (n,) truth of each answer, 0 to 1.
        weights: (n,) one over the probability with which the answer was checked (Horvitz and Thompson 1952), so that
            doubtful answers, which people see more often, do not count for more than their share; by default all 1.

    Returns:
        The bins that hold something, and the expected calibration error (Naeini et al. 2015, with weights); None
        where no answer has a confidence. `count` counts answers, the shares are weighted, and the intervals are
        Wilson's with Kish's effective number of answers.
    """
    c, r = np.asarray(confidence, float), np.asarray(right, float)
    w = np.ones(len(c)) if weights is None else np.asarray(weights, float)
    keep = np.isfinite(c) & np.isfinite(r) & np.isfinite(w) & (w > 0)
    c, r, w = np.clip(c[keep], 0, 1), r[keep], w[keep]
    if not len(c):
        return None
    place = np.minimum((c * bins).astype(int), bins - 1)
    size = np.bincount(place, minlength=bins)
    weight = np.bincount(place, w, bins)
    squares = np.bincount(place, w * w, bins)
    full = np.flatnonzero(size)
    mean = np.bincount(place, w * c, bins)[full] / weight[full]
    share = np.clip(np.bincount(place, w * r, bins)[full] / weight[full], 0, 1)
    effective = weight[full] ** 2 / squares[full]
    ends = [wilson(float(k), float(n)) for k, n in zip(share * effective, effective, strict=True)]
    ece = float(np.sum(weight[full] * np.abs(mean - share)) / weight.sum())
    found = [
        Bin(float(b / bins), float((b + 1) / bins), int(size[b]), float(mean[i]), float(share[i]), *ends[i])
        for i, b in enumerate(full)
    ]
    return Reliability(tuple(found), ece, len(c))
