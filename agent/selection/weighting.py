"""Weights that undo selection: with them, the mean loss of what was labelled is that of the whole pool.

Active learning labels what it is unsure of, so the plain mean over the labelled is biased. Where chance decided, and
with recorded probabilities, that can be undone. Pure numbers; knows no text and no store.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.records import Floats

Numbers = npt.NDArray[np.float64]
MOST = 10.0  # a weight above ten times the mean rests the student on one text


@dataclass(frozen=True, eq=False)
class Weights:
    """Clipped weights.

    Attributes:
        values: (n,) float32, mean 1.
        clipped: how many were cut down.
        effective: as how many equal weights they are worth (Kish 1965), at most n.
    """

    values: Floats
    clipped: int
    effective: float


def lure(probabilities: Numbers, population: int) -> Numbers:
    """(M,) weights v, so that mean(v * loss) of M texts drawn one by one is unbiased for the pool's mean loss.

    v_m = 1 + (N - M) / (N - m) * (1 / ((N - m + 1) q_m) - 1), the levelled unbiased risk estimator of Farquhar, Gal
    and Rainforth 2021, "On Statistical Bias in Active Learning: How and When to Fix It", eq. 4 (R_LURE).

    Args:
        probabilities: (M,) q_m, the chance with which the m-th text was drawn from the N - m + 1 that were left.
        population: N, the size of the pool.

    Raises:
        ValueError: a probability out of (0, 1], or more draws than texts.
    """
    q = np.asarray(probabilities, np.float64)
    total = len(q)
    if total > population or not np.all((q > 0) & (q <= 1)):
        raise ValueError("probabilities must be above 0 and at most 1, and no more than the pool has texts")
    m = np.arange(1, total + 1)
    rest = np.divide(population - total, population - m, out=np.zeros(total), where=population > m)
    return np.asarray(1 + rest * (1 / ((population - m + 1) * q) - 1))


def batch_lure(probabilities: Numbers, groups: npt.NDArray[np.int64], population: int) -> Numbers:
    """(n,) weights v, so that mean(v * loss) is unbiased for the pool's mean loss, of batches drawn with recorded
    chances of inclusion: R_LURE with a batch for a draw.

    A group is what was drawn together (the random slice of a round). After group g, the pool's total is estimated
    without bias by what was known before plus the group's losses over their chances of inclusion (Horvitz and
    Thompson 1952). Those estimates are averaged with R_LURE's weights, 1 / (N - s - k) - 1 / (N - s) where s texts
    were known and k are drawn. Groups of one text are R_LURE exactly; uniform ones give each text the weight 1.

    **A text without a probability** was chosen because of the numbers alone. It cannot stand for any other: it is in
    no group's estimate, and enters later ones as known, which is to stand for itself. So only texts with a
    probability say anything about the rest of the pool. Where nothing has a probability every weight is 1.

    Args:
        probabilities: (n,) chance of inclusion, given what was known before the group; nan where the choice was
            determined.
        groups: (n,) int64, ascending in time; what is known before a group has a lower number.
        population: N, how many texts the losses are to stand for, n or more.

    Raises:
        ValueError: a probability out of (0, 1], or more texts than the population.
    """
    p = np.asarray(probabilities, np.float64)
    drawn = ~np.isnan(p)
    if len(p) > population or not np.all((p[drawn] > 0) & (p[drawn] <= 1)):
        raise ValueError("probabilities must be above 0 and at most 1, and no more texts than the population")
    if not drawn.any():
        return np.ones(len(p))
    numbers, place = np.unique(groups, return_inverse=True)
    sizes = np.bincount(place, minlength=len(numbers))
    counts = np.bincount(place, weights=drawn, minlength=len(numbers))
    left = population - (np.cumsum(sizes) - sizes)  # N - s
    share = 1 / np.maximum(left - counts, 1e-9) - 1 / np.maximum(left, 1e-9)
    share = share / share.sum()
    later = share[::-1].cumsum()[::-1] - share  # of the groups after each, in which its texts are known
    standing = np.where(drawn, share[place] / np.where(drawn, p, 1.0), 0.0)
    return np.asarray(len(p) / population * (standing + later[place]))


def drawn(
    picks: Iterable[tuple[int, str, float | None, Mapping[str, Any]]],
) -> tuple[npt.NDArray[np.int64], Numbers]:
    """(groups, probabilities) of all picks of a job, as `batch_lure` takes them, from what selection recorded.

    What was drawn together (a round's random slice) is one group. Strategy `power` draws one text after another, each
    with its share of the weights that are left (Plackett and Luce), and notes its share of all weights: each such
    text is a group of its own, with the chance share / (1 - shares drawn before it).

    Args:
        picks: (round, slice, chance of inclusion or None, why) in the order of picking.
    """
    groups: list[int] = []
    chances: list[float] = []
    before, gone = (-1, ""), 0.0
    for number, part, probability, why in picks:
        share = why.get("chance_of_first_draw") if probability is None and why.get("strategy") == "power" else None
        if (number, part) != before:
            gone = 0.0
        new = isinstance(share, float) or (number, part) != before
        before = number, part
        groups.append((groups[-1] if groups else -1) + new)
        chances.append(math.nan if probability is None else probability)
        if isinstance(share, float) and share > 0:
            chances[-1] = min(1.0, share / max(share, 1.0 - gone))
            gone += share
    return np.array(groups, np.int64), np.array(chances, np.float64)


def clip(weights: Numbers, most: float = MOST) -> Weights:
    """Weights with mean 1, none above `most` times the mean before it was cut.

    Cutting trades a little bias for much less variance (Ionides 2008, "Truncated Importance Sampling"): one text
    that was very unlikely to be drawn must not outweigh all others.
    """
    w = np.asarray(weights, np.float64)
    if not len(w) or not w.sum() > 0:
        return Weights(np.ones(len(w), np.float32), 0, float(len(w)))
    cut = np.minimum(w, most * w.mean())
    values = cut / cut.mean()
    return Weights(values.astype(np.float32), int((cut < w).sum()), float(values.sum() ** 2 / (values**2).sum()))
