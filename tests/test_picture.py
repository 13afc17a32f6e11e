"""A text and its picture as one string."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.pairing import shortened
from agent.picture import MARK, SIGN, Reference, join, quoted, split, with_words, words_of

WORDS = st.text(st.sampled_from([SIGN, "\n", " ", "a", "é"]), max_size=12)
SHA256 = "ab" * 32
PATHS = st.text(st.sampled_from([SIGN, " ", "/", "a", "."]), min_size=1, max_size=8)


@given(WORDS, PATHS)
def test_what_was_joined_comes_apart_again_whatever_it_holds(words: str, path: str) -> None:
    picture = Reference(path, SHA256)
    assert split(join(words, picture)) == (words, picture)


@given(WORDS, st.integers(0, 12))
def test_a_text_that_is_cut_keeps_its_picture(words: str, most: int) -> None:
    picture = Reference("cats/1.png", SHA256)
    assert split(shortened(join(words, picture), most)) == (words[:most], picture)
    assert split(with_words(join(words, picture), "new")) == ("new", picture)


@given(WORDS, st.sampled_from(["", MARK, f"{MARK}1.png", f"{MARK}1.png {'0' * 63}", f"{MARK}a\nb {SHA256}"]))
def test_a_text_without_a_picture_is_left_as_it_is(words: str, end: str) -> None:
    alone = words.replace(MARK, "") + end
    assert split(alone) == (alone, None)
    assert words_of(alone) == quoted(alone) == with_words("old", alone) == alone
