"""Scales, ticks and what a drawing does with text."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from agent.report.svg import Drawing, Scale, decimals, ticks


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 10))
def test_ticks_lie_within_are_few_and_evenly_spaced(lo: float, width: float, about: int) -> None:
    assume(width > abs(lo) * 1e-6)
    found = ticks(lo, lo + width, about)
    assert all(lo - 1e-6 * width <= t <= lo + width + 1e-6 * width for t in found)
    assert len(found) <= about + 2
    gaps = [b - a for a, b in pairwise(found)]
    assert all(abs(g - gaps[0]) < 1e-6 * width for g in gaps)


def test_whole_ticks_stay_whole() -> None:
    assert ticks(0, 3, 6, whole=True) == [0, 1, 2, 3]
    assert ticks(0, 526, 6) == [0, 100, 200, 300, 400, 500]


def test_ticks_are_told_apart_by_as_many_decimals_as_it_takes() -> None:
    assert decimals([0.0, 0.005, 0.01]) == 3
    assert decimals([1.0, 2.0]) == 0


def test_a_scale_of_no_width_puts_everything_in_the_middle() -> None:
    assert Scale(3, 3, 0, 100)(3) == 50


def test_text_in_a_drawing_stays_text() -> None:
    d = Drawing(100, 50, '"<b>')
    d.text((0, 0), "<script>&")
    d.dot((1, 1), 2, "dot", "</title><script>")
    svg = str(d.svg())
    assert "<script>" not in svg
    assert "&lt;script&gt;&amp;" in svg
    assert 'aria-label="&#34;&lt;b&gt;"' in svg
