"""Sharing one machine's time among requests that ran at once: every second is charged once, to who ends first.

Charging each request its own duration would count a server that answers 64 at once 64 times over.
"""

from __future__ import annotations

Span = tuple[float, float]


class GpuClock:
    """Which seconds of one server are charged already. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._open: dict[int, float] = {}
        self._charged: list[Span] = []  # disjoint, in order, none before the oldest open request

    def begin(self, attempt_id: int, at: float) -> None:
        """A request is on its way from now on."""
        self._open[attempt_id] = at

    def end(self, attempt_id: int, at: float) -> float:
        """The request ended and is charged: seconds of it that nobody was charged for before."""
        start = self._open.pop(attempt_id, at)
        taken = sum(max(0.0, min(b, at) - max(a, start)) for a, b in self._charged)
        self._charged = self._since(_merged([*self._charged, (start, at)]))
        return max(0.0, at - start - taken)

    def forget(self, attempt_id: int) -> None:
        """The request ended and is not charged."""
        self._open.pop(attempt_id, None)

    def _since(self, spans: list[Span]) -> list[Span]:
        oldest = min(self._open.values(), default=float("inf"))
        return [span for span in spans if span[1] > oldest]


def _merged(spans: list[Span]) -> list[Span]:
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out
