"""Batches drawn by chance, the more useful a text the likelier: a plain top-b buys the same doubt b times.

Knows no vectors: the noise alone keeps a batch from being b copies of one thought. The cost is that of the base
and O(n), with a few numbers a candidate in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from agent.records import Floats
from agent.selection.seam import Choice, Indices, State, Strategy, top
from agent.selection.strategies.basis import Doubles, lifted, ranks, usefulness
from agent.selection.strategies.composed import Composed, number
from agent.selection.strategies.options import one_of
from agent.selection.strategies.uncertainty import Margin

VARIANTS = ("power", "softmax", "softrank")


def log_weights(scores: Floats, variant: str, beta: float) -> Doubles:
    """The logarithm of what each candidate weighs in the draw: (n,) float64.

    Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal 2023, "Stochastic Batch Acquisition",
    arXiv:2106.12059, table 1: power beta log s, softmax beta s, softrank -beta log r.

    Args:
        scores: (n,) float32, none below zero; under `power` a score of zero is drawn after all others.
        variant: power, softmax or softrank; r is 1 for the highest score.
        beta: 0 draws uniformly, infinity would take the highest scores.
    """
    if variant == "softrank":
        return -beta * np.log(ranks(scores))
    exact = scores.astype(np.float64)
    return beta * (np.log(np.maximum(exact, np.finfo(np.float64).tiny)) if variant == "power" else exact)


@dataclass(frozen=True, kw_only=True)
class Power(Composed):
    """Draws without replacement with chances that grow with the score (Kirsch et al. 2023), by Gumbel noise on the
    logarithm of each weight: the highest sums are such a draw (Kool, van Hoof and Welling 2019, arXiv:1903.06059).

    Attributes:
        base: gives the scores.
        variant: power, softmax or softrank. Softmax depends on the scores' scale, power on their zero, softrank on
            neither.
        beta: how much the scores weigh against the noise, from 0.
    """

    base: Strategy = field(default_factory=Margin)
    variant: str = "power"
    beta: float = 1.0
    name: ClassVar[str] = "power"

    def problems(self) -> Iterable[str | None]:
        """What is wrong with the settings."""
        return one_of("variant", self.variant, VARIANTS), number("beta", self.beta, 0, 1e6)

    def score(self, state: State) -> Floats:
        """(n,) float32, never below zero: the base's scores, without the noise."""
        return usefulness(self.base, state)

    def pick(self, scores: Floats, size: int, rng: np.random.Generator) -> Indices:
        """`size` of the scores (n,), drawn without replacement, the first drawn first."""
        return top(_noisy(self._weights(lifted(scores)), rng), size, rng)

    def compose(self, state: State, free: Indices, size: int, rng: np.random.Generator) -> Choice:
        """`size` of the free candidates, drawn without replacement, the first drawn first."""
        weights = self._weights(self.score(state)[free])
        noisy = _noisy(weights, rng)
        drawn = top(noisy, size, rng)
        share = np.exp(weights[drawn] - weights.max()) / np.exp(weights - weights.max()).sum()
        told = {
            "noise": (noisy - weights)[drawn].tolist(),
            "chance_of_first_draw": share.tolist(),
            "drawn_by": [f"{self.variant}, beta {self.beta:g}"] * size,
        }
        return Choice(free[drawn], noisy[drawn], told)

    def _weights(self, scores: Floats) -> Doubles:
        return log_weights(scores, self.variant, self.beta)


def _noisy(weights: Doubles, rng: np.random.Generator) -> Floats:
    return np.asarray(weights + rng.gumbel(size=len(weights)), dtype=np.float32)
