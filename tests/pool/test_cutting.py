"""A text is cut at the last word that fits, found in a few counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.pool.overlong import cut
from tests.pool.making import words


def characters(texts: list[str]) -> list[int]:
    """A tokenizer of single characters."""
    return [len(t) for t in texts]


@given(st.lists(st.lists(st.text("ab", min_size=1, max_size=4), min_size=9, max_size=60), min_size=1, max_size=5))
def test_what_is_left_is_the_most_whole_words_that_fit(every: list[list[str]]) -> None:
    texts = [" ".join(w) for w in every]
    for most, count in ((8, words), (16, characters)):
        long = [(t, w) for t, w in zip(texts, every, strict=True) if count([t])[0] > most]
        found = cut([t for t, _ in long], count([t for t, _ in long]), most, count)
        for left, (_, each) in zip(found, long, strict=True):
            fitting = [k for k in range(1, len(each) + 1) if count([" ".join(each[:k])])[0] <= most]
            assert left == " ".join(each[: max(fitting)])


def test_a_text_without_blanks_is_cut_inside() -> None:
    assert cut(["猫" * 1000], [1000], 100, characters) == ["猫" * 100]


def test_a_first_character_that_alone_is_too_much_is_all_that_stays() -> None:
    def many(texts: list[str]) -> list[int]:
        return [9 * len(t) for t in texts]

    assert cut(["🐈" * 3], [27], 8, many) == ["🐈"]


def test_a_text_of_a_megabyte_takes_few_counts() -> None:
    counted: list[int] = []

    def count(texts: list[str]) -> list[int]:
        counted.extend(len(t) for t in texts)
        return words(texts)

    text = "word and another longer one " * 40_000
    (left,) = cut([text], words([text]), 512, count)
    assert words([left]) == [512]
    assert len(counted) < 12
