"""Accuracy against dollars: each oracle alone, all of them together, and with people. Numbers in, figures out.

What an oracle alone is right on is the share of its labels that is. One that was asked only about what another was
not sure of was asked about hard texts: that figure says so (`hard`), and is not to be held against the others'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.report.findings import Estimate
from agent.report.truth import share_right

CASCADE, PEOPLE, ALONE = "all together", "with people", "people alone"
THOUSAND = 1000
BARS = 40
"""Bars of the first oracle that the curve is drawn through, at most."""


@dataclass(frozen=True, slots=True)
class Case:
    """One text whose truth is known, and what became of it.

    Attributes:
        right: by oracle, whether its label is right; None where it gave none.
        cost: by oracle, micro-dollars of that label.
        sure: how sure the first oracle's label is, calibrated; NaN where nothing tells.
        last: the oracle whose label it has in the end.
        beyond: the same had it been sent on by the first, which stands where it was; None where nobody knows.
        accepted: that label is accepted, so that no person has to decide.
        chance: with which its truth came to be known.
    """

    right: tuple[bool | None, ...]
    cost: tuple[int, ...]
    sure: float
    last: int
    beyond: int | None
    accepted: bool
    chance: float = 1.0

    def ends(self, place: int) -> tuple[bool, int]:
        """(right, cost) where the label of the oracle at `place` stands; those before it are paid as well."""
        return bool(self.right[place]), sum(self.cost[: place + 1])


@dataclass(frozen=True, slots=True)
class Way:
    """One way of labelling.

    Attributes:
        name: an oracle's, `all together`, `with people` or `people alone`.
        accuracy: share of its labels that is right; None where nobody knows, and of people, whose word is the truth.
        price: micro-dollars for a thousand labels, people's time included where the job says what that costs.
        texts: how many texts it labelled, also those whose truth is not known.
        hard: it was asked only about texts that the oracle before it was not sure of.
        to_people: share of texts that a person decides on.
        minutes: people's, for a thousand labels; None where nobody has reviewed anything.
    """

    name: str
    accuracy: Estimate | None = None
    price: float | None = None
    texts: int = 0
    hard: bool = False
    to_people: float = 0.0
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class AtBar:
    """All oracles together, had the first one's bar been another: share of texts `sent` on, what is right, and
    micro-dollars for a thousand labels."""

    bar: float
    sent: float
    accuracy: float
    price: float


@dataclass(frozen=True, slots=True)
class Frontier:
    """Each way of labelling, oracles first, and how the first bar trades accuracy for dollars.

    Attributes:
        same_texts: every oracle was asked about the texts it is measured on, so that they can be held against each
            other.
        bars: by oracle, from where on its labels are accepted.
        minute: dollars that a person's minute costs; None where the job does not say.
        better: an oracle that alone is right on as many of the same texts as all together, for less.
        why_not: why nothing is measured.
    """

    ways: tuple[Way, ...]
    curve: tuple[AtBar, ...] = ()
    same_texts: bool = False
    bars: tuple[float, ...] = ()
    minute: float | None = None
    better: str | None = None
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class Time:
    """What people's time comes to: `seconds` for a label of theirs (None where nobody knows), the share of accepted
    labels that they check as well, and `minute`, what one costs in dollars (None where the job does not say)."""

    seconds: float | None = None
    audit: float = 0.0
    minute: float | None = None


def frontier(
    cases: Sequence[Case],
    oracles: Sequence[Way],
    together: Way,
    *,
    measured_on: str,
    same_texts: bool,
    time: Time,
) -> Frontier:
    """All ways, measured on `cases`.

    Args:
        oracles: names, prices and numbers of texts, not measured yet.
        together: the same of all together.
    """
    chances = [c.chance for c in cases]
    ways = [_alone(cases, place, way, measured_on) for place, way in enumerate(oracles)]
    right = [c.ends(c.last)[0] for c in cases]
    together = replace(together, accuracy=share_right(right, chances, measured_on))
    better = _better(ways, together) if same_texts else None
    ways += [together, _with_people(cases, together, measured_on, time)]
    ways += [] if time.seconds is None else [_people_alone(time.seconds, time.minute)]
    return Frontier(tuple(ways), _curve(cases), same_texts, minute=time.minute, better=better)


def _alone(cases: Sequence[Case], place: int, way: Way, measured_on: str) -> Way:
    own = [c for c in cases if c.right[place] is not None]
    return replace(
        way, accuracy=share_right([bool(c.right[place]) for c in own], [c.chance for c in own], measured_on)
    )


def _better(ways: Sequence[Way], together: Way) -> str | None:
    """The cheapest oracle that alone is right on as many as all together, for less."""
    found = [
        (w.price, w.name)
        for w in ways
        if w.accuracy and together.accuracy and w.accuracy.value >= together.accuracy.value
        if w.price is not None and together.price is not None and w.price < together.price
    ]
    return min(found)[1] if found else None


def _with_people(cases: Sequence[Case], together: Way, measured_on: str, time: Time) -> Way:
    """What is accepted as it is, and what is not as people decide, whose word is taken for the truth."""
    chances = [c.chance for c in cases]
    right = [c.ends(c.last)[0] or not c.accepted for c in cases]
    unsure = _mean([float(not c.accepted) for c in cases], chances)
    people = unsure + time.audit * (1 - unsure)
    minutes = None if time.seconds is None else THOUSAND * people * time.seconds / 60
    price = together.price
    if time.minute is not None and price is not None:
        price = None if minutes is None else price + 1e6 * time.minute * minutes
    accuracy = share_right(right, chances, measured_on)
    return Way(PEOPLE, accuracy, price, together.texts, to_people=people, minutes=minutes)


def _people_alone(seconds: float, minute: float | None) -> Way:
    minutes = THOUSAND * seconds / 60
    return Way(ALONE, price=None if minute is None else 1e6 * minute * minutes, to_people=1.0, minutes=minutes)


def _curve(cases: Sequence[Case]) -> tuple[AtBar, ...]:
    """From the bar that sends nothing on to the highest of which it is known what came of all that it sends on.
    Nothing where some labels of the first oracle have no chance of being right."""
    if any(np.isnan(c.sure) for c in cases):
        return ()
    closed = min([c.sure for c in cases if c.beyond is None], default=np.inf)
    bars = sorted({c.sure for c in cases if c.sure <= closed} | ({np.inf} if closed == np.inf else set()))
    picked = bars if len(bars) <= BARS else [bars[i] for i in np.linspace(0, len(bars) - 1, BARS).astype(int)]
    return tuple(_at(cases, bar) for bar in picked) if len(picked) > 1 else ()


def _at(cases: Sequence[Case], bar: float) -> AtBar:
    chances = [c.chance for c in cases]
    ends = [c.ends(c.beyond if c.sure < bar and c.beyond is not None else 0) for c in cases]
    of: Callable[[list[float]], float] = lambda values: _mean(values, chances)  # noqa: E731
    return AtBar(
        bar=min(1.0, bar),
        sent=of([float(c.sure < bar) for c in cases]),
        accuracy=of([float(right) for right, _ in ends]),
        price=THOUSAND * of([float(cost) for _, cost in ends]),
    )


def _mean(values: Sequence[float], chances: Sequence[float]) -> float:
    return float(np.average(values, weights=1 / np.asarray(chances))) if values else 0.0
