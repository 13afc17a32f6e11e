"""Calibration: an oracle that is too sure of itself, or prefers some classes, is corrected; little evidence changes
nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax

from agent.doubt import Calibration, Given


def judged(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Answers whose true chance to be right is their confidence at the given temperature."""
    rng = np.random.default_rng(seed)
    given_confidence = rng.beta(6, 1, n)
    return given_confidence, rng.random(n) < expit(logit(given_confidence) / temperature)


def test_fewer_than_twenty_labels_change_nothing() -> None:
    calibration = Calibration.fit([0.9] * 19, [False] * 19)
    assert calibration.kind == "uncalibrated"
    assert calibration.apply([0.3, 0.999, 1.0, 0.0]).tolist() == [0.3, 0.999, 1.0, 0.0]


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5, 6.0])
def test_the_temperature_that_made_the_answers_is_found(temperature: float) -> None:
    calibration = Calibration.fit(*judged(3000, temperature))
    assert calibration.kind == "temperature"
    assert calibration.temperature == pytest.approx(temperature, rel=0.15)


def test_an_oracle_that_is_too_sure_gets_the_confidence_it_deserves() -> None:
    confidences, correct = np.full(200, 0.999), np.arange(200) % 10 < 8
    assert Calibration.fit(confidences, correct).apply([0.999])[0] == pytest.approx(0.8, abs=0.03)


def test_a_run_of_right_answers_does_not_make_the_next_one_certain() -> None:
    calibrated = Calibration.fit([0.9] * 25, [True] * 25).apply([0.9])[0]
    assert 0.9 < calibrated < 0.97


def test_everything_wrong_at_full_confidence_stays_within_bounds() -> None:
    calibration = Calibration.fit([1.0] * 50, [False] * 50)
    assert calibration.temperature <= 20
    assert 0.5 < calibration.apply([1.0])[0] < 0.75


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(0, 99))
def test_calibration_never_swaps_two_answers(confidences: list[float], seed: int) -> None:
    calibration = Calibration.fit(*judged(100, 3, seed))
    applied = calibration.apply(sorted(confidences))
    assert (np.diff(applied) >= 0).all()
    assert ((applied >= 0) & (applied <= 1)).all()


def test_answers_without_a_confidence_are_left_out_and_stay_unknown() -> None:
    confidences, correct = judged(100, 2)
    with_gaps = Calibration.fit([*confidences, None, float("nan")], [*correct, False, False])
    assert with_gaps == Calibration.fit(confidences, correct)
    assert np.isnan(with_gaps.apply([None, 0.5, float("nan")])).tolist() == [True, False, True]


def test_calibrated_confidences_are_closer_to_the_truth() -> None:
    confidences, correct = judged(150, 4, seed=3)
    fresh, truth = judged(5000, 4, seed=4)
    calibrated = Calibration.fit(confidences, correct).apply(fresh)
    assert np.mean((calibrated - truth) ** 2) < np.mean((fresh - truth) ** 2)
    assert calibrated.mean() == pytest.approx(truth.mean(), abs=0.04)


def test_a_verdict_is_needed_for_every_confidence() -> None:
    with pytest.raises(ValueError, match="one verdict for each confidence"):
        Calibration.fit([0.5, 0.6], [True])


def leaning(n: int, by: tuple[float, ...], seed: int = 0) -> tuple[Given, np.ndarray, np.ndarray]:
    """Answers of a model that prefers some classes by so many nats: as given, whether right, and the truth."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(0, 2, (n, len(by)))
    honest = softmax(logs, axis=1)
    truth = np.array([rng.choice(len(by), p=p) for p in honest])
    said = softmax(logs + np.array(by), axis=1)
    choice = said.argmax(axis=1)
    return Given(said.max(axis=1), said, choice), choice == truth, truth


def test_a_preference_for_some_classes_is_taken_out_of_the_confidence() -> None:
    given, right, truth = leaning(300, (1.5, 0.0, -1.5))
    calibration = Calibration.fit(given, right, truth)
    assert calibration.kind == "vector"
    fresh, hit, _ = leaning(4000, (1.5, 0.0, -1.5), seed=1)
    plain = Calibration.fit(given.confidences, right)
    for answers in (fresh.said == 0, fresh.said == 2):
        of_class = hit[answers].mean()
        assert calibration.apply(fresh)[answers].mean() == pytest.approx(of_class, abs=0.05)
        assert abs(plain.apply(fresh)[answers].mean() - of_class) > 0.05


def test_offsets_of_classes_are_left_alone_where_none_is_preferred() -> None:
    given, right, truth = leaning(300, (0.0, 0.0, 0.0))
    assert Calibration.fit(given, right, truth).kind == "temperature"


def test_any_rising_shape_is_learnt_from_enough_answers_and_only_from_enough() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.random(4000)
    right = rng.random(4000) < np.where(confidences < 0.5, 0.2, 0.9)  # a step, which no temperature makes
    assert Calibration.fit(confidences[:400], right[:400]).kind == "temperature"
    calibration = Calibration.fit(confidences, right)
    assert calibration.kind == "isotonic"
    assert calibration.apply([0.3, 0.8, float("nan")])[:2] == pytest.approx([0.2, 0.9], abs=0.05)
    assert np.isnan(calibration.apply([float("nan")])).all()


def test_what_a_threshold_is_set_on_had_not_heard_its_own_verdict() -> None:
    given, right, truth = leaning(200, (2.0, -2.0, 0.0), seed=2)
    calibration = Calibration.fit(given, right, truth)
    before = calibration.crossed(given, right, truth)
    other = right.copy()
    other[0], truth[0] = not right[0], (given.said[0] if not right[0] else (given.said[0] + 1) % 3)
    assert calibration.crossed(given, other, truth)[0] == pytest.approx(before[0])
