"""How many requests at a time, against simulated servers with a knee or a bad day; and what a minute allows."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pacing import Allowance, Climb, Pace


def simulated(climb: Climb, answers_in: Callable[[int], float], total: int, seed: int = 0) -> list[int]:
    """The limit after each of `total` answers of a server whose answer to the nth request under way takes so long."""
    rng = np.random.default_rng(seed)
    under_way: list[float] = []
    limits, now = [], 0.0
    for _ in range(total):
        while len(under_way) < climb.limit:
            heapq.heappush(under_way, now + answers_in(len(under_way) + 1) * rng.uniform(0.8, 1.2))
        now = heapq.heappop(under_way)
        climb.answered(now, len(under_way) + 1)
        limits.append(climb.limit)
    return limits


def workers(count: int) -> Callable[[int], float]:
    """A server with so many workers of 0.1 s each: more than that many requests queue."""
    return lambda under_way: 0.1 * max(1.0, under_way / count)


@pytest.mark.parametrize("knee", [1, 4, 12, 40, 100])
def test_the_limit_settles_near_the_servers_knee(knee: int) -> None:
    limits = simulated(Climb(512), workers(knee), 20_000)
    settled = np.median(limits[10_000:])
    # below the knee answers are lost; above it they only queue longer
    assert 0.75 * knee <= settled <= max(4, 1.6 * knee)


def test_a_server_without_a_knee_is_asked_up_to_the_ceiling() -> None:
    assert simulated(Climb(200), lambda _: 0.05, 8_000)[-1] == 200


def test_a_ceiling_below_the_first_step_is_kept() -> None:
    assert max(simulated(Climb(3), lambda _: 0.05, 500)) == 3


def test_who_raises_the_ceiling_is_taken_at_their_word_from_the_start() -> None:
    assert [Climb(ceiling).limit for ceiling in (3, 64, 256)] == [3, 16, 64]


def refusing(climb: Climb, refuses: Callable[[int, float], bool], seconds: float, seed: int = 0) -> tuple[int, int]:
    """Answers and refusals of a server that answers in 0.1 s and refuses, as told, in 0.02 s."""
    rng = np.random.default_rng(seed)
    under_way: list[tuple[float, int, bool]] = []
    now, number, answers, refusals = 0.0, 0, 0, 0
    while now < seconds:
        while len(under_way) < climb.limit:
            number += 1
            said_no = refuses(len(under_way) + 1, rng.random())
            heapq.heappush(under_way, (now + (0.02 if said_no else 0.1) * rng.uniform(0.8, 1.2), number, said_no))
        now, _, said_no = heapq.heappop(under_way)
        (climb.refused if said_no else climb.answered)(now, len(under_way) + 1)
        refusals += said_no
        answers += not said_no
    return answers, refusals


@pytest.mark.parametrize("share", [0.02, 0.15, 0.3])
def test_refusals_that_are_not_about_load_do_not_slow_the_rest_down(share: float) -> None:
    climb = Climb(64)
    refusing(climb, lambda _, chance: chance < share, 60)
    settled = []
    for _ in range(20):
        refusing(climb, lambda _, chance: chance < share, 5)
        settled.append(climb.limit)
    assert np.median(settled) >= 32


@pytest.mark.parametrize("room", [4, 16, 40])
def test_a_server_that_refuses_above_its_room_is_asked_about_as_much_as_it_takes(room: int) -> None:
    climb = Climb(256)
    answers, refusals = refusing(climb, lambda under_way, _: under_way > room, 120)
    assert answers >= 0.6 * 120 * room / 0.1
    assert refusals <= 0.25 * answers


def test_a_server_that_refuses_everything_is_asked_one_at_a_time() -> None:
    climb = Climb(64)
    refusing(climb, lambda *_: False, 20)
    assert climb.limit > 32
    refusing(climb, lambda *_: True, 20)
    assert climb.limit == 1
    refusing(climb, lambda *_: False, 60)
    assert climb.limit > 16, "it grows again when the bad day is over"


# an allowance --------------------------------------------------------------------------------------------------


@given(
    per_minute=st.integers(1, 10_000),
    gaps=st.lists(st.floats(0, 20), min_size=1, max_size=200),
)
def test_no_minute_holds_more_than_is_allowed(per_minute: int, gaps: list[float]) -> None:
    allowance, now, sent = Allowance(per_minute), 0.0, []
    for gap in gaps:
        now += gap
        now += allowance.take(1, now)
        sent.append(now)
    for at in sent:
        assert sum(at <= other < at + 60 - 1e-6 for other in sent) <= per_minute


def test_an_allowance_is_used_nearly_whole() -> None:
    allowance, now = Allowance(600), 0.0
    sent = 0
    while now < 600:
        now += allowance.take(1, now)
        sent += 1
    assert sent >= 0.85 * 10 * 600


def test_tokens_that_were_not_used_are_given_back() -> None:
    allowance = Allowance(60_000)
    assert allowance.take(6_000, 0.0) == 0
    allowance.give_back(5_000)
    assert allowance.take(5_000, 0.0) == 0
    assert allowance.take(900, 0.0) == pytest.approx(1.0, rel=0.01)


# waiting for a turn --------------------------------------------------------------------------------------------


async def test_no_more_than_the_limit_are_under_way_and_everybody_gets_a_turn() -> None:
    pace, most, done = Pace(5), 0, 0

    async def one() -> None:
        nonlocal most, done
        assert await pace.enter()
        most = max(most, pace.in_flight)
        await asyncio.sleep(0)
        pace.answered()
        pace.leave()
        done += 1

    await asyncio.gather(*(one() for _ in range(200)))
    assert (done, pace.in_flight) == (200, 0)
    assert most <= 5


async def test_who_waits_is_sent_home_when_it_is_over() -> None:
    pace = Pace(1)
    assert await pace.enter()
    waiting = [asyncio.create_task(pace.enter()) for _ in range(10)]
    await asyncio.sleep(0)
    pace.stop()
    assert await asyncio.gather(*waiting) == [False] * 10
    assert not await pace.enter()


async def test_who_is_cancelled_while_waiting_takes_no_turn_along() -> None:
    pace = Pace(1)
    assert await pace.enter()
    lost, kept = asyncio.create_task(pace.enter()), asyncio.create_task(pace.enter())
    await asyncio.sleep(0)
    pace.leave()  # gives the turn to the first
    lost.cancel()
    async with asyncio.timeout(5):
        assert await kept or await pace.enter()
    with pytest.raises(asyncio.CancelledError):
        await lost


async def test_a_server_that_asks_for_a_pause_gets_one_from_everybody() -> None:
    at = 100.0
    pace = Pace(4, clock=lambda: at)
    pace.refused(retry_after_s=30)
    entering = asyncio.create_task(pace.enter())
    await asyncio.sleep(0)
    assert not entering.done()
    pace.stop()
    assert await entering is False
    assert pace.in_flight == 0


def test_patience_with_a_busy_server_is_measured_from_its_first_refusal() -> None:
    at = 100.0
    pace = Pace(4, clock=lambda: at)
    pace.refused(retry_after_s=None)
    at = 160.0
    pace.refused(retry_after_s=None)
    assert pace.busy_for() == 60
    pace.answered()
    assert pace.busy_for() == 0
