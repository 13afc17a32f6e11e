"""How much more often people agree with what they see: within bands, with an interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.agreement import anchored

EDGES = (0.5, 0.8)


def items(*groups: tuple[float, bool, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of (confidence, blind, how many, how many agreed)."""
    right = [k < agreed for _, _, n, agreed in groups for k in range(n)]
    blind = [b for _, b, n, _ in groups for _ in range(n)]
    sure = [c for c, _, n, _ in groups for _ in range(n)]
    return np.array(right, bool), np.array(blind, bool), np.array(sure, float)


def test_the_difference_is_that_within_bands_and_not_the_plain_one() -> None:
    # people agree with 10 points more where they see it, but what is shown is what the machine doubts
    made = items((0.6, False, 100, 60), (0.6, True, 10, 5), (0.9, False, 10, 10), (0.9, True, 100, 90))
    plain = 70 / 110 - 95 / 110
    found = anchored(*made, EDGES)
    assert plain < 0
    assert found.value == pytest.approx(0.10)
    assert (found.shown, found.blind) == (110, 110)
    assert [(b.shown, b.shown_agreed, b.blind, b.blind_agreed) for b in found.bands] == [
        (100, 60, 10, 5),
        (10, 10, 100, 90),
    ]


def test_bands_with_one_kind_alone_are_left_out_but_shown() -> None:
    found = anchored(*items((0.3, False, 50, 10), (0.6, False, 20, 15), (0.6, True, 20, 10)), EDGES)
    assert (found.shown, found.blind) == (20, 20)
    assert found.value == pytest.approx(0.25)
    assert len(found.bands) == 2


def test_without_a_band_that_has_both_there_is_no_difference() -> None:
    found = anchored(*items((0.3, False, 50, 10), (0.6, True, 20, 15)), EDGES)
    assert math.isnan(found.value)
    assert (found.shown, found.blind) == (0, 0)


def test_where_all_agree_the_interval_still_has_a_width() -> None:
    found = anchored(*items((0.6, False, 6, 6), (0.6, True, 6, 6)), EDGES)
    assert found.value == 0
    assert found.lo < -0.2
    assert found.hi > 0.2


def test_an_unknown_confidence_is_a_band_by_itself() -> None:
    found = anchored(*items((math.nan, False, 4, 4), (math.nan, True, 4, 2), (0.6, False, 9, 1)), EDGES)
    assert found.value == pytest.approx(0.5)


def test_the_interval_holds_the_true_difference_about_as_often_as_it_promises() -> None:
    held = 0
    for seed in range(400):
        draw = np.random.default_rng(seed)
        sure = draw.choice([0.4, 0.6, 0.9], 240)
        blind = draw.random(240) < np.where(sure > 0.8, 0.7, 0.2)
        right = draw.random(240) < np.where(sure > 0.5, 0.75, 0.5) + np.where(blind, 0, 0.12)
        found = anchored(right, blind, sure, EDGES)
        held += found.lo <= 0.12 <= found.hi
    assert 0.92 <= held / 400 <= 0.995
