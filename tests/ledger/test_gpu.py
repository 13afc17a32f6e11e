"""A machine's time is charged once, however many requests it served at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ledger.gpu import GpuClock


def test_requests_after_one_another_pay_their_own_time() -> None:
    clock = GpuClock()
    clock.begin(1, 0.0)
    assert clock.end(1, 2.0) == 2.0
    clock.begin(2, 10.0)
    assert clock.end(2, 13.0) == 3.0


def test_requests_at_once_share_the_time() -> None:
    clock = GpuClock()
    clock.begin(1, 0.0)
    clock.begin(2, 1.0)
    assert clock.end(2, 5.0) == 4.0
    assert clock.end(1, 6.0) == 2.0


def test_a_request_that_was_not_charged_leaves_its_time_to_the_others() -> None:
    clock = GpuClock()
    clock.begin(1, 0.0)
    clock.begin(2, 1.0)
    clock.forget(1)
    assert clock.end(2, 5.0) == 4.0


def test_ending_twice_charges_nothing_more() -> None:
    clock = GpuClock()
    clock.begin(1, 0.0)
    clock.end(1, 5.0)
    assert clock.end(1, 9.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=12))
def test_all_charges_add_up_to_the_time_that_anything_was_on_its_way(spans: list[tuple[int, int]]) -> None:
    events = [(start, 0, i) for i, (start, _) in enumerate(spans)]
    events += [(start + length, 1, i) for i, (start, length) in enumerate(spans)]
    clock, charged = GpuClock(), 0.0
    for at, ends, i in sorted(events):
        if ends:
            paid = clock.end(i, float(at))
            assert paid <= spans[i][1]
            charged += paid
        else:
            clock.begin(i, float(at))
    busy = {second for start, length in spans for second in range(start, start + length)}
    assert charged == pytest.approx(len(busy))
