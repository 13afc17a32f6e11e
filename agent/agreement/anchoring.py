"""Anchoring: how much more often people agree with a machine's suggestion where they see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.tasks.intervals import wilson


@dataclass(frozen=True, slots=True)
class Band:
    """Items between two bounds of the machine's confidence, `lo` included and `hi` not: how many were shown with the
    suggestion and blind, and in how many of them the person agreed with it."""

    lo: float
    hi: float
    shown: int
    shown_agreed: int
    blind: int
    blind_agreed: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Share of agreement where shown less that where blind, within bands, with its 95 % interval. It rests on the
    `shown` and `blind` items of bands that have both; NaN where there is no such band."""

    value: float
    lo: float
    hi: float
    shown: int
    blind: int
    bands: tuple[Band, ...]


def anchored(
    right: npt.NDArray[np.bool_],
    blind: npt.NDArray[np.bool_],
    confidence: npt.NDArray[np.float64],
    edges: Sequence[float],
) -> Difference:
    """How much more often people agree where they see the suggestion, at the same confidence of the machine.

    Shown items are the doubtful ones, so the plain difference would say that seeing a suggestion makes people
    disagree. Bands are weighed as by Mantel and Haenszel (1959), n1 n0 / (n1 + n0). The interval is Newcombe's (1998,
    method 10) in each band, put together by the rule for sums of estimates (Zou and Donner 2008, "Construction of
    confidence limits about effect measures"): unlike one from variances it has a width where all agree.

    Args:
        right: (n,) whether the person agreed with the suggestion.
        blind: (n,) whether it was hidden from them.
        confidence: (n,) of the machine in the suggestion, 0 to 1; NaN where it is not known, a band by itself.
        edges: rising bounds between the bands.
    """
    bounds = [-math.inf, *edges, math.inf]
    where = np.where(np.isnan(confidence), len(bounds) - 1, np.searchsorted(edges, confidence, side="right"))
    bands = []
    for place in np.unique(where).tolist():
        here = where == place
        known = place < len(bounds) - 1
        lo, hi = (bounds[place], bounds[place + 1]) if known else (math.nan, math.nan)
        counts = [(here & side, here & side & right) for side in (~blind, blind)]
        (n1, x1), (n0, x0) = ((int(n.sum()), int(x.sum())) for n, x in counts)
        bands.append(Band(max(lo, 0.0), min(hi, 1.0), n1, x1, n0, x0))
    return _together(bands)


def _together(bands: Sequence[Band]) -> Difference:
    both = [b for b in bands if b.shown and b.blind]
    shown, blind = sum(b.shown for b in both), sum(b.blind for b in both)
    if not both:
        return Difference(math.nan, math.nan, math.nan, shown, blind, tuple(bands))
    weights = np.array([b.shown * b.blind / (b.shown + b.blind) for b in both])
    weights /= weights.sum()
    value, down, up = 0.0, 0.0, 0.0
    for weight, band in zip(weights.tolist(), both, strict=True):
        p1, p0 = band.shown_agreed / band.shown, band.blind_agreed / band.blind
        lo1, hi1 = wilson(band.shown_agreed, band.shown)
        lo0, hi0 = wilson(band.blind_agreed, band.blind)
        value += weight * (p1 - p0)
        down += weight**2 * ((p1 - lo1) ** 2 + (hi0 - p0) ** 2)
        up += weight**2 * ((hi1 - p1) ** 2 + (p0 - lo0) ** 2)
    lo, hi = value - math.sqrt(down), value + math.sqrt(up)
    return Difference(value, max(-1.0, lo), min(1.0, hi), shown, blind, tuple(bands))
