"""Heads on encoders side by side say the mean of what each says, and are one linear head."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ModelError
from agent.student.head import Head
from agent.student.heads import Heads, side_by_side
from tests.student.making import clusters, one_hot


def two_views(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same n texts as two encoders see them, and their classes."""
    rng = np.random.default_rng(seed)
    first, classes = clusters(rng, n, 3, dim=6)
    second, _ = clusters(rng, n, 3, dim=6)
    return first, second, classes


@given(st.integers(0, 10_000), st.integers(9, 60), st.booleans())
@settings(max_examples=20, deadline=None)
def test_they_say_the_geometric_mean_of_what_each_says(seed: int, n: int, independent: bool) -> None:
    *views, classes = two_views(seed, n)
    targets, ones = one_hot(classes, 3), np.ones(n, np.float32)
    heads = Heads(3, independent=independent, temperatures=(1.0, 2.5))
    heads.fit(side_by_side(*views), targets, ones, np.random.default_rng(seed))
    odds = []
    for view, temperature in zip(views, (1.0, 2.5), strict=True):
        head = Head(3, independent=independent)
        head.fit(view, targets, ones, np.random.default_rng(seed))
        p = np.clip(head.predict(view).astype(float), 1e-12, 1 - 1e-12)
        odds.append((np.log(p) - np.log1p(-p) if independent else np.log(p)) / temperature)
    mean = np.mean(odds, axis=0)
    expected = 1 / (1 + np.exp(-mean)) if independent else np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(heads.predict(side_by_side(*views)), expected, atol=2e-3)


def test_vectors_side_by_side_are_of_length_one_and_come_apart_again() -> None:
    first, second, _ = two_views(0, 9)
    both = side_by_side(first, second)
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, atol=1e-6)
    for view, was in zip(Heads(3, temperatures=(1.0, 1.0)).views(both), (first, second), strict=True):
        np.testing.assert_allclose(view, was, atol=1e-6)


def test_one_head_is_that_head() -> None:
    first, _, classes = two_views(1, 40)
    targets, ones = one_hot(classes, 3), np.ones(40, np.float32)
    heads, head = Heads(3), Head(3)
    for one in (heads, head):
        one.fit(first, targets, ones, np.random.default_rng(0))
    np.testing.assert_array_equal(heads.predict(first), head.predict(first))
    np.testing.assert_array_equal(heads.out_of_fold, head.out_of_fold)
    assert heads.l2 == head.l2


def test_what_is_foreseen_is_the_first_one_s() -> None:
    first, _, classes = two_views(2, 60)
    targets, ones = one_hot(classes, 3), np.ones(60, np.float32)
    heads, head = Heads(3, temperatures=(1.0, 1.0)), Head(3)
    by_heart = np.hstack([targets, np.zeros((60, 3), np.float32)])
    heads.fit(side_by_side(first, by_heart), targets, ones, np.random.default_rng(0))
    head.fit(first, targets, ones, np.random.default_rng(0))
    np.testing.assert_allclose(heads.out_of_fold, head.out_of_fold, atol=2e-3)


def test_what_was_taught_on_two_encoders_is_not_taken_for_one() -> None:
    first, second, classes = two_views(3, 40)
    targets, ones = one_hot(classes, 3), np.ones(40, np.float32)
    two = Heads(3, temperatures=(1.0, 1.7))
    two.fit(side_by_side(first, second), targets, ones, np.random.default_rng(0))
    again = Heads(3, temperatures=(1.0, 1.0))
    again.restore(two.state())
    both = side_by_side(first, second)
    np.testing.assert_array_equal(again.predict(both), two.predict(both))
    with pytest.raises(ValueError, match="another number of encoders"):
        Heads(3).restore(two.state())
    with pytest.raises(ModelError, match="vectors of 6 numbers"):
        two.predict(np.ones((2, 8), np.float32))
