"""What strategies that build on others share: another's usefulness, its own way to choose, ranks, checked settings.

Knows no formula of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.errors import UserError
from agent.records import Floats
from agent.selection.batch import named, spread
from agent.selection.seam import BatchStrategy, Choice, Ranked, State, Strategy
from agent.selection.strategies.options import check
from agent.selection.strategies.uncertainty import Margin

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OnBase(Ranked):
    """A strategy that multiplies what another thinks of each candidate.

    Attributes:
        base: the other strategy.
    """

    base: Strategy = field(default_factory=Margin)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(*self.problems())

    def problems(self) -> Iterable[str | None]:
        """What is wrong with the settings, as `one_of`, `whole` and `number` say it; None where nothing is."""
        return ()


def scored(strategy: Strategy, state: State) -> Floats:
    """(n,) float32, the scores of `strategy`.

    Raises UserError where it did not give every candidate a finite number.
    """
    scores = np.asarray(strategy.score(state), dtype=np.float32)
    if scores.shape != state.candidates.shape or not np.isfinite(scores).all():
        raise UserError(f"selection.options: `score` of {named(strategy)} must return one finite number a candidate")
    return scores


def usefulness(strategy: Strategy, state: State) -> Floats:
    """(n,) float32, never below zero: the scores, lifted by the lowest one where that is negative."""
    return lifted(scored(strategy, state))


def lifted(scores: Floats) -> Floats:
    """The scores (n,), less the lowest of them where that is negative."""
    return np.asarray(scores - min(np.float32(0), scores.min(initial=0)), dtype=np.float32)


def ranks(scores: Floats) -> Doubles:
    """(n,) float64: 1 for the highest of the scores (n,), n for the lowest; equal scores share their mean rank.

    O(n log n), 32 bytes a score while it works.
    """
    order = np.argsort(-scores)
    ordered = scores[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(scores)])
    sizes = np.diff(first, append=len(scores))
    out = np.empty(len(scores), dtype=np.float64)
    out[order] = np.repeat(first + (sizes + 1) / 2, sizes)
    return out


def chosen_by(strategy: Strategy, state: State, size: int, rng: np.random.Generator) -> Choice:
    """min(`size`, f) of the f free candidates, as `strategy` alone would choose them: by its own `choose`, by chance
    where it is uniform, otherwise by score and spread over a shortlist.

    Raises UserError where its scores or its choice cannot be used.
    """
    left = state.free()
    size = min(size, len(left))
    if getattr(strategy, "uniform", Ranked.uniform):
        drawn = np.asarray(rng.choice(left, size, replace=False), dtype=np.int64)
        return Choice(drawn, np.zeros(size, dtype=np.float32))
    if not isinstance(strategy, BatchStrategy):
        return spread(strategy, scored(strategy, state), state, size, rng)
    made = strategy.choose(state, size, rng)
    if len(np.intersect1d(made.indices, left)) != size or len(made.indices) != size:
        raise UserError(
            f"selection.options: `choose` of {named(strategy)} must return {size} distinct free candidates"
        )
    return made


def agreement_with(foreseen: Floats, targets: Floats, multilabel: bool) -> Floats:
    """The probability that a student gave to what the labels say: (m,) float32 in 0 to 1.

    Args:
        foreseen: (m, C), what it said.
        targets: (m, C), the labels; a soft one counts in parts.
        multilabel: each column is a decision of its own; the mean over them is taken.
    """
    if multilabel:
        agreed = 1 - np.abs(foreseen - targets).mean(axis=1)
    else:
        agreed = (foreseen * targets).sum(axis=1) / np.maximum(targets.sum(axis=1), np.float32(1e-6))
    return np.asarray(np.clip(agreed, 0, 1), dtype=np.float32)


def note(choice: Choice, index: int) -> dict[str, object]:
    """What `choice` says of its `index`-th candidate."""
    return {name: column[index] for name, column in choice.why.items()}
