"""What more labels would bring: on curves whose future is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.selection.forecast import Curve, Point, fit_curve


def points(
    rounds: int, n: int, seed: int, *, top: float = 0.95, gap: float = 0.4, exponent: float = 0.6
) -> list[Point]:
    """Rounds of 50 labels more each, measured on the same n gold texts, a twentieth of which is a coin's toss."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    out = []
    for i in range(1, rounds + 1):
        true = 0.95 - 0.4 * i**-0.6
        value = float(np.mean(np.where(rng.random(n) < 0.05, rng.random(n), hard) < true))
        out.append(Point(50 * i, value, math.sqrt(max(value * (1 - value), 1e-6) / n)))
    return out


def test_the_interval_holds_what_doubling_the_labels_truly_brings() -> None:
    held, true = 0, 0.4 * (6**-0.6 - 12**-0.6)
    for seed in range(40):
        curve = fit_curve(points(6, 400, seed))
        assert isinstance(curve, Curve)
        found = curve.gain(300)
        held += found.low <= true <= found.high
    assert held >= 36


def test_more_rounds_and_more_gold_make_it_narrower() -> None:
    widths = []
    for rounds, n in ((4, 100), (12, 4000)):
        curve = fit_curve(points(rounds, n, 3))
        assert isinstance(curve, Curve)
        found = curve.gain(curve.last)
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2


def test_a_flat_curve_promises_next_to_nothing_and_a_steep_one_much() -> None:
    flat = fit_curve([Point(50 * i, 0.9 + 0.0002 * i, 0.004) for i in range(1, 9)])
    steep = fit_curve([Point(50 * i, 0.9 - 0.5 / i, 0.004) for i in range(1, 5)])
    assert isinstance(flat, Curve)
    assert isinstance(steep, Curve)
    assert flat.gain(400).high < 0.015
    for error in (0.02, 0.0):
        perfect = fit_curve([Point(n, 1.0, error) for n in (18, 33, 48, 63, 78, 93, 108)])
        assert isinstance(perfect, Curve), "nothing more is to be had, and that is known"
        assert perfect.gain(100).high < 0.03
    assert steep.gain(200).low > 0.02


@pytest.mark.parametrize(
    ("given_points", "why"),
    [
        ([], "no round was measured alike, and a learning curve needs 4"),
        ([Point(50, 0.5, 0.1)], "1 round was measured alike, and a learning curve needs 4"),
        ([Point(50, 0.5, 0.1)] * 9, "1 round was measured alike, and a learning curve needs 4"),
        ([Point(50 * i, 0.5, 0.1) for i in range(4)], "3 rounds were measured alike, and a learning curve needs 4"),
        ([Point(50 * i, 0.9 - 0.05 * i, 0.001) for i in range(1, 9)], "accuracy did not rise"),
    ],
)
def test_where_no_curve_can_be_told_it_says_why(given_points: list[Point], why: str) -> None:
    found = fit_curve(given_points)
    assert isinstance(found, str)
    assert found.startswith(why)


MEASURED = st.lists(
    st.builds(Point, st.integers(0, 5000), st.floats(0, 1), st.floats(0, 0.2) | st.just(math.nan)), max_size=12
)


@settings(max_examples=30)
@given(MEASURED, st.floats(0, 1e7))
def test_whatever_was_measured_a_forecast_is_a_gain_with_an_interval_or_a_reason(
    measured: list[Point], more: float
) -> None:
    found = fit_curve(measured)
    if isinstance(found, str):
        assert found
        return
    gain = found.gain(more)
    assert 0 <= gain.low <= gain.value <= gain.high
    assert found.gain(0).high == 0
    assert found.gain(2 * more).value >= gain.value
    again = fit_curve(measured[::-1])
    assert isinstance(again, Curve)
    assert again.gain(more) == gain
