"""Which inputs of a stream are kept, with so many a day: some by chance, the others where the model is unsure.

Each is looked at once, when it comes, and nothing is known of those to come. The unsure ones are found by a balanced
incremental quantile filter (Kottke, Krempl and Spiliopoulou 2015, "Probabilistic active learning in datastreams"):
one is kept whose doubt is among the highest of the last few hundred, and the bar moves with how many should have been
kept by now. It needs no step size, and a model whose confidence is badly calibrated, or changes, keeps as many; the
threshold of Zliobaite, Bifet, Pfahringer and Holmes 2014 ("Active learning with drifting streaming data") creeps
towards the right place instead. From their "Split" is that a part is drawn by chance alone: a filter looks only where
the model doubts, and would never see a change where it is sure.

Pure numbers: no text, no file, no clock.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

CHANCE_SHARE = 0.1
WINDOW = 500
ENOUGH = 20
"""Fewer doubts than this say nothing of what is high."""
TOLERANCE = 50.0
"""So many too few (or too many) kept, and the bar is lowered (or raised) by the whole range of the window."""
CAREFUL = 0.75
"""Of the rate at which the part for chance would be used up exactly: it should last, or the rest has no chance."""
MORE = 0.25
"""Where a day has more texts than were expected: share of those so far that is thought to come still."""
MORE_BY_CHANCE = 1.0
"""The same for what is drawn by chance: rather some of that is left than that late texts are never drawn."""
DRAWN_AGAIN = 2**20
"""The draw's lower digits are a second draw, which does not depend on the first."""
FIRST_DAY = 10
"""Texts expected on a day without one before it, for each that may be kept."""


class Why(StrEnum):
    """Why an input is kept."""

    CHANCE = "chance"  # drawn by nothing but chance
    DRIFT = "drift"  # unlike what there was, after a drift of inputs was found
    UNSURE = "unsure"  # the model doubts what it said


@dataclass
class Day:
    """What came in one day, and what was kept of it.

    Attributes:
        expected: texts that were thought to come, when it began.
        seen: texts.
        kept: how many for each reason.
        unreached: texts that came when the part for chance was used up: no estimate speaks for those.
        due: of drift and unsure, how many should have been kept by now.
    """

    expected: int
    seen: int = 0
    kept: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Why, 0))
    unreached: int = 0
    due: dict[str, float] = field(default_factory=lambda: {Why.DRIFT: 0.0, Why.UNSURE: 0.0})

    @property
    def total(self) -> int:
        """All that was kept."""
        return sum(self.kept.values())

    def rest(self, more: float = MORE) -> float:
        """Texts that are thought to come still, this one counted, and at least so many for each one so far."""
        return max(1.0, self.expected - self.seen, more * self.seen)

    def as_kept(self) -> dict[str, Any]:
        """As JSON; `Day(**it)` is the same again."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """An input that is kept, and the probability with which it was, given all that came before it."""

    why: Why
    probability: float


class Filter:
    """A bar in the upper part of the last values."""

    def __init__(self, values: list[float] | None = None) -> None:
        self.values = deque(values or [], WINDOW)

    def bar(self, value: float, rate: float, behind: float) -> float:
        """What a value has to reach to be among the highest, this one counted.

        Args:
            rate: share of values that should pass.
            behind: how many more should have passed by now than did; below 0, how many fewer.
        """
        self.values.append(value)
        if len(self.values) < ENOUGH or rate <= 0:
            return np.inf
        window = np.fromiter(self.values, float)
        return float(np.quantile(window, 1 - rate) - np.ptp(window) * behind / TOLERANCE)


@dataclass
class Sampler:
    """Decides input by input. What was decided is in the days that it is given."""

    doubts: Filter = field(default_factory=Filter)
    draws: Filter = field(default_factory=Filter)

    def look(
        self, day: Day, most: int, draw: float, doubt: float, novel: bool | None, *, known: bool
    ) -> Verdict | None:
        """Whether an input is kept, and count it.

        Args:
            day: of which at most `most` inputs are kept.
            draw: of this input, from 0 to 1, `draw_of` its text.
            doubt: 0 to 1.
            novel: whether it is unlike what there was; None as long as no drift was found. Of those that are, some
                are drawn at random: the farthest are the oddest, and not what most of the new ones are like.
            known: the same text was kept already.
        """
        found = None if known else self._verdict(day, most, draw, doubt, novel)
        if not known and self._chance(day, most) <= 0:
            day.unreached += 1
        day.seen += 1
        if found:
            day.kept[found.why] += 1
        return found

    def _verdict(self, day: Day, most: int, draw: float, doubt: float, novel: bool | None) -> Verdict | None:
        chance = self._chance(day, most)
        others = most - for_chance(most)
        drifting = min(others // 2, others - day.kept[Why.UNSURE]) - day.kept[Why.DRIFT] if novel is not None else 0
        reserved = max(0, drifting)
        unsure = others - day.kept[Why.UNSURE] - day.kept[Why.DRIFT] - reserved
        total = most - day.total
        again = draw * DRAWN_AGAIN % 1 if novel else 0.0
        drawn = np.inf if novel is None else _bar(self.draws, Why.DRIFT, day, min(drifting, total), again)
        doubt += 1e-9 * draw  # or of equal doubts all would pass, or none
        doubted = _bar(self.doubts, Why.UNSURE, day, min(unsure, total), doubt)
        if draw < chance:
            return Verdict(Why.CHANCE, chance)
        if novel and again >= drawn:
            return Verdict(Why.DRIFT, min(1.0, 1 - drawn))
        return Verdict(Why.UNSURE, 1.0) if doubt >= doubted else None

    def _chance(self, day: Day, most: int) -> float:
        left = min(for_chance(most) - day.kept[Why.CHANCE], most - day.total)
        return CAREFUL * min(1.0, max(0, left) / day.rest(MORE_BY_CHANCE))


def _bar(values: Filter, why: Why, day: Day, left: int, value: float) -> float:
    """What a value has to reach, where `left` more may be kept of the rest of the day."""
    rate = min(1.0, max(0, left) / day.rest())
    day.due[why] += rate
    return values.bar(value, rate, day.due[why] - day.kept[why])


def for_chance(most: int) -> int:
    """How many of a day's inputs are drawn by chance."""
    return max(1, round(CHANCE_SHARE * most))


def expected(most: int, before: Day | None) -> int:
    """How many texts a day is thought to have: as many as the one before it."""
    return FIRST_DAY * most if before is None else max(1, before.seen)


def draw_of(text: str, seed: int) -> float:
    """A number from 0 to 1 that is a text's own: the same text is drawn once, however often it comes."""
    hashed = hashlib.sha256(f"{seed}:{text}".encode()).digest()
    return int.from_bytes(hashed[:7]) / 2**56
