"""Intervals: exact values from the books, and coverage by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agent.tasks.intervals import clopper_pearson_upper, horvitz_thompson_mean, paired_difference, wilson


@given(st.integers(0, 200), st.integers(1, 200), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(k: int, n: int, level: float) -> None:
    k = min(k, n)
    expected = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    assert wilson(k, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(0, 200), st.integers(1, 200))
def test_clopper_pearson_agrees_with_scipy(k: int, n: int) -> None:
    k = min(k, n)
    expected = stats.binomtest(k, n, alternative="less").proportion_ci(0.95, method="exact").high
    assert clopper_pearson_upper(k, n) == pytest.approx(expected, abs=1e-9)


def test_nothing_seen_is_nothing_known() -> None:
    assert wilson(0, 0) == (0, 1)
    assert clopper_pearson_upper(0, 0) == 1
    assert horvitz_thompson_mean([], [])[1:] == (0, 1)
    assert all(math.isnan(x) for x in paired_difference([], [], np.random.default_rng(0)))


def test_a_perfect_score_still_leaves_doubt() -> None:
    low, high = wilson(20, 20)
    assert (0.8 < low < 0.9, high) == (True, 1.0)
    assert clopper_pearson_upper(0, 59) < 0.05 < clopper_pearson_upper(0, 58)  # the rule of three


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.93])
@pytest.mark.parametrize("n", [20, 100])
def test_the_exact_bound_holds_in_95_of_100_samples(share: float, n: int) -> None:
    k = np.arange(n + 1)
    chance = stats.binom.pmf(k, n, share)
    holds = [clopper_pearson_upper(int(i), n) >= share for i in k]
    assert chance[holds].sum() >= 0.95


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_wilson_covers_about_95_of_100_samples(share: float) -> None:
    k = np.arange(101)
    chance = stats.binom.pmf(k, 100, share)
    holds = [wilson(int(i), 100)[0] <= share <= wilson(int(i), 100)[1] for i in k]
    assert 0.93 <= chance[holds].sum() <= 0.97


def test_equal_chances_give_the_plain_mean_and_about_wilsons_interval() -> None:
    right = np.array([True] * 90 + [False] * 10)
    mean, low, high = horvitz_thompson_mean(right, np.full(100, 0.01))
    assert mean == pytest.approx(0.9)
    assert (low, high) == pytest.approx(wilson(90, 100), abs=0.003)


def test_a_census_leaves_no_doubt() -> None:
    assert horvitz_thompson_mean([1, 0, 1, 1], np.ones(4)) == (0.75, 0.75, 0.75)


def coverage(error: np.ndarray, chance: np.ndarray, runs: int = 600) -> tuple[float, float]:
    """How often the interval holds the truth, and the mean of the estimates minus the truth."""
    rng, inside, estimates = np.random.default_rng(0), 0, []
    for _ in range(runs):
        seen = rng.random(len(error)) < chance
        mean, low, high = horvitz_thompson_mean(error[seen], chance[seen])
        inside += low <= error.mean() <= high
        estimates.append(mean)
    return inside / runs, float(np.mean(estimates)) - float(error.mean())


@pytest.mark.parametrize("error_of_accepted", [0.005, 0.02, 0.1])
def test_audit_and_review_together_cover_the_true_error(error_of_accepted: float) -> None:
    """2,000 accepted answers of which a twentieth is audited, and 200 doubtful ones that people all see."""
    rng = np.random.default_rng(1)
    wrong = np.concatenate([rng.random(2000) < error_of_accepted, rng.random(200) < 0.35]).astype(float)
    chance = np.concatenate([np.full(2000, 0.05), np.ones(200)])
    covered, bias = coverage(wrong, chance)
    assert covered >= 0.93
    assert abs(bias) < 0.01


def test_errors_that_hide_where_few_are_asked_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    wrong = np.concatenate([rng.random(1000) < 0.02, rng.random(1000) < 0.4]).astype(float)
    covered, _ = coverage(wrong, np.repeat([0.5, 0.05], 1000))
    assert covered >= 0.92


def test_unequal_chances_cover_where_the_plain_mean_would_be_wrong() -> None:
    rng = np.random.default_rng(2)
    confidence = rng.random(3000)
    wrong = (rng.random(3000) < 0.4 * (1 - confidence)).astype(float)
    covered, bias = coverage(wrong, 0.02 + 0.2 * (1 - confidence))
    assert covered >= 0.93
    assert abs(bias) < 0.01


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0.001, 1)),
        min_size=1,
        max_size=30,
    )
)
def test_the_interval_always_holds_the_mean_and_stays_in_bounds(items: list[tuple[float, float]]) -> None:
    mean, low, high = horvitz_thompson_mean([v for v, _ in items], [p for _, p in items])
    assert 0 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1


@pytest.mark.parametrize(
    ("values", "chances"), [([1], [0]), ([1], [1.1]), ([2], [0.5]), ([1, 0], [0.5]), ([float("nan")], [0.5])]
)
def test_impossible_numbers_are_refused(values: list[float], chances: list[float]) -> None:
    with pytest.raises(ValueError, match=r"probabilities must be|one probability"):
        horvitz_thompson_mean(values, chances)


def test_paired_difference_covers_and_is_narrower_than_unpaired() -> None:
    rng, inside, widths = np.random.default_rng(0), 0, []
    for _ in range(300):
        hard = rng.random(150) < 0.3
        first, second = ~hard | (rng.random(150) < 0.4), ~hard | (rng.random(150) < 0.2)
        gap, low, high = paired_difference(first, second, rng, resamples=400)
        inside += low <= 0.3 * 0.2 <= high
        widths.append(high - low)
        assert low <= gap <= high
    assert inside / 300 >= 0.91
    assert np.mean(widths) < 0.16  # two independent Wilson intervals would be about 0.2 wide


def test_equal_systems_differ_by_nothing_at_all() -> None:
    assert paired_difference([1, 0, 1], [1, 0, 1], np.random.default_rng(0)) == (0, 0, 0)


def test_the_same_seed_gives_the_same_interval_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.arange(50) / 50, np.zeros(50)
    whole = paired_difference(a, b, np.random.default_rng(3))
    monkeypatch.setattr("agent.tasks.intervals.RESAMPLED_AT_ONCE", 700)
    assert paired_difference(a, b, np.random.default_rng(3)) == pytest.approx(whole)


def test_differences_need_the_same_items() -> None:
    with pytest.raises(ValueError, match="a figure for each item"):
        paired_difference([1, 0], [1], np.random.default_rng(0))
