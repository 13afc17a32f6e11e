"""What a server has done so far, in Prometheus' text format (version 0.0.4). Knows numbers; for one thread."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)
TEXTS, WAITING = "labelwright_texts_total", "labelwright_waiting_texts"


Part = tuple[str, str, str, Iterable[str]]
"""A metric: its name, its kind, what it is, and its lines."""


class Histogram:
    """How often a figure was at most each of some bounds, and its sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def note(self, value: float) -> None:
        """Count one more."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """As Prometheus reads them: each bucket counts all those before it."""
        so_far = list(accumulate(self._counts))
        for bound, count in zip((*map(str, self._bounds), "+Inf"), so_far, strict=True):
            yield f'{name}_bucket{{le="{bound}"}} {count}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {so_far[-1]}"


class Metrics:
    """Requests by status, texts that were labelled, and batches."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self._texts, self._seconds, self._sizes = 0, Histogram(SECONDS), Histogram(SIZES)

    def batch(self, texts: int, seconds: float) -> None:
        """So many texts went through the model at once."""
        self._texts += texts
        self._sizes.note(texts)
        self._seconds.note(seconds)

    def text(self, waiting: int, more: Iterable[Part] = ()) -> str:
        """The whole page; `waiting` is how many texts are in the queue, those in the model counted."""
        statuses = [f'labelwright_requests_total{{status="{s}"}} {n}' for s, n in sorted(self.requests.items())]
        seconds, sizes = "labelwright_batch_seconds", "labelwright_batch_texts"
        parts: list[Part] = [
            ("labelwright_requests_total", "counter", "Requests that were answered, by status.", statuses),
            (TEXTS, "counter", "Texts that went through the model.", [f"{TEXTS} {self._texts}"]),
            (seconds, "histogram", "Seconds that a batch took.", self._seconds.lines(seconds)),
            (sizes, "histogram", "Texts of a batch.", self._sizes.lines(sizes)),
            (WAITING, "gauge", "Texts that wait, or are in the model.", [f"{WAITING} {waiting}"]),
            *more,
        ]
        lines = [
            line
            for name, kind, about, said in parts
            for line in (f"# HELP {name} {about}", f"# TYPE {name} {kind}", *said)
        ]
        return "\n".join(lines) + "\n"
