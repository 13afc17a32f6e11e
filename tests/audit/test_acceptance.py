"""Is error under a limit: a test that may be looked at after every item."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.audit import Verdict, acceptance
from agent.audit.acceptance import BELOW


def slow_evidence(wrong: list[bool], population: int, at: int, held: list[int]) -> float:
    """The likelihood ratio, draw by draw, in exact fractions."""

    def chance(bad: int) -> Fraction:
        found, left, others = Fraction(1), bad, population - bad
        for w in wrong:
            found *= Fraction(max(0, left if w else others), left + others) if left + others else Fraction(0)
            left, others = (left - 1, others) if w else (left, others - 1)
        return found

    own = chance(at)
    total = sum(chance(m) for m in held)
    return math.inf if own == 0 else float(total / len(held) / own)


@settings(max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=25), st.integers(25, 80))
def test_the_evidence_is_the_mean_likelihood_ratio(wrong: list[bool], population: int) -> None:
    limit = 0.3
    at = math.ceil(limit * population)
    held = sorted({round(m * limit * population) for m in BELOW} - {at})
    held = [m for m in held if m < at]
    found = acceptance(wrong, population, limit, alpha=1e-12)
    if sum(wrong) <= at and found.verdict is Verdict.OPEN:
        assert found.below == pytest.approx(slow_evidence(wrong, population, at, held), rel=1e-6)


@pytest.mark.parametrize("limit", [0.02, 0.05, 0.1])
def test_at_the_limit_it_is_seldom_wrong_however_often_one_looks(limit: float) -> None:
    rng, population = np.random.default_rng(3), 1000
    labels = np.arange(population) < round(limit * population)
    verdicts = [acceptance(rng.permutation(labels)[:900], population, limit).verdict for _ in range(400)]
    assert verdicts.count(Verdict.ACCEPT) <= 400 * 0.08
    assert verdicts.count(Verdict.REJECT) <= 400 * 0.08


def test_good_labels_are_accepted_and_bad_ones_rejected_early() -> None:
    rng = np.random.default_rng(4)
    good = [acceptance(rng.random(1500) < 0.01, 10**6, 0.05) for _ in range(100)]
    bad = [acceptance(rng.random(1500) < 0.15, 10**6, 0.05) for _ in range(100)]
    assert {g.verdict for g in good} == {Verdict.ACCEPT}
    assert {b.verdict for b in bad} == {Verdict.REJECT}
    assert np.mean([g.items for g in good]) < 200
    assert np.mean([b.items for b in bad]) < 150


def test_what_was_seen_ends_it_whatever_comes_after() -> None:
    wrong = [False] * 300
    first = acceptance(wrong, 5000, 0.05)
    assert first.verdict is Verdict.ACCEPT
    assert acceptance([*wrong, *([True] * 50)], 5000, 0.05) == first


def test_a_whole_small_population_is_known() -> None:
    assert acceptance([False] * 20, 20, 0.05).verdict is Verdict.ACCEPT
    assert acceptance([True, True, *([False] * 18)], 20, 0.05).verdict is Verdict.REJECT
    assert acceptance([], 20, 0.05).verdict is Verdict.OPEN


@pytest.mark.parametrize(("limit", "alpha"), [(0.0, 0.05), (1.0, 0.05), (0.05, 0.0)])
def test_no_limit_of_nought_or_one(limit: float, alpha: float) -> None:
    with pytest.raises(ValueError, match="above 0 and below 1"):
        acceptance([False], 10, limit, alpha)


def test_no_more_items_than_labels() -> None:
    with pytest.raises(ValueError, match="3 items of 2 labels"):
        acceptance([False] * 3, 2, 0.1)
