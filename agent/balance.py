"""Several endpoints of one model: each question goes to the one with the least load, and who fails is left out.

What an endpoint can take is its own (`agent.pacing`), and so is whether it is left out (`agent.breaker`); who waits
for a turn waits for all of them, so that a slow one keeps no question that another has room for.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from agent.breaker import Breaker
from agent.errors import EndpointError, OracleError
from agent.pacing import Pace
from agent.records import Oracle


@dataclass(eq=False, slots=True)
class Endpoint:
    """One address of an oracle.

    Attributes:
        oracle: who is asked there.
        pace: how many requests at a time. Endpoints that are balanced share the `turns` of their paces.
        name: under which its answers are kept; "" is the only one that the oracle has.
        called: its address, as a person is told it.
        introduce: what has to be done before it is first asked; raises OracleError or EndpointError where it cannot
            be asked yet. None where that is done.
        said: what it said when it was left out.
    """

    oracle: Oracle
    pace: Pace
    name: str = ""
    called: str = ""
    introduce: Callable[[], Awaitable[None]] | None = None
    breaker: Breaker = field(default_factory=Breaker)
    said: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """Leave to send one request to an endpoint; `number` is its breaker's."""

    endpoint: Endpoint
    number: int = 0


class Balance:
    """Who is asked next. For one event loop.

    One endpoint alone is never left out: where it fails, there is nobody to go to.

    Args:
        endpoints: all of the same model.
        note: is told when one is left out, and when it is back.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        note: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self._turns = endpoints[0].pace.turns
        self._alone = Turn(endpoints[0]) if len(endpoints) == 1 else None
        self._note, self._clock = note, clock
        self._given_up: set[Endpoint] = set()  # that failed a trial since any of them answered last
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ceiling(self) -> int:
        """Most requests in flight, at all of them."""
        return sum(e.pace.climb.ceiling for e in self.endpoints)

    @property
    def in_flight(self) -> int:
        """Requests that are under way."""
        return sum(e.pace.in_flight for e in self.endpoints)

    @property
    def is_alone(self) -> bool:
        """Whether there is no other endpoint to go to."""
        return self._alone is not None

    @property
    def all_out(self) -> bool:
        """Whether every endpoint is left out, and was tried in vain since any of them answered last."""
        return len(self._given_up) == len(self.endpoints)

    def stop(self) -> None:
        """Let nobody wait any longer: no turn is given any more. On the event loop."""
        self._turns.stop()

    async def nap(self, seconds: float) -> None:
        """Wait so long, or until it is over."""
        await self._turns.nap(seconds)

    async def close(self) -> None:
        """Let go of every endpoint."""
        if self._timer is not None:
            self._timer.cancel()
        for endpoint in self.endpoints:
            await endpoint.oracle.close()

    # Taking turns ---------------------------------------------------------------------------------------------------

    async def enter(self, tokens: float) -> Turn | None:
        """Wait for a turn to send one request of about so many tokens; None where it is over, or all are out.

        Pair with `leave`.
        """
        if self._alone is not None:
            return self._alone if await self._alone.endpoint.pace.enter(tokens) else None
        while not (self._turns.over or self.all_out):
            endpoint = self.least_loaded()
            if endpoint is None:
                self._wake_in_time()
                await self._turns.wait()
            elif (turn := await self._entered(endpoint, tokens)) is not None:
                return turn
        return None

    def leave(self, turn: Turn) -> None:
        """The request has ended."""
        if self._alone is None:
            turn.endpoint.breaker.unsent(turn.number)  # where nobody said how it ended, another one may try
        turn.endpoint.pace.leave()

    def least_loaded(self) -> Endpoint | None:
        """The endpoint with room that is loaded least, relative to what it takes; None where none has room.

        One that has just failed comes last: it would seem to have the most room of all, as it fails so soon.
        """
        now, best, least = self._clock(), None, (0, math.inf)
        for endpoint in self.endpoints:
            load, failures = endpoint.pace.load, endpoint.breaker.failures
            if load > 1 or not endpoint.breaker.lets_in(now) or endpoint.pace.paused_for() > 0:
                continue
            if best is None or (failures, load) < least:
                best, least = endpoint, (failures, load)
        return best

    async def _entered(self, endpoint: Endpoint, tokens: float) -> Turn | None:
        """A turn at an endpoint that has room; None where it is over, or it cannot be asked yet."""
        turn = Turn(endpoint, endpoint.breaker.begin())
        if not await endpoint.pace.enter(tokens):
            endpoint.breaker.unsent(turn.number)
            return None
        if not endpoint.breaker.is_news(turn.number):  # left out while this one waited for a minute's allowance
            self.leave(turn)
            return None
        if endpoint.introduce is None:
            return turn
        try:
            await endpoint.introduce()
        except (OracleError, EndpointError) as error:
            self.failed(turn, str(error))
        except BaseException:
            self.leave(turn)
            raise
        else:
            endpoint.introduce = None
            return turn
        self.leave(turn)
        return None

    def _wake_in_time(self) -> None:
        """Have who waits look again when a pause ends, or when an endpoint may be tried."""
        now = self._clock()
        at = [max(now + e.pace.paused_for(), e.breaker.until or now) for e in self.endpoints]
        later = [t for t in at if t > now]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if later:
            self._timer = asyncio.get_running_loop().call_later(min(later) - now, self._turns.wake)

    # How requests ended ---------------------------------------------------------------------------------------------

    def answered(self, turn: Turn) -> None:
        """The endpoint said something of its own: an answer, or that it is too busy, or what it does not like."""
        if self._alone is not None:
            return
        if turn.endpoint.breaker.answered(turn.number):
            self._note(f"{turn.endpoint.oracle.name}: {turn.endpoint.called} answers again")
            self._turns.wake()
        if self._given_up:
            self._given_up.clear()

    def failed(self, turn: Turn, said: str, *, certain: bool = False, wait_s: float = 0.0) -> None:
        """The endpoint failed, and not for what it was asked.

        Args:
            said: why, as a person reads it.
            certain: no other question would fare better there.
            wait_s: for how long it asks to be left alone.
        """
        if self._alone is not None:
            return
        endpoint, now = turn.endpoint, self._clock()
        tried = certain or endpoint.breaker.is_trial(turn.number)
        known = not endpoint.breaker.is_closed
        if not endpoint.breaker.failed(turn.number, now, certain=certain, wait_s=wait_s):
            return
        self._out(endpoint, said, told=known)
        if tried:
            self._given_up.add(endpoint)
        if all(not e.breaker.is_closed for e in self.endpoints):
            self._given_up |= {e for e in self.endpoints if not e.breaker.hurry(now)}
        self._turns.wake()

    def leave_out(self, endpoint: Endpoint, said: str) -> None:
        """Leave an endpoint out from the start."""
        endpoint.breaker.leave_out(self._clock())
        self._out(endpoint, said)

    def _out(self, endpoint: Endpoint, said: str, *, told: bool = False) -> None:
        endpoint.said = said.removeprefix(f"{endpoint.called}: ")
        if not told:
            out = "is left out for now, and tried again from time to time"
            self._note(f"{endpoint.oracle.name}: {endpoint.called} {out}: {endpoint.said}")
