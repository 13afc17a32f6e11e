"""What is kept of a stream: never more than a day may have, the unsure, and some by chance, with what probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.stream.sampling import Day, Sampler, Why, draw_of, for_chance

inputs = st.tuples(st.floats(0, 1), st.floats(0, 1), st.none() | st.booleans(), st.booleans())


@given(st.integers(1, 30), st.integers(1, 200), st.lists(inputs, max_size=120))
def test_no_order_of_inputs_passes_the_budget(
    most: int, expected: int, stream: list[tuple[float, float, bool | None, bool]]
) -> None:
    day, sampler, kept = Day(expected), Sampler(), 0
    for draw, doubt, novel, known in stream:
        kept += sampler.look(day, most, draw, doubt, novel, known=known) is not None
        assert kept == day.total <= most
        assert day.kept[Why.CHANCE] <= for_chance(most)
    assert day.seen == len(stream)


@given(st.lists(inputs, max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_nor_does_a_budget_that_was_lowered_in_the_day(
    stream: list[tuple[float, float, bool | None, bool]], most: int, later: int
) -> None:
    day, sampler = Day(50), Sampler()
    for i, (draw, doubt, novel, known) in enumerate(stream):
        before = day.total
        sampler.look(day, most if i < 30 else later, draw, doubt, novel, known=known)
        assert day.total <= max(before, most if i < 30 else later)


def a_day(doubts: np.ndarray[tuple[int], np.dtype[np.float64]], expected: int, most: int = 100) -> list[Why | None]:
    day, sampler = Day(expected), Sampler()
    verdicts = [
        sampler.look(day, most, draw_of(f"text {i}", 3), float(d), None, known=False) for i, d in enumerate(doubts)
    ]
    return [v.why if v else None for v in verdicts]


@pytest.mark.parametrize("share_seen", [0.5, 1.0, 3.0])
def test_the_unsure_are_kept_over_the_whole_day(share_seen: float) -> None:
    rng = np.random.default_rng(0)
    doubts = rng.beta(0.5, 5, round(2000 * share_seen))
    found = a_day(doubts, expected=2000)
    unsure = [i for i, why in enumerate(found) if why is Why.UNSURE]
    assert np.median(doubts[unsure]) > np.quantile(doubts, 0.9)
    assert len(unsure) >= 35
    assert max(unsure) > (0.7 if share_seen <= 1 else 0.5) * len(doubts), "the budget is not gone by noon"


def test_a_model_that_never_doubts_differently_does_not_use_the_day_up_at_once() -> None:
    found = a_day(np.full(1000, 0.3), expected=1000)
    kept = [i for i, why in enumerate(found) if why]
    assert 50 <= len(kept) <= 100
    assert 300 < np.median(kept) < 700


def test_after_a_drift_half_of_what_is_not_chance_goes_to_new_inputs() -> None:
    rng, day, sampler = np.random.default_rng(1), Day(1000), Sampler()
    for i in range(1000):
        sampler.look(day, 100, draw_of(str(i), 0), float(rng.random()), i % 3 == 0, known=False)
    assert day.kept[Why.DRIFT] > 30
    assert day.kept[Why.UNSURE] > 30


def test_what_was_kept_is_not_kept_again() -> None:
    day, sampler = Day(10), Sampler()
    assert not any(sampler.look(day, 10, 0.0, 1.0, True, known=True) for _ in range(50))


def test_the_share_that_is_right_is_estimated_without_bias_from_what_chance_kept() -> None:
    """Of a stream where what is unsure is wrong, whose rate changes in the day: Horvitz and Thompson's mean."""
    rng = np.random.default_rng(2)
    estimates, truth = [], []
    for seed in range(200):
        day, sampler, total = Day(400), Sampler(), 0.0
        right = rng.random(600) < np.linspace(0.9, 0.6, 600)
        for i, good in enumerate(right):
            verdict = sampler.look(day, 200, draw_of(str(i), seed), 0.1 if good else 0.7, None, known=False)
            if verdict and verdict.why is Why.CHANCE:
                total += good / verdict.probability
        assert day.unreached == 0
        estimates.append(total / len(right))
        truth.append(right.mean())
    error = np.array(estimates) - np.array(truth)
    assert abs(error.mean()) < 3 * error.std() / np.sqrt(len(error))


def test_a_text_is_drawn_once_however_often_it_comes() -> None:
    assert draw_of("a", 1) == draw_of("a", 1) != draw_of("a", 2)
    draws = [draw_of(str(i), 7) for i in range(2000)]
    assert np.histogram(draws, 10, (0, 1))[0].min() > 150
