"""How many requests at a time, and how many a minute: found out while asking.

A server tells how much it can take in two ways. It refuses (429, 503): then fewer at a time. Or it queues: then
more at a time brings no more answers a second, and the last step up is taken back. Additive increase and
multiplicative decrease as in TCP (Chiu and Jain 1989), with the knee found by throughput, since a server that
batches, as vLLM does, answers each request later while it answers more of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

FIRST, FIRST_SHARE = 8, 4  # at first so many at a time, or a quarter of the ceiling: who raises that knows the server
STEP = 4  # a step up is a quarter of what there is
CUT = 0.7
WORTH_IT = 1 / 3  # a step must change the answers a second by this share of what it changes the limit
WINDOW = 24  # answers and refusals, at least, that a window holds
CROWDED = 0.05  # share of refusals above the usual that is too much
ENOUGH_REFUSED, MOSTLY = 8, 0.5  # so many refusals that are so large a share are acted on at once
HOLD = 6  # windows to wait after a step that brought nothing
BURST = 0.1  # share of a minute's allowance that may go out at once
LONGEST_PAUSE_S = 120.0


class Climb:
    """How many at a time: pure bookkeeping over what came back. Times are seconds of one monotonic clock.

    Doubles at first, by one for every answer, as TCP's slow start does. Then steps up and down by a quarter in turn.
    A step up that brought no more answers a second is taken back, and so is a step down that cost some: what stays is
    the fewest that bring the most. Refusals cut the limit; where the cut did not make them fewer they are the
    endpoint's habit, and the cut is taken back.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit = min(max(FIRST, ceiling // FIRST_SHARE), ceiling)
        self._doubling, self._up = True, True
        self._doubted = False  # whether the last window, while doubling, brought too little
        self._hold = 0
        self._before: tuple[int, float] | None = None  # the limit and answers a second before the last step
        self._cut: tuple[int, float] | None = None  # the limit and share of refusals before the last cut
        self._usual = 0.0  # share of refusals that no cut has helped against
        self._skip, self._began = 1, 0.0
        self._start = self.limit  # when the window began
        self._answers = self._refusals = 0
        self._full = False

    def answered(self, now: float, in_flight: int) -> None:
        """An answer came, while so many requests (this one included) were under way."""
        self._came(now, in_flight, 1, 0)

    def refused(self, now: float, in_flight: int) -> None:
        """The endpoint was too busy for a request, while so many (this one included) were under way."""
        self._came(now, in_flight, 0, 1)

    def _came(self, now: float, in_flight: int, answers: int, refusals: int) -> None:
        if self._skip > 0:  # it left at another limit, and tells of that one
            self._skip, self._began = self._skip - 1, now
            return
        self._answers += answers
        self._refusals += refusals
        self._full = self._full or in_flight >= self._start
        if self._doubling and self._full and not self._doubted and not self._refusals:
            self.limit = min(self.ceiling, 2 * self._start, self.limit + answers)
        total = self._answers + self._refusals
        enough = self._start if self._doubling else 2 * self.limit  # while doubling, a glance will do
        if total >= max(enough, WINDOW) or self._refusals >= max(ENOUGH_REFUSED, total * MOSTLY):
            before = self.limit
            self._judge(self._answers / max(1e-9, now - self._began), self._refusals / total, total)
            self._skip, self._began = 0 if self.limit == before else min(before, self.limit), now
            self._answers = self._refusals = 0
            self._full, self._start = False, self.limit

    def _judge(self, rate: float, share: float, total: int) -> None:
        """What one window tells: answers a second, the share of refusals, and of how many."""
        cut, self._cut = self._cut, None
        if cut is not None and 0.75 * cut[1] < share < MOSTLY:
            self.limit, self._usual = cut[0], (share + cut[1]) / 2
            return
        if share > self._usual + 2 * (self._usual * (1 - self._usual) / total) ** 0.5 + CROWDED:
            self._cut, self._before = (self.limit, share), None
            self._doubling, self._up, self._hold = False, True, HOLD
            self.limit = max(1, int(self.limit * CUT))
            return
        self._usual += (share - self._usual) / 8
        before, self._before = self._before, None
        if before is not None and rate / before[1] - 1 < WORTH_IT * (self._start / before[0] - 1):
            if self._doubling and not self._doubted:  # a short stop on our side looks the same: once more
                self.limit, self._before, self._doubted = self._start, before, True
                return
            self.limit, self._doubling, self._up = before[0], False, not self._up
            self._hold = HOLD if self._up else 0
        elif self._hold > 0:
            self._hold -= 1
        elif self._full and rate > 0:  # where it was not full, another limit would change nothing
            self._before, self._doubted = (self._start, rate), False
            self.limit = self._next()
            if self.limit == self._before[0]:
                self._before, self._up = None, not self._up
                self._hold = HOLD if self._doubling else 0  # every step to the ceiling was worth it
                self._doubling = False

    def _next(self) -> int:
        if self._doubling:
            return min(self.ceiling, 2 * self._start)
        step = max(1, self.limit // STEP)
        return min(self.ceiling, self.limit + step) if self._up else max(1, self.limit - step)


class Allowance:
    """So many a minute, in whatever minute one looks: a bucket that holds a tenth and fills with the other nine."""

    def __init__(self, per_minute: float) -> None:
        self._size = max(1.0, per_minute * BURST)
        # a bucket of one that may send one a minute would meet itself at the edge of a minute
        self._rate = max(per_minute - self._size, 0.9 * min(1.0, per_minute)) / 60
        self._there, self._at = self._size, float("-inf")

    def take(self, amount: float, now: float) -> float:
        """Take an amount; seconds to wait before it may be used. More than the bucket holds is taken on credit."""
        self._there = min(self._size, self._there + self._rate * (now - self._at))
        self._at = now
        self._there -= amount
        return max(0.0, -self._there / self._rate)

    def give_back(self, amount: float) -> None:
        """What was taken and not used; below zero: what was used and not taken."""
        self._there += amount


class Turns:
    """Who waits for a turn, first come first served, until it is over. For one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._over = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nobody gets a turn any more."""
        return self._over.is_set()

    def stop(self) -> None:
        """Let nobody wait any longer. On the event loop."""
        self._over.set()
        self.wake()

    async def wait(self) -> None:
        """Wait to be woken. Who is may find that somebody else was quicker."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn had been given already
                self.wake(1)
            raise

    def wake(self, most: int | None = None) -> None:
        """Wake those who have waited longest, at most so many; without a number, everybody."""
        left = len(self._waiting) if most is None else most
        while left > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                left -= 1

    async def nap(self, seconds: float) -> bool:
        """Wait so long, or until it is over; False where it is."""
        try:
            await asyncio.wait_for(self._over.wait(), seconds)
        except TimeoutError:
            return True
        return False


class Pace:
    """What one endpoint can take, and where requests wait for their turn. For one event loop.

    Args:
        ceiling: most requests in flight.
        requests_per_minute: None is no limit; so is `tokens_per_minute`.
        clock: seconds, monotonic.
        turns: who waits; shared by the endpoints that one queue goes to.
    """

    def __init__(
        self,
        ceiling: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        turns: Turns | None = None,
    ) -> None:
        self.climb = Climb(ceiling)
        self.in_flight = 0
        self.busy_since: float | None = None  # no answer came since the endpoint first said that it was too busy
        self.turns = turns or Turns()
        self._requests = Allowance(requests_per_minute) if requests_per_minute else None
        self._tokens = Allowance(tokens_per_minute) if tokens_per_minute else None
        self._clock = clock
        self._paused_until = float("-inf")

    @property
    def load(self) -> float:
        """The share of its limit that would be in flight with one request more: above 1 there is no room for it."""
        return (self.in_flight + 1) / self.climb.limit

    def paused_for(self) -> float:
        """Seconds for which the endpoint asked not to be asked."""
        return max(0.0, self._paused_until - self._clock())

    def stop(self) -> None:
        """Let nobody wait any longer: whoever enters from now on is told that it is over. On the event loop."""
        self.turns.stop()

    async def enter(self, tokens: float = 0.0) -> bool:
        """Wait for a turn to send one request of about so many tokens; False where it is over. Pair with `leave`."""
        while self.in_flight >= self.climb.limit and not self.turns.over:
            await self.turns.wait()
        if self.turns.over:
            return False
        self.in_flight += 1
        wait_s = self._allowed_in(tokens)
        while wait_s > 0:
            if not await self.turns.nap(wait_s):
                self.leave()
                return False
            wait_s = self.paused_for()
        return True

    def leave(self) -> None:
        """The request has ended."""
        self.in_flight -= 1
        self.turns.wake(self.climb.limit - self.in_flight)

    def answered(self, tokens_over: float = 0.0) -> None:
        """An answer came to a request that is still in flight, with so many fewer tokens than were taken."""
        self.busy_since = None
        self.climb.answered(self._clock(), self.in_flight)
        if self._tokens is not None and tokens_over:
            self._tokens.give_back(tokens_over)

    def refused(self, retry_after_s: float | None) -> None:
        """The endpoint was too busy for a request that is still in flight. None leaves for as long as it asks."""
        now = self._clock()
        self.busy_since = now if self.busy_since is None else self.busy_since
        self.climb.refused(now, self.in_flight)
        if retry_after_s is not None:
            self._paused_until = max(self._paused_until, now + min(retry_after_s, LONGEST_PAUSE_S))

    def busy_for(self) -> float:
        """Seconds since the endpoint first said that it was too busy, where no answer came since."""
        return 0.0 if self.busy_since is None else self._clock() - self.busy_since

    def _allowed_in(self, tokens: float) -> float:
        now = self._clock()
        wait_s = self._paused_until - now
        if self._requests is not None:
            wait_s = max(wait_s, self._requests.take(1, now))
        if self._tokens is not None:
            wait_s = max(wait_s, self._tokens.take(tokens, now))
        return wait_s
