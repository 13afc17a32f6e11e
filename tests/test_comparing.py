"""How the lessons are parted before students are held against each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.comparing import spread
from agent.measuring import Lesson
from agent.records import Label, Source, Text, TextId


def lessons(n: int) -> list[Lesson]:
    return [(Text(TextId(str(i)), "x", i), Label(TextId(str(i)), "a", Source.ORACLE, "o")) for i in range(n)]


@given(st.integers(1, 80), st.integers(1, 90))
def test_some_of_the_lessons_are_spread_over_all_rounds(n: int, count: int) -> None:
    found = [t.row for t, _ in spread(lessons(n), count)]
    assert len(found) == min(n, count) == len(set(found))
    assert found == sorted(found)
    if count > 1:
        assert (found[0], found[-1]) == (0, n - 1)
