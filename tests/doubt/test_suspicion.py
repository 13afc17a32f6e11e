"""The error model: which labels are wrong, most likely, from several signs and from what people said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from agent.doubt import SIGNS, ErrorModel, of_neighbours, of_student

PLACE = {name: k for k, name in enumerate(SIGNS)}


def judged(n: int, seed: int = 0, **weights: float) -> tuple[np.ndarray, np.ndarray]:
    """Signs, and verdicts that follow from them by these weights."""
    rng = np.random.default_rng(seed)
    signs = np.zeros((n, len(SIGNS)))
    for name in ("confidence", "student", "neighbours"):
        signs[:, PLACE[name]] = rng.normal(1, 2, n)
    z = sum(w * signs[:, PLACE[name]] for name, w in weights.items())
    return signs, rng.random(n) < expit(z)


def found_first(model: ErrorModel, signs: np.ndarray, right: np.ndarray) -> float:
    """The share of all wrong labels among the fifth that look worst."""
    worst = np.argsort(model.right(signs), kind="stable")[: len(signs) // 5]
    return float((~right[worst]).sum() / (~right).sum())


def test_before_people_are_heard_every_sign_counts() -> None:
    model = ErrorModel.fit(*judged(19))
    assert model == ErrorModel()
    for name in ("confidence", "student", "neighbours"):
        against = np.zeros((1, len(SIGNS)))
        against[0, PLACE[name]] = -3
        assert model.right(against)[0] < 0.5
        assert model.against(against[0]) == name
    assert model.against(np.zeros(len(SIGNS))) is None


def test_people_teach_which_sign_is_worth_something() -> None:
    signs, right = judged(200, neighbours=1.5)
    model = ErrorModel.fit(signs, right)
    assert model.labels == 200
    weights = dict(zip(SIGNS, model.weights, strict=True))
    assert weights["neighbours"] > 3 * weights["confidence"]
    fresh = judged(3000, seed=1, neighbours=1.5)
    assert found_first(model, *fresh) > found_first(ErrorModel(), *fresh)


def test_a_sign_that_people_contradict_is_left_out_and_not_turned_round() -> None:
    signs, right = judged(600, confidence=-1.0)
    assert ErrorModel.fit(signs, right).weights[PLACE["confidence"]] == 0


def test_its_chances_are_those_that_come_true() -> None:
    model = ErrorModel.fit(*judged(300, confidence=0.4, student=0.8, neighbours=0.3))
    signs, right = judged(5000, seed=1, confidence=0.4, student=0.8, neighbours=0.3)
    chances = model.right(signs)
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):
        here = (chances >= low) & (chances < high)
        assert right[here].mean() == pytest.approx(chances[here].mean(), abs=0.08)


def test_what_a_threshold_is_set_on_had_not_heard_its_own_verdict() -> None:
    signs, right = judged(100, student=1.0)
    before = ErrorModel.crossed(signs, right)
    right[7] = not right[7]
    assert ErrorModel.crossed(signs, right)[7] == pytest.approx(before[7])


def test_the_student_speaks_against_what_it_does_not_expect() -> None:
    said = of_student(np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [np.nan] * 3], np.float32), np.array([0, 1, 0]))
    assert said == pytest.approx([np.log(8), -np.log(8), 0], abs=1e-5)
    assert of_student(np.array([[0.5, 0.5]], np.float32), np.array([-1])).tolist() == [0]


@given(st.lists(st.lists(st.booleans(), max_size=15), min_size=1, max_size=5))
def test_more_neighbours_with_the_same_label_never_speak_against_it(agree: list[list[bool]]) -> None:
    before = of_neighbours(agree)
    assert (of_neighbours([[True] * len(a) for a in agree]) >= before).all()
    assert of_neighbours([[]]).tolist() == [0]
