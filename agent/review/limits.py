"""How often one may knock: a bucket for each caller that fills with time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_CALLERS = 10_000  # that are remembered: the one who was quiet for longest is forgotten first


class RateLimit:
    """So many at once, and so many a second on average, for each caller by itself. For one thread.

    Args:
        at_once: what a bucket holds.
        a_second: how fast it fills.
        clock: seconds, monotonic.
    """

    def __init__(self, at_once: int, a_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._rate, self._clock = at_once, a_second, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str) -> float:
        """Seconds until the caller may come again; 0 where they may now, which counts."""
        now = self._clock()
        there, at = self._buckets.pop(caller, (float(self._size), now))
        there = min(float(self._size), there + (now - at) * self._rate)
        wait = 0.0 if there >= 1 else (1 - there) / self._rate
        self._buckets[caller] = (there if wait else there - 1), now
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return wait
