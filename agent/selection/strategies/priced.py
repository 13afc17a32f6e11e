"""What a text teaches a dollar: usefulness over what asking about it is expected to cost.

Knows prices as numbers only. O(n) beside the base.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agent.records import Floats
from agent.selection.seam import State
from agent.selection.strategies.basis import OnBase, usefulness
from agent.selection.strategies.composed import number


def over_price(scores: Floats, prices: Floats, exponent: float) -> Floats:
    """Scores (n,) over prices (n,) to the power of `exponent`, where the mean price counts as 1: (n,) float32.

    Return on investment of Settles, Craven and Friedland 2008, "Active Learning with Real Annotation Costs", with
    the price damped by an exponent: 0 forgets it, 1 is usefulness a dollar. What costs less than one micro-dollar
    counts as one, so that a free text does not outweigh all others.
    """
    least = np.maximum(np.asarray(prices, dtype=np.float32), 1)
    if not len(least):
        return scores
    return np.asarray(scores * (least.mean(dtype=np.float64) / least) ** exponent, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Priced(OnBase):
    """The base's usefulness over the expected price, damped; without prices the base alone.

    Attributes:
        base: gives the usefulness.
        exponent: how much the price weighs, from 0. A half by default: the longest texts are the dearest, and full
            usefulness a dollar buys little but short ones.
    """

    exponent: float = 0.5
    name: ClassVar[str] = "priced"

    def problems(self) -> Iterable[str | None]:
        """What is wrong with the settings."""
        return (number("exponent", self.exponent, 0, 10),)

    def score(self, state: State) -> Floats:
        """(n,) float32, never below zero."""
        useful = usefulness(self.base, state)
        return useful if state.prices is None else over_price(useful, state.prices, self.exponent)
