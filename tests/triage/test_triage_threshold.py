"""The threshold keeps its promise: at most the target error among what is accepted, 95 times of 100."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.doubt import Calibration
from agent.tasks.intervals import clopper_pearson_upper
from agent.triage import Threshold, threshold

WORLDS = {
    "errors fade with confidence": lambda u: 0.5 * np.exp(-8 * u),
    "always near the target": lambda u: np.full_like(u, 0.052),
    "a step at one half": lambda u: np.where(u > 0.5, 0.01, 0.3),
    "linear": lambda u: 0.15 * (1 - u),
}


@pytest.mark.parametrize("world", WORLDS)
def test_the_target_holds_in_93_of_100_resamplings_of_300_labels(world: str) -> None:
    rng, target, broken, runs = np.random.default_rng(7), 0.05, 0, 400
    confidence = rng.beta(3, 1, 20_000)
    error = WORLDS[world](confidence)
    for _ in range(runs):
        seen = rng.integers(0, len(confidence), 300)
        correct = rng.random(300) >= error[seen]
        calibration = Calibration.fit(confidence[seen], correct)
        value = threshold(calibration.apply(confidence[seen]), correct, target).value
        if value is not None:
            broken += bool(error[calibration.apply(confidence) >= value].mean() > target)
    assert broken / runs <= 0.07


def test_an_oracle_with_few_errors_is_accepted_nearly_everywhere() -> None:
    rng, accepted = np.random.default_rng(0), []
    for _ in range(100):
        confidence = rng.random(300)
        found = threshold(confidence, rng.random(300) >= 0.5 * np.exp(-8 * confidence), 0.05)
        accepted.append(0.0 if found.value is None else float((confidence >= found.value).mean()))
    assert np.mean(accepted) > 0.8


def test_a_few_early_errors_do_not_end_the_search_for_a_good_oracle() -> None:
    rng, found = np.random.default_rng(0), 0
    for _ in range(300):
        found += threshold(rng.random(300), rng.random(300) >= 0.02, 0.05).value is not None
    assert found / 300 > 0.42  # 0.29 where the search starts with the 59 surest


@given(
    st.lists(st.tuples(st.sampled_from([0.5, 0.7, 0.9, 0.99, 1.0]), st.booleans()), max_size=150), st.floats(0.1, 0.5)
)
def test_what_it_says_agrees_with_counting(items: list[tuple[float, bool]], target: float) -> None:
    found = threshold([c for c, _ in items], [ok for _, ok in items], target)
    if found.value is None:
        assert found.basis
        return
    above = [ok for c, ok in items if c >= found.value]
    assert (found.labels, found.errors) == (len(above), above.count(False))
    assert found.upper == clopper_pearson_upper(found.errors, found.labels)
    assert found.upper <= target


def test_a_hundred_right_answers_of_one_confidence_are_accepted_at_it() -> None:
    found = threshold([0.8] * 100, [True] * 100, 0.05)
    assert found.value == 0.8
    assert "100 people's labels at or above it, 0 wrong: at most 3.0%" in found.basis


def test_too_few_labels_say_how_many_more_might_do() -> None:
    found = threshold([0.9] * 40, [True] * 40, 0.05)
    assert (found.value, found.more) == (None, 19)
    assert "at least 59 are needed" in found.basis
    assert threshold([0.9] * 59, [True] * 59, 0.05).value == 0.9


def test_no_labels_at_all_are_too_few() -> None:
    assert threshold([], [], 0.05).more == 59
    assert threshold([None, float("nan")], [True, True], 0.05).more == 59


def test_errors_below_the_target_say_how_many_more_might_do() -> None:
    found = threshold(np.linspace(1, 0.9, 200), np.arange(200) != 3, 0.02)
    assert found.value is None
    assert "1 of the 149 surest" in found.basis
    assert found.more is not None
    errors = np.ceil(found.errors / found.labels * (found.labels + found.more))
    assert clopper_pearson_upper(int(errors), found.labels + found.more) <= 0.02


def test_when_the_surest_are_wrong_more_labels_are_not_promised_to_help() -> None:
    found = threshold(np.linspace(1, 0.5, 200), np.arange(200) % 5 > 0, 0.05)
    assert (found.value, found.more) == (None, None)
    assert "more than the 5.0% allowed" in found.basis


def test_without_a_threshold_of_its_own_the_jobs_is_used_and_both_reasons_are_told() -> None:
    found = threshold([0.9] * 40, [True] * 40, 0.05).or_else(0.8)
    assert found.value == 0.8
    assert found.basis.startswith("people.threshold of the job (0.8): 40 people's labels")
    shown = Threshold(0.6, "shown")
    assert shown.or_else(0.8) is shown
