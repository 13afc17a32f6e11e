"""Confusion, and what selection bought over chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from agent.job import TaskSettings
from agent.report.comparison import bonett_price, confusion, difference, gain, gain_of, mcnemar, paired
from agent.report.findings import Estimate, Round
from agent.tasks import Task, build
from agent.tasks.intervals import wilson

NAMES = ("a", "b", "c")


def a_job_task() -> Task:
    return build(TaskSettings(labels=dict.fromkeys(NAMES, "")))


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
    lo, hi = difference(Estimate(56 / 70, *wilson(56, 70)), Estimate(48 / 80, *wilson(48, 80)))
    assert (lo, hi) == pytest.approx((0.0524, 0.3339), abs=1e-4)


VERDICTS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from("abc")), min_size=1)


@given(VERDICTS)
def test_two_students_are_counted_against_each_other_text_by_text(rows: list[tuple[str, str, str]]) -> None:
    truth, one, other = ([r[i] for r in rows] for i in range(3))
    found = paired(a_job_task(), truth, one, other, np.random.default_rng(0))
    assert found["only_selected"] == sum(t == a != b for t, a, b in rows)
    assert found["only_random"] == sum(t == b != a for t, a, b in rows)
    assert found["difference"] == pytest.approx((found["only_selected"] - found["only_random"]) / len(rows))
    assert found["lo"] <= found["difference"] + 1e-9
    assert found["difference"] <= found["hi"] + 1e-9
    back = paired(a_job_task(), truth, other, one, np.random.default_rng(0))
    assert (back["lo"], back["hi"]) == pytest.approx((-found["hi"], -found["lo"]))


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemars_test_is_scipys_binomial_one(one: int, other: int) -> None:
    expected = binomtest(one, one + other).pvalue if one + other else 1.0
    assert mcnemar(one, other) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "one", "other"), [(40, 0.05, 0.02), (400, 0.08, 0.05), (100, 0.2, 0.2)])
def test_the_interval_holds_the_true_difference_as_often_as_it_says(n: int, one: float, other: float) -> None:
    rng = np.random.default_rng(2)
    drawn = rng.multinomial(n, [one, other, 1 - one - other], 2000)
    ends = [bonett_price(int(a), int(b), n) for a, b, _ in drawn]
    assert np.mean([lo <= one - other <= hi for lo, hi in ends]) > 0.94


def test_a_paired_interval_is_narrower_than_one_that_takes_the_students_as_independent() -> None:
    lo, hi = bonett_price(20, 10, 400)
    apart = difference(Estimate(0.9, *wilson(360, 400)), Estimate(0.875, *wilson(350, 400)))
    assert hi - lo < 0.8 * ((apart[1] or 0) - (apart[0] or 0))


def test_two_students_that_agree_everywhere_have_an_interval_all_the_same() -> None:
    lo, hi = bonett_price(0, 0, 100)
    assert lo == -hi
    assert 0.01 < hi < 0.05


def test_another_metric_is_resampled_over_the_texts() -> None:
    task = build(TaskSettings(kind="multilabel", labels=dict.fromkeys("abc", "")))
    rng = np.random.default_rng(1)
    truth = [["a"] if x < 0.5 else ["b", "c"] for x in rng.random(80)]
    bad = [t if rng.random() < 0.6 else ["a"] for t in truth]
    found = paired(task, truth, truth, bad, np.random.default_rng(0))
    assert found["metric"] != "accuracy"
    assert "p" not in found
    assert 0 < found["lo"] < found["difference"] < found["hi"]


def test_a_rounds_paired_comparison_is_the_gain() -> None:
    beside = {"selected_labels": 30, "random_labels": 30, "selected": 0.9, "random": 0.8, "difference": 0.1,
              "lo": 0.02, "hi": 0.18, "n": 100, "only_selected": 14, "only_random": 4, "p": 0.03,
              "measured_on": "random slice"}  # fmt: skip
    figures = {"beside": {"labels": beside, "dollars": beside | {"dollars": 1200, "random_labels": 33}}}
    at = gain_of(figures, "labels")
    assert at is not None
    assert (at.labels, at.verdict, at.paired, at.measured_on, at.dollars) == (
        30,
        "better",
        True,
        "random slice",
        None,
    )
    dollars = gain_of(figures, "dollars")
    assert dollars is not None
    assert (dollars.dollars, dollars.labels, dollars.random_labels) == (1200, 30, 33)
    assert gain([*rounds(), Round(5, 60, at_labels=at)]) is at


@pytest.mark.parametrize("figures", [{}, {"beside": 3}, {"beside": {"labels": {"selected": 1}}}, {"beside": {}}])
def test_figures_of_an_older_round_hold_no_paired_comparison(figures: dict[str, object]) -> None:
    assert gain_of(figures, "labels") is None
