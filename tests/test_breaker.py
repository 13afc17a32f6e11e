"""The circuit breaker of an endpoint: beside a slow, obvious one that keeps the whole history, on a made-up clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent import breaker
from agent.breaker import FAILURES, FIRST_S, LONGEST_S, Breaker


def failing(times: int = FAILURES, now: float = 0.0) -> Breaker:
    made = Breaker()
    for _ in range(times):
        made.failed(made.begin(), now)
    return made


def test_an_endpoint_is_left_out_after_failures_in_a_row_and_not_after_as_many_in_all() -> None:
    assert not failing(FAILURES).is_closed
    made = failing(FAILURES - 1)
    made.answered(made.begin())
    for _ in range(FAILURES - 1):
        assert not made.failed(made.begin(), 0.0)
    assert made.is_closed


def test_it_is_left_out_at_once_where_nothing_can_succeed() -> None:
    made = Breaker()
    assert made.failed(made.begin(), 0.0, certain=True)
    assert not made.lets_in(0.0)


def test_one_request_tries_it_after_a_while_and_an_answer_brings_it_back() -> None:
    made = failing()
    assert not made.lets_in(FIRST_S - 0.01)
    assert made.lets_in(FIRST_S)
    trial = made.begin()
    assert made.is_trial(trial)
    assert not made.lets_in(FIRST_S), "one at a time"
    assert made.answered(trial)
    assert made.lets_in(FIRST_S)


def test_each_trial_that_fails_doubles_the_wait_up_to_the_limit_and_an_answer_starts_anew() -> None:
    made, now, waits = failing(), 0.0, []
    for _ in range(12):
        assert made.until is not None
        waits.append(made.until - now)
        now = made.until
        assert made.failed(made.begin(), now)
    assert waits[:4] == pytest.approx([1, 2, 4, 8])
    assert waits[-3:] == pytest.approx([LONGEST_S] * 3)
    assert made.until is not None
    made.answered(made.begin())
    for _ in range(FAILURES):
        made.failed(made.begin(), now)
    assert made.until == pytest.approx(now + FIRST_S)


def test_what_left_before_it_was_left_out_neither_brings_it_back_nor_doubles_its_wait() -> None:
    made = Breaker()
    under_way = [made.begin() for _ in range(40)]
    for number in under_way[:20]:
        made.failed(number, 0.0)
    until = made.until
    assert not any(made.failed(number, 0.5) for number in under_way[20:30])
    assert not any(made.answered(number) for number in under_way[30:])
    assert made.until == until == FIRST_S


def test_a_trial_that_never_left_leaves_room_for_another() -> None:
    made = failing()
    made.unsent(made.begin())
    assert made.lets_in(FIRST_S)


def test_the_last_one_is_tried_soon_but_not_before_it_asked_to_be() -> None:
    long_out, asked = failing(), Breaker()
    for _ in range(6):
        long_out.failed(long_out.begin(), 0.0)
    asked.failed(asked.begin(), 0.0, certain=True, wait_s=600)
    assert long_out.hurry(10.0)
    assert not asked.hurry(10.0)
    assert long_out.until == 10.0 + FIRST_S
    assert asked.until == 600.0


# beside the obvious one ----------------------------------------------------------------------------------------


@dataclass
class Sent:
    """A request and what is known of it."""

    number: int
    began: int  # place in the history
    trial: bool


@dataclass
class Obvious:
    """Keeps everything that happened, and looks through all of it each time."""

    history: list[tuple[str, float]] = field(default_factory=list)  # open at, back, answered, failed
    trial: Sent | None = None

    def last_turn(self) -> int:
        """Where in the history it was last left out, or brought back from that."""
        turns = [i for i, (what, _) in enumerate(self.history) if what in ("open", "back")]
        return turns[-1] if turns else -1

    @property
    def is_open(self) -> bool:
        last = self.last_turn()
        return last >= 0 and self.history[last][0] == "open"

    def until(self) -> float:
        opened, times = 0.0, 0
        for what, at in self.history:
            if what == "open":
                opened, times = at, times + 1
            elif what in ("back", "answered"):
                times = 0
        wait = FIRST_S
        for _ in range(times - 1):
            wait = min(LONGEST_S, wait * 2)
        return opened + wait

    def lets_in(self, now: float) -> bool:
        return not self.is_open or (self.trial is None and now >= self.until())

    def tells(self, sent: Sent) -> bool:
        """Whether the end of a request says something of the endpoint as it is now."""
        return sent is self.trial if self.is_open else sent.trial or sent.began > self.last_turn()

    def end(self, sent: Sent, answered: bool, now: float) -> None:
        if not self.tells(sent):
            return
        if self.is_open:
            self.trial = None
            self.history.append(("back" if answered else "open", now))
            return
        self.history.append(("answered" if answered else "failed", now))
        newest = [what for what, _ in self.history[-FAILURES:]]
        if newest == ["failed"] * FAILURES:
            self.history.append(("open", now))


class BesideTheObvious(RuleBasedStateMachine):
    """Requests leave, are answered, fail or never leave, in any order, while time passes in steps of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow, self.now = Breaker(), Obvious(), 0.0
        self.under_way: list[Sent] = []

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 3.0, 60.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def send(self) -> None:
        assert self.fast.lets_in(self.now) == self.slow.lets_in(self.now)
        if self.fast.lets_in(self.now):
            sent = Sent(self.fast.begin(), len(self.slow.history), self.slow.is_open)
            self.under_way.append(sent)
            if sent.trial:
                self.slow.trial = sent

    @rule(place=st.integers(0, 50), answered=st.booleans())
    def end(self, place: int, answered: bool) -> None:
        if self.under_way:
            sent = self.under_way.pop(place % len(self.under_way))
            if answered:
                self.fast.answered(sent.number)
            else:
                self.fast.failed(sent.number, self.now)
            self.slow.end(sent, answered, self.now)

    @rule(place=st.integers(0, 50))
    def never_leave(self, place: int) -> None:
        if self.under_way:
            sent = self.under_way.pop(place % len(self.under_way))
            self.fast.unsent(sent.number)
            if sent is self.slow.trial:
                self.slow.trial = None

    @invariant()
    def both_say_the_same(self) -> None:
        assert self.fast.is_closed != self.slow.is_open
        assert self.fast.lets_in(self.now) == self.slow.lets_in(self.now)
        if self.fast.until is not None:
            assert self.fast.until == pytest.approx(self.slow.until())
            assert sum(self.fast.is_trial(sent.number) for sent in self.under_way) <= 1

    @invariant()
    def it_is_never_left_out_for_longer_than_the_limit(self) -> None:
        assert self.fast.until is None or self.fast.until <= self.now + breaker.LONGEST_S


TestBesideTheObvious = BesideTheObvious.TestCase
