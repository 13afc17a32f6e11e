"""What more money would have bought."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.report.outlook import Standing, look_ahead, measured
from agent.selection import Point


def figures(rounds: int, **more: Any) -> list[dict[str, Any]]:
    """Rounds of 50 labels more each, on a curve that ends at 0.95."""
    out = []
    for i in range(1, rounds + 1):
        value = 0.95 - 0.3 * i**-0.7
        out.append(
            {"labels": 50 * i, "accuracy": value, "accuracy_lo": value - 0.02, "accuracy_hi": value + 0.02,
             "measured_on": "gold", "metric": "accuracy"} | more
        )  # fmt: skip
    return out


def standing(rounds: int = 6, left: int | None = 100_000, paid: int = 30_000, **more: Any) -> Standing:
    return Standing(figures(rounds, **more), paid=paid, picked=50 * rounds, left=left, spent=32_000)


def test_the_next_100_dollars_and_as_much_again_as_was_spent() -> None:
    found = look_ahead(standing())
    again, hundred = found.prospects
    assert (again.dollars, hundred.dollars) == (32_000, 100_000_000)
    assert again.labels == 320  # a label cost 100 micro-dollars
    assert 0 < again.lo < again.gain < again.hi
    true = 0.3 * (6**-0.7 - (620 / 50) ** -0.7)
    assert again.lo < true < again.hi
    assert not again.far
    assert (found.why_not, found.rounds, found.measured_on) == (None, 6, "gold")


def test_the_pool_may_end_before_the_money_does() -> None:
    again, hundred = look_ahead(standing(left=1000)).prospects
    assert (again.labels, again.whole_pool) == (320, False)
    assert (hundred.labels, hundred.whole_pool) == (1000, True)


def test_what_lies_far_beyond_the_measured_is_told() -> None:
    assert look_ahead(standing()).prospects[-1].far


def test_the_next_dollar_is_that_of_one_more_round() -> None:
    found = look_ahead(standing())
    assert found.per_dollar is not None
    dollars = 50 * 100 / 1e6
    true = 0.3 * (6**-0.7 - 7**-0.7) / dollars
    assert found.per_dollar == pytest.approx(true, rel=0.5)
    assert (found.per_dollar_lo or 0) < found.per_dollar < (found.per_dollar_hi or 0)


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (standing(rounds=3), "3 rounds were measured alike"),
        (standing(left=0), "no text of the pool is left"),
        (standing(paid=0), "asking has cost nothing"),
        (Standing([], 100, 1, None, 100), "no round was measured alike"),
        (Standing([{"labels": 5}], 100, 1, None, 100), "no round was measured alike"),
    ],
)
def test_where_it_cannot_be_told_it_says_why(job: Standing, why: str) -> None:
    found = look_ahead(job)
    assert (found.why_not or "").startswith(why)
    assert found.prospects == ()
    assert found.per_dollar is None


def test_only_rounds_that_were_measured_like_the_last_one_make_the_curve() -> None:
    early = figures(2, measured_on="random slice")
    points, measured_on, metric = measured([*early, *figures(3, seed_labels=7)])
    assert (len(points), measured_on, metric) == (3, "gold", "accuracy")
    assert points[0] == Point(57, pytest.approx(0.65), pytest.approx(0.0102, abs=1e-4))


ROUND = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.integers(-5, 10**6) | st.none(),
        "accuracy": st.floats(),
        "accuracy_lo": st.floats(0, 1),
        "accuracy_hi": st.floats(0, 1),
        "measured_on": st.sampled_from(["gold", "random slice", None]),
    },
)


@settings(max_examples=50)
@given(st.lists(ROUND, max_size=8), st.integers(0, 10**9), st.integers(0, 10**5), st.none() | st.integers(0, 10**6))
def test_whatever_the_rounds_hold_there_is_an_outlook_or_a_reason(
    rounds: list[dict[str, Any]], paid: int, picked: int, left: int | None
) -> None:
    found = look_ahead(Standing(rounds, paid, picked, left, paid))
    assert bool(found.prospects) != bool(found.why_not)
