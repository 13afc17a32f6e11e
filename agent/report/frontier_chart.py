"""The frontier as a picture: accuracy against dollars for a thousand labels, a dot for each way of labelling.

Prices of oracles lie apart by factors, so dollars are drawn on a logarithmic scale where they do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from agent.report.charts import BOTTOM, LEFT, TOP, measured, percent_grid
from agent.report.findings import Estimate
from agent.report.frontier import CASCADE, PEOPLE, Frontier, Way
from agent.report.svg import Drawing, Scale, ticks
from agent.report.wording import dollars_each, percent

FAR = 6
"""Times by which prices lie apart before their scale is logarithmic."""
HEIGHT = 276.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A way that has both a price and an accuracy."""

    way: Way
    price: float
    accuracy: Estimate

    @property
    def css(self) -> str:
        return {CASCADE: "chosen", PEOPLE: "person"}.get(self.way.name, "oracle")


class Dollars:
    """Micro-dollars onto pixels, by their logarithm where they lie far apart; what costs nothing is leftmost."""

    def __init__(self, prices: Sequence[float], start: float, end: float) -> None:
        paid = [p for p in prices if p > 0] or [1.0]
        self.is_log = max(paid) > FAR * min(paid)
        self._least = min(paid) / (2 if min(prices) > 0 else 4)
        lo, hi = (self._at(self._least), self._at(1.5 * max(paid))) if self.is_log else (0.0, 1.15 * max(paid))
        self.scale = Scale(lo, hi, start, end)

    def __call__(self, price: float) -> float:
        return self.scale(self._at(max(price, self._least)) if self.is_log else price)

    def _at(self, price: float) -> float:
        return math.log10(price)

    def ticks(self, about: int) -> list[float]:
        """Round prices within the scale: 1, 2 and 5 times powers of ten, or tens alone where those are many."""
        if not self.is_log:
            return ticks(self.scale.lo, self.scale.hi, about)
        tens = range(math.floor(self.scale.lo), math.ceil(self.scale.hi) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [m * 10.0**p for p in tens for m in steps if self.scale.lo <= math.log10(m * 10.0**p)]
            found = [price for price in found if math.log10(price) <= self.scale.hi]
            if len(found) <= about:
                break
        return found


def chart(found: Frontier | None, width: int) -> Markup | None:
    """None where fewer than two ways have been measured: one dot shows nothing. People's time that has no price would
    look as if it were free: then what people do has no dot."""
    shown = [w for w in found.ways if w.name != PEOPLE or found.minute is not None] if found else []
    dots = [Dot(w, w.price, w.accuracy) for w in shown if w.price is not None and w.accuracy]
    if found is None or len(dots) < 2:
        return None
    wide = width > 400
    right = width - 12.0
    x = Dollars([d.price for d in dots] + [at.price for at in found.curve], LEFT, right)
    y = Scale(*_span(dots), HEIGHT, TOP)
    below = 0 if wide else 12 + 18 * len(dots)
    d = Drawing(width, HEIGHT + BOTTOM + below, _said(dots))
    percent_grid(d, y, right)
    _x_axis(d, x, wide)
    d.path([(x(at.price), _inside(y, at.accuracy)) for at in found.curve], "curve thin chosen")
    for dot in dots:
        _whisker(d, x(dot.price), y, dot)
    for dot in dots:
        said = f"{dot.way.name}, {dollars_each(dot.price)} for a thousand labels: {measured(dot.accuracy)}"
        css = f"dot {dot.css}" + (" hollow" if dot.way.hard else "")
        d.dot((x(dot.price), y(dot.accuracy.value)), 5 if dot.css != "oracle" else 4.5, css, said)
    if wide:
        _names_beside(d, dots, x, y)
    else:
        _names_below(d, dots)
    return d.svg()


def _span(dots: Sequence[Dot]) -> tuple[float, float]:
    """The accuracy axis: all dots, and of their intervals what does not squeeze them flat."""
    values = [d.accuracy.value for d in dots]
    room = max(0.06, max(values) - min(values))
    lows = [d.accuracy.lo for d in dots if d.accuracy.lo is not None]
    highs = [d.accuracy.hi for d in dots if d.accuracy.hi is not None]
    lo = max(min(values) - room, min(lows, default=0.0))
    hi = min(max(values) + room, max(highs, default=1.0))
    return max(0.0, lo - 0.02), min(1.0, hi + 0.02)


def _inside(y: Scale, value: float) -> float:
    return y(min(max(value, y.lo), y.hi))


def _whisker(d: Drawing, at: float, y: Scale, dot: Dot) -> None:
    e = dot.accuracy
    if e.lo is not None and e.hi is not None:
        d.line((at, _inside(y, e.lo)), (at, _inside(y, e.hi)), f"whisker {dot.css}")


def _x_axis(d: Drawing, x: Dollars, wide: bool) -> None:
    d.line((x.scale.start, HEIGHT), (x.scale.end, HEIGHT), "axis")
    for price in x.ticks(7 if wide else 4):
        d.line((x(price), HEIGHT), (x(price), HEIGHT + 4), "axis")
        d.text((x(price), HEIGHT + 18), f"${price / 1e6:,.10f}".rstrip("0").rstrip("."), anchor="middle")
    said = "dollars for 1,000 labels" + (", logarithmic" if x.is_log else "")
    d.text(((x.scale.start + x.scale.end) / 2, HEIGHT + 38), said, "name", "middle")


def _names_beside(d: Drawing, dots: Sequence[Dot], x: Dollars, y: Scale) -> None:
    """Names beside their dots, on the side where there is room, moved apart where two would touch."""
    taken: list[tuple[float, float, float]] = []  # left, right, height
    for dot in sorted(dots, key=lambda d: -d.accuracy.value):
        said, at = f"{dot.way.name} {percent(dot.accuracy.value)}", x(dot.price)
        wide = 7.2 * len(said)
        on_left = at + 10 + wide > x.scale.end
        left = at - 10 - wide if on_left else at + 10
        height = y(dot.accuracy.value) + 4
        while any(left < end and begin < left + wide and abs(height - h) < 16 for begin, end, h in taken):
            height += 4
        taken.append((left, left + wide, height))
        d.text((at - 10 if on_left else at + 10, height), said, f"name halo {dot.css}", "end" if on_left else "start")


def _names_below(d: Drawing, dots: Sequence[Dot]) -> None:
    """Names as a list under the chart, where there is no room beside the dots."""
    for i, dot in enumerate(sorted(dots, key=lambda d: -d.accuracy.value)):
        height = HEIGHT + BOTTOM + 14 + 18 * i
        d.dot((LEFT + 6, height - 4), 4.5, f"dot {dot.css}" + (" hollow" if dot.way.hard else ""))
        said = f"{dot.way.name} {percent(dot.accuracy.value)}, {dollars_each(dot.price)}"
        d.text((LEFT + 18, height), said, f"name {dot.css}")


def _said(dots: Sequence[Dot]) -> str:
    ways = "; ".join(f"{d.way.name}: {measured(d.accuracy)}, {dollars_each(d.price)}" for d in dots)
    return f"Accuracy against dollars for a thousand labels. {ways}."
