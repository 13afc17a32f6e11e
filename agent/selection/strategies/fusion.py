"""Several strategies at once, by the ranks they give, since each is wrong somewhere else; and the default.

Ranks forget the scales of scores, so nothing has to be calibrated. Costs the parts and a sort each, O(n log n).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from agent.records import Floats
from agent.selection.seam import Ranked, State, Strategy
from agent.selection.strategies.balance import Balanced
from agent.selection.strategies.basis import Doubles, ranks, scored
from agent.selection.strategies.committee import Committee
from agent.selection.strategies.composed import number
from agent.selection.strategies.options import check, one_of
from agent.selection.strategies.uncertainty import Margin

WAYS = ("reciprocal", "mean")


def credit(scores: Floats, how: str, k: float) -> Doubles:
    """What one part gives to each candidate, by its rank r alone: (n,) float64, 1 for an undisputed first.

    - reciprocal: (k + 1) / (k + r), reciprocal rank fusion (Cormack, Clarke and Büttcher 2009); being first somewhere
      counts more than being good everywhere.
    - mean: (n - r) / (n - 1), the mean normalised rank, Borda's count (Aslam and Montague 2001); the reverse.

    Equal scores share their mean rank.
    """
    rank = ranks(scores)
    if how == "reciprocal":
        return (k + 1) / (k + rank)
    return (len(scores) - rank) / max(1, len(scores) - 1)


@dataclass(frozen=True, kw_only=True)
class Fusion(Ranked):
    """Rank fusion of several strategies; the batch is spread over the fused shortlist, as for any ranking.

    Attributes:
        parts: the strategies, one or more. What each says alone of a candidate counts, not how it would compose.
        weights: one for each part, from 0, not all 0; without any all weigh the same.
        how: reciprocal or mean.
        k: of the reciprocal rank: the larger, the less the very first ranks stand out.
    """

    parts: tuple[Strategy, ...] = (Margin(), Committee())
    weights: tuple[float, ...] = ()
    how: str = "reciprocal"
    k: float = 60.0
    name: ClassVar[str] = "fusion"

    def __post_init__(self) -> None:
        super().__post_init__()
        none = None if self.parts else "`selection.options.parts`: at least one strategy is needed"
        check(none, self._wrong_weights(), one_of("how", self.how, WAYS), number("k", self.k, 0, 1e9))

    def score(self, state: State) -> Floats:
        """(n,) float32 in 0 to 1: the weighted mean of the parts' credits."""
        weights = np.array(self.weights or [1.0] * len(self.parts), dtype=np.float64)
        out = np.zeros(len(state.candidates), dtype=np.float64)
        for part, weight in zip(self.parts, weights / weights.sum(), strict=True):
            if weight:
                out += weight * credit(scored(part, state), self.how, self.k)
        return out.astype(np.float32)

    def _wrong_weights(self) -> str | None:
        given = self.weights
        fine = isinstance(given, list | tuple) and not any(number("weights", w, 0) for w in given)
        if fine and (not len(given) or (len(given) == len(self.parts) and sum(given) > 0)):
            return None
        return f"`selection.options.weights`: {len(self.parts)} numbers from 0, not all 0, are needed, not {given!r}"


@dataclass(frozen=True, kw_only=True)
class Adaptive(Balanced):
    """The default: most of a batch where the student is torn, spread over what those texts are about; up to a fifth
    for classes that are far short of labels, as long as there are any; a tenth for what nothing labelled is near.

    It is `balanced` with gentler settings: no class is weighed, only those with less than `short` of the mean number
    of labels get a quota. Chosen by measurement on three of the six sets of `evals.learning_curve`: fused ranks
    (`base: fusion`) were no better than margin alone there, and committees, densities and expected errors worse.
    """

    base: Strategy = field(default_factory=Margin)
    uncovered: float = 0.1
    floor: float = 1.0
    quota: float = 0.2
    short: float = 0.4
    name: ClassVar[str] = "adaptive"
