"""Two texts as one, and as two again, whatever they hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.pairing import MARK, SIGN, join, shortened, split, stretches

NASTY = st.text(st.one_of(st.sampled_from([SIGN, "\n", "a"]), st.characters()))


@given(NASTY, NASTY)
def test_what_is_joined_is_split_again_exactly(first: str, second: str) -> None:
    assert split(join(first, second)) == (first, second)


@given(NASTY, NASTY, NASTY, NASTY)
def test_other_pairs_are_other_texts(a: str, b: str, c: str, d: str) -> None:
    assert (join(a, b) == join(c, d)) == ((a, b) == (c, d))


@given(NASTY, NASTY)
def test_the_parts_stand_where_it_is_said(first: str, second: str) -> None:
    text = join(first, second)
    (_, before), (at, after) = stretches(text)
    assert text == f"{before}{MARK}{after}"
    assert text[at:] == after


@given(NASTY, NASTY, st.integers(0, 20))
def test_a_shortened_pair_is_still_a_pair(first: str, second: str, most: int) -> None:
    assert split(shortened(join(first, second), most)) == (first[:most], second[:most])


@given(st.text().filter(lambda t: MARK not in t))
def test_a_text_that_is_no_pair_is_one_stretch(text: str) -> None:
    assert stretches(text) == [(0, text)]
    assert shortened(text, 5) == text[:5]
