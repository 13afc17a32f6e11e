"""What a person's second is worth: the pace that is learnt, texts in the same doubt, and the order that both make."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.doubt import Pace
from agent.doubt.value import (
    A_CHARACTER,
    ENOUGH,
    FIRST,
    LIKENESS,
    MOST,
    MOST_READ,
    NEWEST,
    WEIGHT,
    in_doubt,
    influence,
    places,
    usually_in_doubt,
)

shares = st.floats(0, 1)
counts = st.lists(st.floats(0, 1e6), min_size=1, max_size=20)


def timed(n: int, seed: int = 0, first: float = 6.0, a_character: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of texts, and how long somebody took for them: now longer, now shorter."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(20, 2000, n).astype(float)
    return lengths, (first + a_character * lengths) * np.exp(rng.normal(0, 0.4, n))


# How long people take -----------------------------------------------------------------------------------------------


def test_before_enough_labels_were_timed_reading_takes_what_it_usually_takes() -> None:
    assert Pace.fit(*timed(ENOUGH - 1)) == Pace() == Pace(FIRST, A_CHARACTER, 0)
    assert Pace().seconds(np.array([0.0, 240.0])).tolist() == pytest.approx([3, 13])


def test_people_teach_how_long_they_take() -> None:
    found = Pace.fit(*timed(300))
    assert found.labels == 300
    for length in (50.0, 500.0, 2000.0):
        assert found.seconds(np.array([length]))[0] == pytest.approx(6 + 0.1 * length, rel=0.2)


def test_texts_before_which_somebody_had_coffee_change_little() -> None:
    lengths, seconds = timed(300)
    seconds[::10] = 3600
    for length in (50.0, 1000.0):
        assert Pace.fit(lengths, seconds).seconds(np.array([length]))[0] == pytest.approx(6 + 0.1 * length, rel=0.35)


def test_what_was_not_timed_is_left_out() -> None:
    lengths, seconds = timed(100)
    more = np.concatenate([lengths, np.full(500, 10.0)]), np.concatenate([seconds, np.repeat([0.0, np.nan], 250)])
    assert Pace.fit(*more) == Pace.fit(lengths, seconds)


def test_of_many_the_newest_count() -> None:
    slow, quick = timed(500, first=60.0), timed(NEWEST, seed=1)
    both = [np.concatenate(pair) for pair in zip(slow, quick, strict=True)]
    assert Pace.fit(both[0], both[1]) == Pace.fit(*quick)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0.01, 1e5)), min_size=ENOUGH, max_size=60))
def test_whatever_was_timed_longer_texts_are_not_taken_to_be_quicker(times: list[tuple[float, float]]) -> None:
    found = Pace.fit(*np.array(times).T)
    seconds = found.seconds(np.array([0, 1, 100, 5000, MOST_READ, 10 * MOST_READ]))
    assert np.isfinite(seconds).all()
    assert (seconds > 0).all()
    assert (np.diff(seconds) >= 0).all()
    assert seconds[-1] == seconds[-2], "the rest is folded"


# How much a verdict changes -----------------------------------------------------------------------------------------


@st.composite
def neighbourhoods(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n, m, classes = draw(st.integers(0, 6)), draw(st.integers(1, 8)), draw(st.integers(2, 4))
    vectors = rng.normal(size=(n + m, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chances = rng.dirichlet(np.ones(classes), m).astype(np.float32)
    return vectors[:n], rng.integers(-1, classes, n), vectors[n:], chances


@given(neighbourhoods())
def test_texts_in_the_same_doubt_are_counted_as_they_are_one_by_one(
    given_: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    vectors, said, others, chances = given_
    slow = np.zeros(len(vectors))
    for i, vector in enumerate(vectors):
        for j, other in enumerate(others):
            likeness = max(0.0, float(np.dot(vector.astype(float), other.astype(float)))) ** LIKENESS
            p = float(chances[j].max() if said[i] < 0 else chances[j, said[i]])
            slow[i] += likeness * p * (1 - p)
    assert in_doubt(vectors, said, others, chances) == pytest.approx(slow, abs=1e-5)


def test_a_text_among_many_in_the_same_doubt_counts_for_more_than_one_alone_or_among_settled_ones() -> None:
    here, there = np.eye(2, dtype=np.float32)
    others = np.stack([here] * 5 + [there])
    torn, sure = np.array([[0.5, 0.5]] * 6, np.float32), np.array([[1.0, 0.0]] * 6, np.float32)
    both, said = np.stack([here, there]), np.array([0, 0])
    crowd, alone = in_doubt(both, said, others, torn)
    assert crowd == pytest.approx(5 * alone)
    assert in_doubt(both, said, others, sure).tolist() == [0, 0]


@given(neighbourhoods())
def test_the_usual_number_is_that_of_the_others_among_themselves(
    given_: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    _, _, others, chances = given_
    said = chances.argmax(axis=1)
    slow = [
        in_doubt(others[[i]], said[[i]], np.delete(others, i, axis=0), np.delete(chances, i, axis=0))[0]
        for i in range(len(others))
    ]
    assert usually_in_doubt(others, chances) == pytest.approx(float(np.mean(slow)), abs=1e-5)


@given(counts, st.floats(0.001, 1e6))
def test_a_verdict_counts_for_its_own_label_and_up_to_a_limit_for_texts_like_it(
    alike: list[float], usual: float
) -> None:
    found = influence(np.array(alike), usual)
    assert influence(np.array([usual]), usual)[0] == pytest.approx(1)
    for count, one in zip(alike, found.tolist(), strict=True):
        assert one == pytest.approx((1 + WEIGHT * min(MOST, count / usual)) / (1 + WEIGHT))
    assert influence(np.array(alike), 0.0).tolist() == [1.0] * len(alike)


# The order ----------------------------------------------------------------------------------------------------------

texts = st.lists(st.tuples(shares, st.floats(0.1, 3), st.floats(0.1, 1e4)), min_size=1, max_size=30)


@given(texts, st.floats(0.1, 1e3))
def test_what_puts_more_labels_right_a_second_comes_first(
    given_: list[tuple[float, float, float]], usual: float
) -> None:
    wrong, changes, seconds = np.array(given_).T
    found = places(wrong, changes, seconds, usual)
    assert ((found >= 0) & (found <= 1)).all()
    worth = [w * c / s for w, c, s in given_]
    for i, a in enumerate(worth):
        for j, b in enumerate(worth):
            if a > b:
                assert found[i] >= found[j]
            if a > b * 1.001 and a * usual < 1e4:
                assert found[i] > found[j]


@given(st.floats(0, 0.5))
def test_a_usual_text_stands_where_its_chance_to_be_wrong_put_it_before(wrong: float) -> None:
    one = np.ones(1)
    assert places(np.array([wrong]), one, 20 * one, 20.0)[0] == pytest.approx(wrong)
