"""Numbers and other people's text, as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report.wording import (
    UNSHOWABLE,
    count,
    dollars,
    dollars_each,
    minutes,
    percent,
    plain,
    points,
    price,
    seconds,
)


@pytest.mark.parametrize(
    ("micro", "said"),
    [
        (0, "$0"),
        (1_834_200, "$1.8342"),
        (5_000_000, "$5.0000"),
        (33, "<\u202f$0.0001"),
        (100, "$0.0001"),
        (1_234_567_890, "$1,234.57"),
        (-50_000, "\u2212$0.0500"),
    ],
)
def test_dollars(micro: int, said: str) -> None:
    assert dollars(micro) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.8731, "87.3\u202f%"),
        (1.0, "100.0\u202f%"),
        (0.99999, ">\u202f99.9\u202f%"),
        (0.00001, "<\u202f0.1\u202f%"),
        (0.0, "0.0\u202f%"),
    ],
)
def test_a_share_is_never_rounded_up_to_all_or_down_to_none(share: float, said: str) -> None:
    assert percent(share) == said


def test_points_always_have_a_sign() -> None:
    assert [points(x) for x in (0.031, -0.031, 0.0001)] == ["+3.1", "\u22123.1", "±0.0"]


def test_durations_prices_and_counts() -> None:
    assert [seconds(s) for s in (1.26, 41, 200, 7500)] == [
        "1.3\u202fs",
        "41\u202fs",
        "3\u202fmin 20\u202fs",
        "2\u202fh 5\u202fmin",
    ]
    assert [price(p) for p in (0.05, 0.1, 0.125, 10)] == ["$0.05", "$0.10", "$0.125", "$10.00"]
    assert count(12345) == "12,345"


@given(st.text(st.characters(codec=None)), st.integers(2, 50))
def test_text_made_plain_is_short_shows_whole_and_is_plain_already(text: str, limit: int) -> None:
    said = plain(text, limit)
    assert len(said) <= limit
    assert not UNSHOWABLE.search(said)
    assert "\n" not in said
    assert plain(said) == said
    said.encode("utf-8")


def test_a_cut_ends_with_a_word_where_one_ends_nearby() -> None:
    assert (
        plain("the quick brown fox jumps over the lazy dog and runs", 40)
        == "the quick brown fox jumps over the lazy…"
    )
    assert plain("x" * 50, 10) == "xxxxxxxxx…"


def test_writing_from_right_to_left_is_left_alone_and_tricks_with_it_are_not() -> None:
    assert plain("שלום, ما هذا") == "שלום, ما هذا"
    assert plain("user\u202egnp.exe") == "user\ufffdgnp.exe"


def test_what_one_of_many_costs_keeps_three_digits_that_count() -> None:
    shown = {35.9: "$0.0000359", 0.5: "$0.000000500", 21_400: "$0.0214", 1_830_000: "$1.83", 0: "$0"}
    assert {micro: dollars_each(micro) for micro in shown} == shown


def test_seconds_of_people_read_as_minutes() -> None:
    assert [minutes(s) for s in (0, 3, 204, 743, 400_000)] == ["0", "0.1", "3.4", "12", "6,667"]


def test_a_small_chance_keeps_the_digits_that_count() -> None:
    from agent.report.wording import round_dollars, share

    assert [plain_space(share(p)) for p in (0.5, 0.025, 0.00031, 0.0, 1.0)] == [
        "50 %",
        "2.5 %",
        "0.031 %",
        "0 %",
        "100 %",
    ]
    assert [round_dollars(m) for m in (100_000_000, 2_000_000, 18_900, 0)] == ["$100", "$2", "$0.0189", "$0"]


def plain_space(said: str) -> str:
    return said.replace("\u202f", " ")
