"""When a job stops, and that a student that learnt nothing does not stop it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from agent.agreement import cohens_kappa
from agent.job import StopSettings
from agent.selection import (
    Forecast,
    Look,
    StopReason,
    StopState,
    f_change_bound,
    lower_bound,
    should_stop,
)

GOING_ON = StopState(affordable=100, candidates=1000, labels=50, rounds=3, agreements=(0.5, 0.6, 0.7))


def reason(state: StopState, **settings: object) -> StopReason | None:
    stop = should_stop(state, StopSettings(**settings))  # type: ignore[arg-type]
    return None if stop is None else stop.reason


def state(**changes: object) -> StopState:
    known = {name: getattr(GOING_ON, name) for name in StopState.__slots__}
    return StopState(**{**known, **changes})


def test_a_job_goes_on_while_there_is_money_text_and_something_to_learn() -> None:
    assert should_stop(GOING_ON, StopSettings()) is None


@pytest.mark.parametrize(
    ("changes", "settings", "expected"),
    [
        ({"affordable": 0}, {}, StopReason.BUDGET),
        ({"candidates": 0}, {}, StopReason.POOL),
        ({"candidates": 0, "affordable": 0}, {}, StopReason.POOL),
        ({"labels": 50}, {"max_labels": 50}, StopReason.MAX_LABELS),
        ({"labels": 49}, {"max_labels": 50}, None),
        ({"rounds": 4}, {"max_rounds": 4}, StopReason.MAX_ROUNDS),
        ({"rounds": 3}, {"max_rounds": 4}, None),
        ({"agreements": (0.1, 0.99, 0.99, 0.99)}, {}, StopReason.AGREEMENT),
        ({"agreements": (0.99, 0.99)}, {}, None),
        ({"agreements": (0.99, 0.99, 0.9)}, {}, None),
        ({"agreements": (0.1, 0.9)}, {"agreement": 0.9, "window": 1}, StopReason.AGREEMENT),
        ({"agreements": (1.0, 1.0, 1.0)}, {"agreement": None}, None),
        ({"agreements": (1.0, float("nan"), 1.0)}, {}, None),
    ],
)
def test_each_reason_stops_a_job_at_its_limit_and_not_before(
    changes: dict[str, object], settings: dict[str, object], expected: StopReason | None
) -> None:
    assert reason(state(**changes), **settings) is expected


def test_the_message_says_what_settled_and_how_much_f_may_still_have_moved() -> None:
    stop = should_stop(state(agreements=(0.99, 1.0, 0.99)), StopSettings())
    assert stop is not None
    assert "last 3 students" in stop.message
    assert "at most 0.040" in stop.message


@given(st.integers(2, 60), st.floats(0, 1), st.floats(0, 0.4), st.integers(0, 999))
def test_f_never_changes_by_more_than_the_bound(n: int, positive: float, flipped: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold, before = rng.random(n) < positive, rng.random(n) < 0.5
    after = before ^ (rng.random(n) < flipped)
    change = abs(f1_score(gold, before, zero_division=0.0) - f1_score(gold, after, zero_division=0.0))
    kappa = cohens_kappa(before.tolist(), after.tolist())
    assert change <= f_change_bound(kappa) + 1e-9


def test_the_bound_is_four_points_at_a_kappa_of_099() -> None:
    assert f_change_bound(0.99) == pytest.approx(0.0404, abs=1e-4)
    assert f_change_bound(1) == 0
    assert f_change_bound(-0.5) == f_change_bound(0) == f_change_bound(0.1) == 1


GOOD, FINE = Look(0.99, 500), Look(0.97, 500)


@pytest.mark.parametrize(
    ("changes", "settings", "expected"),
    [
        ({"looks": (GOOD,)}, {"target_accuracy": 0.95}, StopReason.TARGET),
        ({"looks": (GOOD,)}, {}, None),
        ({"looks": ()}, {"target_accuracy": 0.95}, None),
        ({"looks": (FINE,)}, {"target_accuracy": 0.95}, StopReason.TARGET),
        ({"looks": (FINE,) * 20}, {"target_accuracy": 0.95}, None),  # the twentieth look needs more evidence
        ({"looks": (GOOD, Look(0.9, 500))}, {"target_accuracy": 0.95}, None),
        ({"looks": (Look(float("nan"), 9),)}, {"target_accuracy": 0.1}, None),
        ({"gain": Forecast(0.004, 0.0, 0.009)}, {"gain_per_dollar": 1.0}, StopReason.GAIN),
        ({"gain": Forecast(0.004, 0.0, 0.011)}, {"gain_per_dollar": 1.0}, None),
        ({"gain": Forecast(0.0, 0.0, 0.0)}, {}, None),
        ({"gain": None}, {"gain_per_dollar": 1.0}, None),
        ({"gain": Forecast(0, 0, 0), "affordable": 0}, {"gain_per_dollar": 1.0}, StopReason.BUDGET),
    ],
)
def test_a_job_stops_where_it_is_good_enough_or_more_is_not_worth_it(
    changes: dict[str, object], settings: dict[str, object], expected: StopReason | None
) -> None:
    assert reason(state(**changes), **settings) is expected


def test_the_messages_name_the_setting_and_the_figures() -> None:
    stop = should_stop(state(looks=(GOOD,)), StopSettings(target_accuracy=0.95))
    assert stop is not None
    assert "99.0 % of gold" in stop.message
    assert "stop.target_accuracy is 0.95" in stop.message
    stop = should_stop(state(looks=(replace(GOOD, measured_on="people"),)), StopSettings(target_accuracy=0.95))
    assert stop is not None
    assert "of the audit sample" in stop.message
    stop = should_stop(state(gain=Forecast(0.004, 0.0, 0.009)), StopSettings(gain_per_dollar=2))
    assert stop is not None
    assert "0.4 points of accuracy, 0.9 at most" in stop.message
    assert "stop.gain_per_dollar is 2" in stop.message


@given(st.floats(0, 1), st.integers(1, 400))
def test_the_first_bound_is_clopper_and_pearsons_at_half_the_error(share: float, n: int) -> None:
    hits = round(share * n)
    expected = binomtest(hits, n).proportion_ci(0.95, "exact").low  # two-sided: 2.5 % below
    assert lower_bound([Look(hits / n, n)]) == pytest.approx(expected, abs=1e-9)


def test_looking_every_round_is_wrong_no_more_often_than_promised() -> None:
    """Students of accuracy 0.90 and a target of 0.90: any stop is a wrong one. Looks share their gold texts."""
    rng = np.random.default_rng(5)
    wrong = naive = 0
    for _ in range(400):
        hard, looks, fooled = rng.random(200), [], False
        for _ in range(15):
            said = np.where(rng.random(200) < 0.3, rng.random(200), hard)  # a new student differs on some texts
            looks.append(Look(float(np.mean(said < 0.9)), 200))
            if not fooled and lower_bound(looks) >= 0.9:
                wrong, fooled = wrong + 1, True
        naive += any(lower_bound([look], 0.10) >= 0.9 for look in looks)
    assert wrong / 400 <= 0.05
    assert naive / 400 > 0.08


def test_a_bound_of_no_look_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        lower_bound([])
