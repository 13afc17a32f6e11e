"""Whether an endpoint is asked: a circuit breaker, pure bookkeeping over how requests ended.

Closed, it is asked. After some failures in a row it opens: the endpoint is left out, and after a while one request
tries it (half-open). Whether that is answered decides: it is asked again, or left out for twice as long (Nygard 2007,
Release It!). Times are seconds of one monotonic clock.
"""

from __future__ import annotations

FAILURES = 5  # in a row, after which an endpoint is left out
FIRST_S, LONGEST_S = 1.0, 120.0  # how long it is left out: doubled each time, up to the limit
MOST_DOUBLINGS = 16


class Breaker:
    """One endpoint's. What a request came to is told with the number that `begin` gave it: a request that left before
    the last turn of events tells nothing new, and changes nothing.

    Attributes:
        failures: in a row, since the last answer.
        until: until when it is left out, after which one request may try it; None where it is asked.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.until: float | None = None
        self._times = 0  # how often it was left out since the last answer
        self._least = 0.0  # until when the endpoint itself asked to be left out
        self._trying = False
        self._era = 0

    @property
    def is_closed(self) -> bool:
        """Whether it is asked as usual."""
        return self.until is None

    def lets_in(self, now: float) -> bool:
        """Whether a request may go to it."""
        return self.until is None or (not self._trying and now >= self.until)

    def begin(self) -> int:
        """A request goes to it, which `lets_in` allowed; the number to tell its end with."""
        if self.until is not None:
            self._trying, self._era = True, self._era + 1
        return self._era

    def is_news(self, era: int) -> bool:
        """Whether it is as it was when the request with this number began."""
        return era == self._era

    def is_trial(self, era: int) -> bool:
        """Whether the request that began with this number is the one that tries it now."""
        return self._trying and self.is_news(era)

    def unsent(self, era: int) -> None:
        """The request never left, or nothing of the endpoint can be told from its end: another one may try."""
        if self.is_trial(era):
            self._trying = False

    def answered(self, era: int) -> bool:
        """The request came back with a word of the endpoint; whether it is back by that."""
        if not self.is_news(era):
            return False
        back = self.until is not None
        self.failures = self._times = 0
        self.until, self._least, self._trying = None, 0.0, False
        return back

    def failed(self, era: int, now: float, *, certain: bool = False, wait_s: float = 0.0) -> bool:
        """The request failed, and not for what it asked; whether the endpoint is left out from now on.

        Args:
            certain: no other request would fare better.
            wait_s: for how long the endpoint asks to be left alone.
        """
        if not self.is_news(era):
            return False
        self.failures += 1
        if self.until is None and self.failures < FAILURES and not certain:
            return False
        self.leave_out(now, wait_s)
        return True

    def leave_out(self, now: float, wait_s: float = 0.0) -> None:
        """Open it, for as long as it is its turn, or as the endpoint asks."""
        pause_s = min(LONGEST_S, FIRST_S * 2 ** min(self._times, MOST_DOUBLINGS))
        self._times, self._era, self._trying = self._times + 1, self._era + 1, False
        self.failures = max(self.failures, FAILURES)
        self._least = now + wait_s
        self.until = max(now + pause_s, self._least)

    def hurry(self, now: float) -> bool:
        """No other endpoint is left: have it tried soon. False where it asked to be left alone for longer."""
        if self._least > now + FIRST_S:
            return False
        if self.until is not None:
            self.until = min(self.until, now + FIRST_S)
        return True
