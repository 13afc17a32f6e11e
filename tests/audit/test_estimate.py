"""The share of labels that is right: against the formulas written out, and how often its interval is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audit import Sampled, bands, draw, estimate, more_for
from agent.tasks.intervals import wilson

CASES = st.integers(1, 4).flatmap(
    lambda strata: st.tuples(
        st.lists(st.tuples(st.booleans(), st.floats(0.05, 0.95)), min_size=strata * 3, max_size=60), st.just(strata)
    )
)


def made(items: list[tuple[bool, float]], strata: int, extra: int = 40) -> Sampled:
    """Items dealt to strata in turn; every stratum has some more labels that nobody looked at."""
    h = np.arange(len(items)) % strata
    sizes = np.bincount(h) + extra * (1 + np.arange(strata))
    foretold = np.array([f for _, f in items])
    return Sampled(np.array([r for r, _ in items], float), h, sizes, foretold, np.linspace(0.5, 0.9, strata))


@given(CASES)
def test_the_estimate_is_horvitz_and_thompsons(case: tuple[list[tuple[bool, float]], int]) -> None:
    sampled = made(*case)
    total = 0.0
    for right, h in zip(sampled.right, sampled.strata, strict=True):
        chance = (sampled.strata == h).sum() / sampled.sizes[h]
        total += right / chance
    found = estimate(sampled, powered=False)
    assert found.value == pytest.approx(total / sampled.sizes.sum())
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.reliance == 0
    assert found.estimator == "stratified Horvitz-Thompson"


@given(CASES)
def test_what_is_foretold_moves_it_as_ppi_says(case: tuple[list[tuple[bool, float]], int]) -> None:
    sampled = made(*case)
    found = estimate(sampled, powered=True)
    slow = 0.0
    for h, size in enumerate(sampled.sizes):
        here = sampled.strata == h
        imputed = found.reliance * sampled.expected[h]
        rectified = np.mean(sampled.right[here] - found.reliance * sampled.foretold[here])
        slow += size / sampled.sizes.sum() * (imputed + rectified)
    assert found.value == pytest.approx(min(1.0, max(0.0, slow)))
    assert 0 <= found.reliance <= 1


def test_one_stratum_is_a_plain_share_whose_interval_is_near_wilsons() -> None:
    right = np.array([True] * 376 + [False] * 24)
    sampled = Sampled(right, np.zeros(400, np.int64), np.array([10**7]), np.full(400, 0.9), np.array([0.9]))
    found = estimate(sampled)
    low, high = wilson(376, 400)
    assert found.value == pytest.approx(0.94)
    assert found.low == pytest.approx(low, abs=0.002)
    assert found.high == pytest.approx(high, abs=0.003)
    assert found.effective == pytest.approx(400, rel=0.01)


def test_who_looked_at_every_label_knows() -> None:
    right = np.array([True, True, False, True])
    found = estimate(Sampled(right, np.zeros(4, np.int64), np.array([4]), np.full(4, 0.5), np.array([0.5])))
    assert (found.value, found.low, found.high) == (0.75, 0.75, 0.75)
    assert more_for(0.001, found, 4) == 0


def test_a_stratum_that_nobody_looked_at_is_refused() -> None:
    with pytest.raises(ValueError, match="every stratum"):
        estimate(Sampled(np.ones(2), np.zeros(2, np.int64), np.array([5, 5]), np.ones(2), np.ones(2)))


def test_no_error_among_few_items_is_no_proof_that_there_is_none() -> None:
    sampled = Sampled(np.ones(60), np.repeat([0, 1], 30), np.array([500, 4500]), np.ones(60), np.array([0.9, 0.99]))
    found = estimate(sampled)
    assert found.value == 1.0
    assert 0.9 < found.low < 0.98


@pytest.mark.parametrize(
    ("error", "stratified", "powered"),
    [(0.01, False, False), (0.01, True, False), (0.01, True, True), (0.1, False, True), (0.1, True, True)],
)
def test_the_interval_covers_the_truth(error: float, stratified: bool, powered: bool) -> None:
    """A slice of `python -m evals.audit`, which has the bar of 93 to 97 %."""
    rng = np.random.default_rng(7)
    doubt = rng.beta(0.3, 3, 20_000)
    foretold = 1 - doubt * error / doubt.mean()
    right = rng.random(20_000) < foretold
    strata = bands(foretold) if stratified else np.zeros(20_000, np.int64)
    covered = 0
    for _ in range(250):
        d = draw(400, foretold, strata, rng)
        found = estimate(Sampled(right[d.items], d.strata, d.sizes, foretold[d.items], d.expected), powered=powered)
        covered += found.low <= right.mean() <= found.high
    assert 0.90 <= covered / 250 <= 0.99


def test_how_many_more_items_is_about_what_it_then_takes() -> None:
    sampled = Sampled(
        np.array([1.0] * 180 + [0.0] * 20), np.zeros(200, np.int64), np.array([100_000]), np.full(200, 0.9),
        np.array([0.9]),
    )  # fmt: skip
    found = estimate(sampled, powered=False)
    more = more_for(0.01, found, 100_000)
    assert more is not None
    n = 200 + more
    wider = Sampled(np.r_[np.ones(round(0.9 * n)), np.zeros(n - round(0.9 * n))], np.zeros(n, np.int64),
                    np.array([100_000]), np.full(n, 0.9), np.array([0.9]))  # fmt: skip
    then = estimate(wider, powered=False)
    assert (then.high - then.low) / 2 == pytest.approx(0.01, rel=0.03)
    assert more_for(0.2, found, 100_000) == 0
    assert math.isfinite(found.effective)
