"""Law 1 as a property: whatever is done to the ledger in whatever order, the books balance after every step."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from agent.errors import BudgetExceeded, StoreError
from agent.records import MicroDollars, TextId
from agent.store import AttemptState, Store
from tests.store.making import USAGE, stored

CAP = 1_000


class Books(RuleBasedStateMachine):
    """The store beside a ledger that is a dict."""

    open_attempts: Bundle[int] = Bundle("open_attempts")
    ended_attempts: Bundle[int] = Bundle("ended_attempts")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{Path(self.folder.name) / 'jobs.db'}"
        self.store = Store.open(self.url)
        self.store.open_job("job", {}, "print", MicroDollars(CAP))
        self.worst: dict[int, int] = {}
        self.spent = 0
        self.run = 0

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(target=open_attempts, worst=st.integers(0, 400))
    def reserve(self, worst: int) -> Any:
        fits = self.spent + sum(self.worst.values()) + worst <= CAP
        try:
            made = self.store.reserve("job", "o", "k", TextId("t"), MicroDollars(worst), owner=f"run {self.run}")
        except BudgetExceeded:
            assert not fits
            return -1
        assert fits
        self.worst[made] = worst
        return made

    @rule(target=ended_attempts, attempt=consumes(open_attempts), share=st.floats(0, 1))
    def settle(self, attempt: int, share: float) -> int:
        if attempt in self.worst:
            charged = int(self.worst.pop(attempt) * share)
            self.store.settle(attempt, MicroDollars(charged), USAGE, stored())
            self.spent += charged
        return attempt

    @rule(target=ended_attempts, attempt=consumes(open_attempts))
    def release(self, attempt: int) -> int:
        if attempt in self.worst:
            self.store.release(attempt, "refused")
            del self.worst[attempt]
        return attempt

    @rule(target=ended_attempts, attempt=consumes(open_attempts))
    def ambiguous(self, attempt: int) -> int:
        if attempt in self.worst:
            self.store.mark_ambiguous(attempt, "reset")
            self.spent += self.worst.pop(attempt)
        return attempt

    @rule(attempt=ended_attempts)
    def end_again(self, attempt: int) -> None:
        with pytest.raises(StoreError):
            self.store.release(attempt, "again")

    @rule()
    def die_and_begin_again(self) -> None:
        self.store.close()
        self.store = Store.open(self.url)
        self.run += 1
        assert self.store.abandon_reservations("job", f"run {self.run}") == len(self.worst)
        self.spent += sum(self.worst.values())
        self.worst.clear()

    @invariant()
    def the_books_balance(self) -> None:
        job, sums = self.store.job("job"), self.store.spending("job")
        assert job.spent + job.reserved <= CAP
        assert (job.spent, job.reserved) == (self.spent, sum(self.worst.values()))
        attempts = self.store.attempts("job")
        assert job.spent == sum(a.charged for a in attempts) == sums.spent
        assert job.reserved == sum(a.worst for a in attempts if a.state is AttemptState.RESERVED) == sums.reserved


def test_the_books_balance_after_every_step() -> None:
    run_state_machine_as_test(Books, settings=settings(max_examples=15, stateful_step_count=15))
