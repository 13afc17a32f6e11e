"""What a sequential test says of a sample: how many more it takes, and how many labels are wrong at most."""

from __future__ import annotations

import numpy as np
import pytest

from agent.audit import Verdict, acceptance, at_most, needed


@pytest.mark.parametrize("population", [20, 812, 50_000])
@pytest.mark.parametrize("wrong", [[], [False] * 9, [False] * 9 + [True]])
def test_so_many_right_ones_accept_and_one_less_does_not(population: int, wrong: list[bool]) -> None:
    wrong = wrong[:population]
    items = needed(wrong, population, 0.1)
    assert items is not None
    more = [*wrong, *[False] * (items - len(wrong))]
    assert acceptance(more, population, 0.1).verdict is Verdict.ACCEPT
    assert acceptance(more[:-1], population, 0.1).verdict is Verdict.OPEN


def test_where_more_are_wrong_than_may_be_nothing_is_needed_any_more() -> None:
    assert needed([True] * 30, 200, 0.05) is None


def test_what_is_accepted_is_at_most_the_limit() -> None:
    wrong = [False] * 83
    assert acceptance(wrong, 812, 0.05).verdict is Verdict.ACCEPT
    assert 0.045 < at_most(wrong, 812) <= 0.05
    assert at_most([], 812) == 1
    assert at_most([True] * 10, 10) == 1
    assert at_most([False] * 10, 10) == 0
    assert at_most([True, *[False] * 9], 10) == pytest.approx(0.1)


def test_whoever_looks_after_every_item_is_seldom_told_too_little() -> None:
    rng, population, bad, too_little = np.random.default_rng(3), 300, 12, 0
    for _ in range(100):
        wrong = rng.permutation([True] * bad + [False] * (population - bad))[:120]
        said = min(at_most(wrong[:seen], population) for seen in range(20, 121, 20))
        too_little += said < bad / population
    assert too_little <= 10, "5 of 100 are expected at most"
