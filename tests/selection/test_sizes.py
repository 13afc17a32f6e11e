"""`auto`: sizes that a person would have chosen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.selection import auto_batch, auto_cold_start


@pytest.mark.parametrize(
    ("classes", "affordable", "candidates", "expected"),
    [
        (2, 10_000, 10_000, 10),
        (77, 10_000, 10_000, 154),
        (150, 10_000, 10_000, 200),
        (0, 10_000, 10_000, 20),
        (77, 100, 10_000, 50),
        (77, 1, 10_000, 1),
        (77, 0, 10_000, 0),
        (77, 10_000, 30, 30),
    ],
)
def test_cold_start_is_two_a_class_within_reason(
    classes: int, affordable: int, candidates: int, expected: int
) -> None:
    assert auto_cold_start(classes, affordable, candidates) == expected


@pytest.mark.parametrize(
    ("affordable", "candidates", "expected"),
    [(5000, 100_000, 500), (10**9, 10**7, 1000), (50, 1000, 10), (7, 1000, 7), (0, 1000, 0), (10**6, 800, 80)],
)
def test_a_batch_is_a_tenth_of_what_can_still_be_asked(affordable: int, candidates: int, expected: int) -> None:
    assert auto_batch(affordable, candidates) == expected


@pytest.mark.parametrize("affordable", [300, 2000, 9999])
def test_a_budget_lasts_about_ten_rounds_of_equal_size(affordable: int) -> None:
    asked, sizes = 40, []
    while asked < affordable:
        sizes.append(auto_batch(affordable - asked, 100_000, asked))
        asked += sizes[-1]
    assert 9 <= len(sizes) <= 11
    assert len(set(sizes[:-1])) == 1


@given(st.integers(0, 500), st.integers(-5, 10**6), st.integers(0, 10**7))
def test_no_more_is_asked_than_there_is_money_or_text_for(classes: int, affordable: int, candidates: int) -> None:
    for size in (auto_cold_start(classes, affordable, candidates), auto_batch(affordable, candidates)):
        assert 0 <= size <= max(0, min(affordable, candidates))
        assert size > 0 or min(affordable, candidates) <= 0
