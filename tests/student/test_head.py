"""The head against scikit-learn, against the formula written out, and at its edges."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from agent.records import Floats
from agent.student.head import Head
from agent.student.logistic import Lessons, principal_axes, softmax, solve, solve_beside
from tests.student.making import clusters, one_hot

seeds = st.integers(0, 10_000)


def fitted(vectors: Floats, targets: Floats, weights: Floats | None = None, *, independent: bool = False) -> Head:
    head = Head(targets.shape[1], independent=independent)
    ones = np.ones(len(vectors), np.float32)
    head.fit(vectors, targets, ones if weights is None else weights, np.random.default_rng(0))
    return head


def soft(rng: np.random.Generator, shape: tuple[int, int], independent: bool) -> Floats:
    found = rng.random(shape) if independent else rng.dirichlet(np.full(shape[1], 0.5), size=shape[0])
    return np.asarray(found, np.float32)


def slow_best(lessons: Lessons, l2: float) -> np.ndarray[Any, Any]:
    """The weights by the formula: no axes, no scaling, double precision, gradients by hand."""
    x, t, w = (a.astype(np.float64) for a in (lessons.features, lessons.targets, lessons.weights))

    def loss(flat: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        weights = flat.reshape(x.shape[1], t.shape[1])
        z = x @ weights
        if lessons.independent:
            p = 1 / (1 + np.exp(-z))
            each = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(1)
        else:
            p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
            each = -(t * np.log(p)).sum(1)
        gradient = x.T @ ((p - t) * w[:, None]) + l2 * weights
        return float(w @ each + 0.5 * l2 * (weights**2).sum()), gradient.ravel()

    found = minimize(loss, np.zeros(x.shape[1] * t.shape[1]), jac=True, method="L-BFGS-B", options={"ftol": 1e-14})
    return np.asarray(found.x).reshape(x.shape[1], t.shape[1])


@settings(max_examples=40)
@given(seeds, st.integers(1, 40), st.integers(2, 5), st.sampled_from([0.01, 0.3, 5.0]), st.booleans())
def test_soft_targets_and_weights_are_learnt_as_the_formula_says(
    seed: int, n: int, classes: int, l2: float, independent: bool
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.2, 3, size=n).astype(np.float32)
    lessons = Lessons(clusters(rng, n, classes, 6)[0], soft(rng, (n, classes), independent), weights, independent)
    axes = principal_axes(lessons)
    turned = Lessons(lessons.features @ axes, lessons.targets, weights, independent)
    fast = axes @ solve(turned, l2, np.zeros((axes.shape[1], classes), np.float32), 1e-8)
    slow = slow_best(lessons, l2)
    np.testing.assert_allclose(
        lessons.probabilities(lessons.features @ fast),
        lessons.probabilities((lessons.features @ slow).astype(np.float32)),
        atol=5e-3,
    )


@settings(max_examples=15)
@given(seeds, st.integers(1, 40), st.integers(1, 2), st.sampled_from([0.01, 0.3, 5.0]), st.booleans())
def test_classes_beside_others_are_learnt_as_the_formula_says(
    seed: int, n: int, new: int, l2: float, independent: bool
) -> None:
    """The same formula in the new columns alone, on logits that are there."""
    rng = np.random.default_rng(seed)
    features, targets = clusters(rng, n, 4, 6)[0], soft(rng, (n, 4), independent)
    lessons = Lessons(features, targets, rng.uniform(0.2, 3, size=n).astype(np.float32), independent)
    there, columns = rng.normal(0, 2, (n, 4)).astype(np.float32), np.sort(rng.permutation(4)[:new])

    def logits(added: Floats) -> Floats:
        found = there.copy()
        found[:, columns] += features @ added.astype(np.float32)
        return found

    def loss(flat: np.ndarray[Any, Any]) -> float:
        value, _ = lessons.loss(logits(flat.reshape(6, new)).astype(np.float64))
        return value + 0.5 * l2 * float(flat @ flat)

    fast = solve_beside(lessons, l2, there, columns, 1e-8)
    slow = minimize(loss, fast.ravel().astype(np.float64), method="Powell", options={"ftol": 1e-12, "xtol": 1e-8})
    assert loss(fast.ravel().astype(np.float64)) <= slow.fun + 1e-3


def theirs(vectors: Floats, labels: np.ndarray[Any, Any], l2: float, others: Floats) -> Floats:
    """Logits of scikit-learn's, of (n, d) `others`. Two classes are one column there, which halves the penalty."""
    classes = labels.max() + 1
    model = LogisticRegression(C=(2 if classes == 2 else 1) / l2, fit_intercept=False, tol=1e-8, max_iter=5000)
    logits = model.fit(vectors, labels).decision_function(others)
    return np.asarray(np.stack([0 * logits, logits], axis=1) if classes == 2 else logits, np.float32)


@pytest.mark.parametrize("l2", [0.01, 0.3, 5.0])
@pytest.mark.parametrize(("n", "classes"), [(60, 2), (300, 7), (100, 30)])
def test_hard_targets_are_learnt_as_scikit_learn_learns_them(n: int, classes: int, l2: float) -> None:
    vectors, labels = clusters(np.random.default_rng(1), n, classes)
    others, _ = clusters(np.random.default_rng(2), 200, classes)
    lessons = Lessons(vectors, one_hot(labels, classes), np.ones(n, np.float32), independent=False)
    weights = solve(lessons, l2, np.zeros((vectors.shape[1], classes), np.float32), 1e-7)
    np.testing.assert_allclose(softmax(others @ weights), softmax(theirs(vectors, labels, l2, others)), atol=5e-3)


@pytest.mark.parametrize(("n", "classes"), [(60, 2), (300, 7), (100, 30)])
def test_the_whole_head_is_scikit_learns_at_the_penalty_and_temperature_it_chose(n: int, classes: int) -> None:
    vectors, labels = clusters(np.random.default_rng(1), n, classes)
    others, _ = clusters(np.random.default_rng(2), 200, classes)
    head = fitted(vectors, one_hot(labels, classes))
    with_one = [np.hstack([v, np.ones((len(v), 1), np.float32)]) for v in (vectors, others)]
    logits = theirs(with_one[0], labels, head.l2, with_one[1]) / np.float32(head.temperature)
    np.testing.assert_allclose(head.predict(others), softmax(logits), atol=0.05)


def test_classes_that_lie_apart_are_told_apart() -> None:
    vectors, labels = clusters(np.random.default_rng(0), 200, 4)
    others, truth = clusters(np.random.default_rng(1), 200, 4)
    head = fitted(vectors, one_hot(labels, 4))
    plain = LogisticRegression(C=1.0).fit(vectors, labels).score(others, truth)
    assert (head.predict(others).argmax(1) == truth).mean() >= plain - 0.02


@given(seeds, st.integers(1, 30), st.integers(2, 6), st.booleans())
@settings(max_examples=40)
def test_probabilities_are_probabilities_whatever_was_learnt(
    seed: int, n: int, classes: int, independent: bool
) -> None:
    rng = np.random.default_rng(seed)
    vectors, _ = clusters(rng, n, classes, 5)
    targets = soft(rng, (n, classes), independent)
    head = fitted(vectors, targets, independent=independent)
    for p in (head.predict(clusters(rng, 9, classes, 5)[0]), head.out_of_fold):
        assert p.dtype == np.float32
        assert ((p >= 0) & (p <= 1)).all()
        if not independent:
            np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert head.out_of_fold.shape == (n, classes)


def test_one_label_is_believed_with_reserve() -> None:
    vectors, _ = clusters(np.random.default_rng(0), 1, 3)
    head = fitted(vectors, one_hot(np.array([2]), 3))
    p = head.predict(vectors)[0]
    assert p.argmax() == 2
    assert p[2] < 0.9
    np.testing.assert_allclose(head.out_of_fold, 1 / 3)


@pytest.mark.parametrize("independent", [False, True])
def test_a_class_that_nobody_saw_keeps_a_small_probability(independent: bool) -> None:
    vectors, labels = clusters(np.random.default_rng(0), 100, 3)
    head = fitted(vectors, one_hot(labels, 5), independent=independent)
    p = head.predict(vectors)
    assert (p[:, 3:] > 0).all()
    assert (p[:, 3:] < 0.2).all()
    assert set(p.argmax(axis=1)) <= {0, 1, 2}


def test_one_class_alone_is_learnt_without_cross_validation() -> None:
    vectors, _ = clusters(np.random.default_rng(0), 20, 2)
    head = fitted(vectors, one_hot(np.zeros(20, int), 2))
    assert (head.predict(vectors)[:, 0] > 0.6).all()
    assert (head.l2, head.temperature) == (1.0, 1.0)


def test_the_same_generator_gives_the_same_head() -> None:
    vectors, labels = clusters(np.random.default_rng(0), 120, 5)
    first, second = (fitted(vectors, one_hot(labels, 5)) for _ in range(2))
    np.testing.assert_array_equal(first.predict(vectors), second.predict(vectors))
    np.testing.assert_array_equal(first.out_of_fold, second.out_of_fold)


def test_weight_zero_is_as_good_as_absent() -> None:
    vectors, labels = clusters(np.random.default_rng(0), 60, 3)
    wrong = one_hot((labels + 1) % 3, 3)
    both = np.concatenate([vectors, vectors]), np.concatenate([one_hot(labels, 3), wrong])
    weights = np.repeat([1, 0], 60).astype(np.float32)
    head = fitted(*both, weights)
    np.testing.assert_array_equal(head.predict(vectors), fitted(vectors, one_hot(labels, 3)).predict(vectors))
    np.testing.assert_allclose(head.out_of_fold[60:], 1 / 3)
    assert (head.out_of_fold[:60].argmax(1) == labels).mean() > 0.6


def test_weight_two_is_as_good_as_twice() -> None:
    vectors, labels = clusters(np.random.default_rng(0), 30, 3)
    lessons = Lessons(vectors, one_hot(labels, 3), np.full(30, 2, np.float32), False)
    twice = Lessons(np.tile(vectors, (2, 1)), np.tile(one_hot(labels, 3), (2, 1)), np.ones(60, np.float32), False)
    found = [solve(each, 0.3, np.zeros((16, 3), np.float32), 1e-9) for each in (lessons, twice)]
    np.testing.assert_allclose(softmax(vectors @ found[0]), softmax(vectors @ found[1]), atol=2e-3)


def test_out_of_fold_probabilities_do_not_know_the_label() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 150)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = rng.integers(0, 2, 200)  # nothing to be learnt, but all can be memorised
    head = fitted(vectors, one_hot(labels, 2))
    guessed = (head.out_of_fold.argmax(1) == labels).mean()
    assert 0.35 < guessed < 0.65


def test_probabilities_mean_what_they_say() -> None:
    vectors, labels = clusters(np.random.default_rng(0), 600, 6)
    others, truth = clusters(np.random.default_rng(1), 2000, 6)
    p = fitted(vectors, one_hot(labels, 6)).predict(others)
    assert abs(p.max(axis=1).mean() - (p.argmax(axis=1) == truth).mean()) < 0.04


def test_nothing_to_learn_from_is_a_mistake_of_the_caller() -> None:
    head, vectors = Head(2), np.zeros((1, 4), np.float32)
    with pytest.raises(RuntimeError, match="learnt nothing"):
        head.predict(vectors)
    with pytest.raises(ValueError, match="no text has a weight"):
        fitted(vectors, one_hot(np.array([0]), 2), np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="not finite"):
        fitted(vectors, np.full((1, 2), np.nan, np.float32))


def test_a_thousand_labels_of_150_classes_take_about_a_second_of_one_core() -> None:
    vectors, labels = clusters(np.random.default_rng(0), 1000, 150, 384)
    with threadpool_limits(1):
        start = time.process_time()
        fitted(vectors, one_hot(labels, 150))
        assert time.process_time() - start < 2  # 0.6 on an idle core; twice as much beside others


def test_classes_seen_only_once_do_not_drown_the_head_in_its_penalty() -> None:
    """Found on banking77: one seed text a class and a few more, and every text got the most frequent class."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(40, 64)).astype(np.float32)
    classes = np.concatenate([np.arange(40), np.arange(20)])
    vectors = centres[classes] + 0.3 * rng.normal(size=(60, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    head = Head(40)
    head.fit(vectors, np.eye(40, dtype=np.float32)[classes], np.ones(60, np.float32), np.random.default_rng(0))
    said = head.predict(centres / np.linalg.norm(centres, axis=1, keepdims=True)).argmax(axis=1)
    assert (said == np.arange(40)).mean() > 0.9


def test_learning_on_without_anything_new_changes_nothing_and_keeps_what_labels_decided() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 8)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 60)]
    head, ones = Head(3), np.ones(60, np.float32)
    head.fit(vectors, targets, ones, rng)
    before, kept = head.predict(vectors), (head.l2, head.temperature)
    head.learn_on(vectors, targets, ones)
    np.testing.assert_allclose(head.predict(vectors), before, atol=0.02)
    head.learn_on(
        np.concatenate([vectors, vectors]), np.concatenate([targets, targets]), np.concatenate([ones, ones])
    )
    assert (head.l2, head.temperature) == kept
