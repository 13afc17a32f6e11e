"""What goes wrong, and how often; and the two ways in which a healthy server says that it is asked too much."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

# each drawn for its share of requests; all but the first two are charged
PLAYED = ("503", "429", "hang", "reset", "truncated", "bad_json", "garbage", "no_usage", "charged_503")


@dataclass(frozen=True)
class Faults:
    """Shares are of requests, drawn anew each time a question comes, from the seed and the question alone.

    Attributes:
        refuses_key: 401 to everybody.
        share_503, share_429: refused and not charged; a 429 asks to wait `retry_after_s`.
        share_hang: charged, and nothing is ever said until the client goes, or `hang_s` has passed.
        share_reset: charged, then the connection is reset.
        share_truncated: charged, half of the body is sent, and the connection closed.
        share_bad_json: charged, the body is no JSON.
        share_garbage: charged, answered with a label that is not in the set.
        share_no_usage: charged, the usage is missing. `no_usage` does that always.
        share_charged_503: charged, and a 503 all the same.
        retry_after_date: write Retry-After as a date, by this server's clock.
        latency_s, jitter_s: how long an answer takes; up to so much more, evenly drawn.
        skew_s: how far this server's clock is ahead.
        cached_share: share of the prompt's tokens that is reported (and charged) as cached.
        no_logprobs, ignored: what this server does not know.
        requests_per_minute, tokens_per_minute: real limits over a sliding window of `window_s`.
        workers, queue, busy_status: so many requests are served at once and so many wait; more are refused.
    """

    refuses_key: bool = False
    share_503: float = 0.0
    share_429: float = 0.0
    share_hang: float = 0.0
    share_reset: float = 0.0
    share_truncated: float = 0.0
    share_bad_json: float = 0.0
    share_garbage: float = 0.0
    share_no_usage: float = 0.0
    share_charged_503: float = 0.0
    retry_after_s: float = 0.0
    retry_after_date: bool = False
    hang_s: float = 600.0
    latency_s: float = 0.0
    jitter_s: float = 0.0
    skew_s: float = 0.0
    cached_share: float = 0.0
    no_usage: bool = False
    no_logprobs: bool = False
    ignored: frozenset[str] = frozenset()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    window_s: float = 60.0
    workers: int | None = None
    queue: int | None = None
    busy_status: int = 503

    def drawn(self, u: float) -> str | None:
        """Which fault a number from 0 to 1 stands for."""
        for name in PLAYED:
            u -= getattr(self, f"share_{name}")
            if u < 0:
                return name
        return None


@dataclass(frozen=True)
class BatchFaults:
    """How batches go.

    Attributes:
        phase_s: seconds that each of validating, in_progress, finalizing and cancelling takes.
        polls: where not None, a phase takes so many polls of that batch, and no time.
        share_failed: share of lines that end in the error file, not charged.
        share_duplicated: share of lines that are twice in the output.
        expire_after: the batch expires once this share of its lines is done.
        refuses_input: every batch fails its validation.
        shuffled: output lines are in no order.
        share_503: share of requests to files and batches that get a 503 (uploads and submissions do as well).
        share_truncated: share of downloads that end half-way.
        share_submit_reset: share of submissions after which the connection is reset: the batch exists all the same.
        most_lines: a longer input file fails its validation.
    """

    phase_s: float = 0.0
    polls: int | None = None
    share_failed: float = 0.0
    share_duplicated: float = 0.0
    expire_after: float | None = None
    refuses_input: bool = False
    shuffled: bool = False
    share_503: float = 0.0
    share_truncated: float = 0.0
    share_submit_reset: float = 0.0
    most_lines: int = 50_000


@dataclass
class Window:
    """At most `limit` in any `seconds`: requests, or tokens."""

    limit: int
    seconds: float
    _taken: deque[tuple[float, int]] = field(default_factory=deque)
    _sum: int = 0

    def wait_s(self, amount: int, now: float) -> float:
        """Seconds until `amount` fits; 0 where it fits now."""
        while self._taken and self._taken[0][0] <= now - self.seconds:
            self._sum -= self._taken.popleft()[1]
        too_much = self._sum + amount - self.limit
        for at, taken in self._taken:
            if too_much <= 0:
                break
            too_much -= taken
            if too_much <= 0:
                return at + self.seconds - now
        return self.seconds if too_much > 0 else 0.0

    def take(self, amount: int, now: float) -> None:
        self._taken.append((now, amount))
        self._sum += amount

    @property
    def left(self) -> int:
        return max(0, self.limit - self._sum)


class Workers:
    """A server's knee: `most` requests are served at once, up to `queue` wait their turn (None: any number)."""

    def __init__(self, most: int | None, queue: int | None) -> None:
        self._most, self._queue = most, queue
        self._busy = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def enter(self, serve: Callable[[], None]) -> bool:
        """Call `serve` when a worker is free; False where the queue is full. Who serves calls `leave` at its end."""
        if self._most is None or self._busy < self._most:
            self._busy += 1
            serve()
            return True
        if self._queue is not None and len(self._waiting) >= self._queue:
            return False
        self._waiting.append(serve)
        return True

    def leave(self) -> None:
        if self._waiting:
            self._waiting.popleft()()
        else:
            self._busy -= 1
