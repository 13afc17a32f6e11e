"""Bins and calibration error against the slow, obvious way of counting them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report.reliability import reliability

SHARES = st.floats(0, 1)
ANSWERS = st.lists(st.tuples(SHARES | st.just(float("nan")), st.booleans(), st.floats(0.01, 50)), max_size=60)


def slowly(answers: list[tuple[float, bool, float]], bins: int) -> tuple[list[tuple[int, float, float]], float]:
    """[(count, mean confidence, share right)] of the bins that hold something, and the calibration error."""
    answers = [a for a in answers if a[0] == a[0]]
    found, error = [], 0.0
    total = sum(w for _, _, w in answers)
    for b in range(bins):
        here = [a for a in answers if int(min(a[0] * bins, bins - 1)) == b]
        if here:
            weight = sum(w for _, _, w in here)
            confidence = sum(c * w for c, _, w in here) / weight
            right = sum(w for _, r, w in here if r) / weight
            found.append((len(here), confidence, right))
            error += weight / total * abs(confidence - right)
    return found, error


@given(ANSWERS, st.integers(1, 15))
def test_bins_and_error_are_those_of_the_slow_way(answers: list[tuple[float, bool, float]], bins: int) -> None:
    found = reliability(*([a[i] for a in answers] for i in range(3)), bins=bins)
    slow, error = slowly(answers, bins)
    if not slow:
        assert found is None
        return
    assert found is not None
    assert [b.count for b in found.bins] == [n for n, _, _ in slow]
    assert [b.confidence for b in found.bins] == pytest.approx([c for _, c, _ in slow])
    assert [b.accuracy for b in found.bins] == pytest.approx([r for _, _, r in slow], abs=1e-9)
    assert found.ece == pytest.approx(error, abs=1e-9)
    assert found.n == sum(n for n, _, _ in slow)


@given(ANSWERS)
def test_an_interval_holds_its_share_and_stays_within_zero_to_one(answers: list[tuple[float, bool, float]]) -> None:
    found = reliability(*([a[i] for a in answers] for i in range(3)))
    for b in found.bins if found else ():
        assert 0 <= b.accuracy_lo <= b.accuracy + 1e-9
        assert b.accuracy - 1e-9 <= b.accuracy_hi <= 1
        assert b.lo <= b.confidence + 1e-9
        assert b.confidence <= b.hi + 1e-9


def test_doubtful_answers_do_not_count_for_more_than_their_share() -> None:
    # 90 sure answers of which people saw one in ten, and 10 doubtful ones of which they saw all
    confidence = [0.9] * 9 + [0.5] * 10
    right = [True] * 9 + [False] * 10
    plain, weighed = reliability(confidence, right), reliability(confidence, right, [10.0] * 9 + [1.0] * 10)
    assert plain is not None
    assert weighed is not None
    assert plain.ece == pytest.approx((9 * 0.1 + 10 * 0.5) / 19)
    assert weighed.ece == pytest.approx((90 * 0.1 + 10 * 0.5) / 100)


def test_a_perfectly_calibrated_oracle_has_no_error() -> None:
    found = reliability(np.repeat([0.25, 0.75], 4), [1, 0, 0, 0, 1, 1, 1, 0])
    assert found is not None
    assert found.ece == 0.0
