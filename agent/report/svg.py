"""Just enough of SVG to draw a chart: shapes with a style class each, and scales with round ticks.

Colours, fonts and the dark look are the page's style sheet; a drawing only names classes. Whatever is written in one
is escaped. The same calls give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `lo` to `hi` onto pixels from `start` to `end`; a scale of no width puts all at its middle."""

    lo: float
    hi: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.lo) / (self.hi - self.lo) if self.hi > self.lo else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values within the scale."""
        return ticks(self.lo, self.hi, about)


def step(width: float, about: int) -> float:
    """The round step (1, 2 or 5 times a power of ten) that divides `width` into at most about `about` parts."""
    if width <= 0 or not math.isfinite(width):
        return 1.0
    power = 10.0 ** math.floor(math.log10(width / about))
    return next(power * m for m in (1, 2, 5, 10) if width / (power * m) <= about + 1e-9)


def ticks(lo: float, hi: float, about: int = 5, whole: bool = False) -> list[float]:
    """Round values from `lo` to `hi`, at most about `about` steps apart; whole numbers only, where asked."""
    by = step(hi - lo, about)
    by = max(1.0, by) if whole else by
    first = math.ceil(lo / by - 1e-9)
    return [round(i * by, 12) for i in range(first, math.floor(hi / by + 1e-9) + 1)]


def decimals(values: Sequence[float]) -> int:
    """How many decimals tell these round values apart."""
    return next((d for d in range(10) if all(abs(v - round(v, d)) < 1e-11 for v in values)), 10)


class Drawing:
    """One picture, `width` by `height` pixels, with a sentence for those who cannot see it."""

    def __init__(self, width: float, height: float, said: str) -> None:
        self.width, self.height, self.said = width, height, said
        self._parts: list[str] = []

    def line(self, a: Point, b: Point, css: str) -> None:
        self._parts.append(f'<line class="{css}" x1="{_n(a[0])}" y1="{_n(a[1])}" x2="{_n(b[0])}" y2="{_n(b[1])}"/>')

    def rect(self, a: Point, b: Point, css: str, title: str = "") -> None:
        """The rectangle between two corners, whichever way round."""
        x, y, wide, high = min(a[0], b[0]), min(a[1], b[1]), abs(a[0] - b[0]), abs(a[1] - b[1])
        shape = f'<rect class="{css}" x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(high)}" rx="1"'
        self._parts.append(_titled(shape, "rect", title))

    def dot(self, at: Point, radius: float, css: str, title: str = "") -> None:
        shape = f'<circle class="{css}" cx="{_n(at[0])}" cy="{_n(at[1])}" r="{_n(radius)}"'
        self._parts.append(_titled(shape, "circle", title))

    def path(self, points: Iterable[Point], css: str, closed: bool = False) -> None:
        """Straight lines from point to point."""
        way = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        if way:
            self._parts.append(f'<path class="{css}" d="M{way}{"Z" if closed else ""}"/>')

    def text(self, at: Point, said: str, css: str = "tick", anchor: str = "start") -> None:
        """`anchor` is start, middle or end."""
        self._parts.append(
            f'<text class="{css}" x="{_n(at[0])}" y="{_n(at[1])}" text-anchor="{anchor}">{escape(said)}</text>'
        )

    def svg(self) -> Markup:
        size = f'viewBox="0 0 {_n(self.width)} {_n(self.height)}" style="max-width:{_n(self.width)}px"'
        head = f'<svg role="img" aria-label="{escape(self.said)}" {size}>'
        return Markup(head + "".join(self._parts) + "</svg>")  # noqa: S704 - every text in it went through escape


def _titled(shape: str, tag: str, title: str) -> str:
    return f"{shape}><title>{escape(title)}</title></{tag}>" if title else f"{shape}/>"


def _n(value: float) -> str:
    """A coordinate: a tenth of a pixel is enough, and keeps the file small."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if value else "0"
