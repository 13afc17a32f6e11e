"""Confusion, and what selection bought over chance."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report.comparison import confusion, difference, gain
from agent.report.findings import Estimate, Round

NAMES = ("a", "b", "c")
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1, max_size=40)


@given(PAIRS)
def test_a_confusion_counts_every_answer_once(pairs: list[tuple[str, str]]) -> None:
    found = confusion(pairs, NAMES, "gold")
    assert found is not None
    assert {(c.truth, c.given): c.count for c in found.cells} == {p: pairs.count(p) for p in set(pairs)}
    assert found.n == len(pairs)
    assert found.agreed == sum(a == b for a, b in pairs)
    assert list(found.names) == [n for n in NAMES if any(n in p for p in pairs)]


@given(PAIRS)
def test_confused_pairs_come_the_most_frequent_first(pairs: list[tuple[str, str]]) -> None:
    found = confusion(pairs, NAMES, "gold")
    assert found is not None
    counts = [c.count for c in found.pairs()]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == found.n - found.agreed


def test_without_pairs_there_is_no_confusion() -> None:
    assert confusion([], NAMES, "gold") is None


def test_a_class_the_job_does_not_know_is_kept() -> None:
    found = confusion([("a", "zebra")], NAMES, "gold")
    assert found is not None
    assert found.names == ("a", "zebra")


def rounds() -> list[Round]:
    """Selection climbs from 0.5 at 10 labels to 0.9 at 50; chance has 0.6 at 20."""
    curve = [Round(i, 10 * (i + 1), selected=Estimate(0.5 + 0.1 * i, 0.4 + 0.1 * i, 0.6 + 0.1 * i)) for i in range(5)]
    curve[-1] = replace(curve[-1], random=Estimate(0.55, 0.5, 0.6), random_labels=20)
    return curve


def test_selection_is_read_off_its_curve_at_the_labels_of_chance() -> None:
    found = gain(rounds())
    assert found is not None
    assert found.interpolated
    assert found.labels == 20
    assert found.selected == pytest.approx(0.6)
    assert found.difference == pytest.approx(0.05)


def test_a_student_of_as_many_selected_labels_is_better_evidence_than_the_curve() -> None:
    curve = rounds()
    curve[-1] = replace(curve[-1], selected_equal=Estimate(0.8, 0.76, 0.84), equal_labels=19)
    found = gain(curve)
    assert found is not None
    assert not found.interpolated
    assert found.labels == 19
    assert found.difference == pytest.approx(0.25)
    assert found.verdict == "better"


def test_nothing_is_read_off_a_curve_beyond_its_ends() -> None:
    curve = rounds()
    assert gain([replace(curve[-1], random_labels=5)]) is None
    assert gain([replace(r, selected=None) for r in curve]) is None


def test_without_a_random_slice_there_is_no_gain() -> None:
    assert gain([]) is None
    assert gain([replace(r, random=None) for r in rounds()]) is None


def test_a_gain_without_interval_proves_nothing() -> None:
    last = Round(0, 9, random=Estimate(0.5), random_labels=4, selected_equal=Estimate(0.6))
    found = gain([last])
    assert found is not None
    assert found.verdict == "unknown"


ESTIMATES = st.tuples(*[st.floats(0, 1)] * 3).map(sorted).map(lambda v: Estimate(v[1], v[0], v[2]))


@given(ESTIMATES, ESTIMATES)
def test_the_interval_of_a_difference_holds_it_and_turns_with_it(a: Estimate, b: Estimate) -> None:
    lo, hi = difference(a, b)
    assert lo is not None
    assert hi is not None
    assert lo <= a.value - b.value + 1e-12
    assert a.value - b.value <= hi + 1e-12
    back = difference(b, a)
    assert back == pytest.approx((-hi, -lo))


def test_newcombes_published_example() -> None:
    # Newcombe 1998, Statistics in Medicine 17: 56/70 against 48/80, method 10: 0.0524 to 0.3339
    from agent.tasks.intervals import wilson

    lo, hi = difference(Estimate(56 / 70, *wilson(56, 70)), Estimate(48 / 80, *wilson(48, 80)))
    assert (lo, hi) == pytest.approx((0.0524, 0.3339), abs=1e-4)
