"""What the strategies that compose their own batch share: `pick`, and which candidates are looked at.

Knows no formula.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np

from agent.records import Floats
from agent.selection.seam import Choice, Indices, State, top
from agent.selection.strategies.options import check


@dataclass(frozen=True, kw_only=True)
class Composed(ABC):
    """A strategy that chooses a batch as a whole. Derive from it, write `score` and `compose`, and name what is wrong
    with the settings in `problems`.

    Attributes:
        uncovered: share of a batch that `agent.selection.compose` gives to candidates far from everything labelled,
            beside what is chosen here, 0 to 1.

    Raises:
        JobFileError: a setting is out of range.
    """

    uncovered: float = 0.0

    def __post_init__(self) -> None:
        check(number("uncovered", self.uncovered, 0, 1), *self.problems())

    def problems(self) -> Iterable[str | None]:
        """What is wrong with the settings, as `one_of`, `whole` and `number` say it; None where nothing is."""
        return ()

    @abstractmethod
    def score(self, state: State) -> Floats:
        """(n,) float32, finite: higher is more useful to ask."""

    def pick(self, scores: Floats, size: int, rng: np.random.Generator) -> Indices:
        """The `size` highest scores, best first, ties in random order."""
        return top(scores, size, rng)

    def choose(self, state: State, size: int, rng: np.random.Generator) -> Choice:
        """Exactly min(`size`, number of free candidates) of them, the most wanted first."""
        free = state.free()
        size = min(size, len(free))
        if size <= 0:
            return Choice(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
        return self.compose(state, free, size, rng)

    @abstractmethod
    def compose(self, state: State, free: Indices, size: int, rng: np.random.Generator) -> Choice:
        """`size` of the `free` candidates, 1 <= size <= len(free)."""


def some(free: Indices, scores: Floats | None, count: int | None, rng: np.random.Generator) -> Indices:
    """At most `count` of the free candidates, ascending: those of the highest scores (n,), or by chance where there
    are none. All of them where `count` is None."""
    if count is None or len(free) <= count:
        return free
    found = rng.choice(len(free), count, replace=False) if scores is None else top(scores[free], count, rng)
    return np.sort(free[found])


def number(name: str, value: object, least: float, most: float = math.inf) -> str | None:
    """A problem unless `value` is a finite number from `least` to `most`."""
    if type(value) in (int, float) and math.isfinite(cast(float, value)) and least <= cast(float, value) <= most:
        return None
    reach = f"from {least:g}" + (f" to {most:g}" if math.isfinite(most) else "")
    return f"`selection.options.{name}`: a number {reach} is needed, not {value!r}"


def yes_or_no(name: str, value: object) -> str | None:
    """A problem unless `value` is true or false."""
    return None if isinstance(value, bool) else f"`selection.options.{name}`: true or false is needed, not {value!r}"
