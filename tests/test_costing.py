"""The price of a pool from the price of a sample: the interval has to hold what the pool then costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.costing import Spread, affordable, mean_cost, share

CALM, FAULTY, BAD = (0.0, 0.0, 0.0), (0.02, 0.01, 0.02), (0.2, 0.0, 0.1)


def made_up(rng: np.random.Generator, size: int, faults: tuple[float, float, float]) -> tuple[np.ndarray, ...]:
    """(plain, unclear, worst) cost of every text of a pool: log-normal lengths; time-outs that charge the worst case
    and are tried again up to three times; answers without usage; answers that are no label and are asked again."""
    time_out, no_usage, no_label = faults
    base = 36 * rng.lognormal(0, 0.3, size)
    worst = 8 * base
    plain = base * np.where(rng.random(size) < no_label, 2, 1)
    failed = np.minimum(rng.geometric(max(1e-12, 1 - time_out), size) - 1, 3)
    lost = failed == 3
    silent = (rng.random(size) < no_usage) & ~lost
    return np.where(lost | silent, 0, plain), worst * (failed + silent), worst


@pytest.mark.parametrize("faults", [CALM, FAULTY, BAD])
@pytest.mark.parametrize("sample", [20, 50, 200])
def test_the_interval_holds_what_the_whole_pool_costs(sample: int, faults: tuple[float, float, float]) -> None:
    held, told_wrong = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        plain, unclear, worst = made_up(rng, 3000, faults)
        rows = rng.permutation(3000)[:sample]
        found = mean_cost(plain[rows].tolist(), unclear[rows].tolist(), float(worst[rows].max()), 3000)
        true = float((plain + unclear).mean())
        held += found.low <= true <= found.high
        told_wrong += not found.low <= found.value <= found.high
    assert told_wrong == 0
    assert held >= 0.91 * 200, held  # 92 to 99 % were seen over 500 seeds


def test_a_whole_pool_that_was_asked_leaves_no_doubt() -> None:
    assert mean_cost([10.0, 20.0], [0.0, 30.0], 50.0, 2) == Spread(30.0, 30.0, 30.0)


def test_time_outs_that_were_not_seen_are_not_ruled_out() -> None:
    found = mean_cost([10.0] * 50, [0.0] * 50, 80.0, 10_000)
    assert found.value == found.low == 10.0
    assert 13 < found.high < 17  # some in fourteen of them may yet cost 80


def test_what_cannot_be_unclear_leaves_only_the_spread_of_the_texts() -> None:
    assert mean_cost([10.0] * 50, [0.0] * 50, 0.0, 10_000) == Spread(10.0, 10.0, 10.0)


def test_one_text_tells_little_and_none_nothing() -> None:
    assert mean_cost([10.0], [0.0], 80.0, 100).low == 0.0
    assert mean_cost([10.0], [0.0], 80.0, 100).high > 80.0
    assert mean_cost([], [], 80.0, 100) == Spread(0.0, 0.0, math.inf)


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=40),
    st.floats(0, 1e6),
    st.integers(1, 10**9),
)
def test_an_interval_is_around_its_value_and_never_below_zero(
    costs: list[tuple[float, float]], worst: float, population: int
) -> None:
    found = mean_cost([a for a, _ in costs], [b for _, b in costs], worst, population)
    assert 0 <= found.low <= found.value * (1 + 1e-9) + 1e-9
    assert found.value <= found.high * (1 + 1e-9) + 1e-9


def test_money_buys_texts_while_the_worst_case_of_the_next_one_fits() -> None:
    each = Spread(10.0, 5.0, 20.0)
    assert affordable(1_000, each, 100, 10_000) == Spread(91.0, 46.0, 181.0)
    assert affordable(99, each, 100, 10_000) == Spread(0.0, 0.0, 0.0)
    assert affordable(1_000, each, 100, 60) == Spread(60.0, 46.0, 60.0)
    assert affordable(1_000, Spread(0.0, 0.0, 0.0), 0, 60).value == 60.0


def test_shares_and_what_is_left_of_them() -> None:
    found = share(0, 50)
    assert (found.value, found.low) == (0.0, 0.0)
    assert 0.06 < found.high < 0.08
    assert found.rest() == Spread(1.0, 1 - found.high, 1.0)
    assert share(0, 0) == Spread(0.0, 0.0, 1.0)
    assert Spread(10.0, 8.0, 12.0).over(Spread(0.5, 0.4, 0.8)) == Spread(20.0, 10.0, 30.0)
