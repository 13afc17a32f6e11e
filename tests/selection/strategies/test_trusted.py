"""Usefulness times the probability that the oracle is right there."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.selection import State, seam
from agent.selection.strategies import trusted
from agent.selection.strategies.basis import agreement_with
from agent.selection.strategies.trusted import Trusted, label_quality, right_probability


def state(n: int = 80, labels: int = 40, seed: int = 0) -> State:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n + labels, 5)).astype(np.float32)
    p = rng.dirichlet(np.ones(3), n + labels).astype(np.float32)
    return State(
        np.arange(n),
        1 - p[:n].max(axis=1),
        lambda rows: points[rows],
        p[:n],
        labelled=np.arange(n, n + labels),
        targets=np.eye(3, dtype=np.float32)[rng.integers(3, size=labels)],
        foreseen=p[n:],
        trust=rng.random(labels).astype(np.float32),
    )


def slow_probability(
    point: list[float], labelled: list[list[float]], right: list[float], neighbours: int, prior: float
) -> float:
    def cosine(a: list[float], b: list[float]) -> float:
        lengths = (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5
        return sum(x * y for x, y in zip(a, b, strict=True)) / lengths

    mean = sum(right) / len(right)
    near = sorted(((cosine(point, x), r) for x, r in zip(labelled, right, strict=True)), reverse=True)[:neighbours]
    weights = [max(0.0, c) for c, _ in near]
    return (sum(w * r for w, (_, r) in zip(weights, near, strict=True)) + prior * mean) / (sum(weights) + prior)


@given(st.integers(1, 20), st.integers(1, 25), st.floats(0.01, 10), st.integers(0, 99))
def test_the_probability_agrees_with_the_formula_written_out(labels: int, k: int, prior: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, known = rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=(labels, 4)).astype(np.float32)
    right = rng.random(labels).astype(np.float32)
    slow = [slow_probability(x, known.tolist(), right.tolist(), k, prior) for x in points.tolist()]
    np.testing.assert_allclose(right_probability(points, known, right, k, prior), slow, rtol=1e-4)


def test_it_does_not_depend_on_how_the_points_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    points, known = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(20, 4)).astype(np.float32)
    right = rng.random(20).astype(np.float32)
    whole = right_probability(points, known, right, 5, 2)
    monkeypatch.setattr(trusted, "NUMBERS_AT_ONCE", 60)
    np.testing.assert_allclose(right_probability(points, known, right, 5, 2), whole, rtol=1e-6)


def test_far_from_all_labels_it_is_the_mean_of_all() -> None:
    known, right = np.array([[1, 0], [0.9, 0.1]], np.float32), np.array([1, 0.5], np.float32)
    far = right_probability(np.array([[-1, 0], [0, 0]], np.float32), known, right, 2, 5)
    np.testing.assert_allclose(far, 0.75)


def test_agreement_is_what_the_student_gave_to_the_label() -> None:
    foreseen = np.array([[0.7, 0.3], [0.2, 0.8]], np.float32)
    targets = np.array([[1, 0], [0.5, 0.5]], np.float32)
    np.testing.assert_allclose(agreement_with(foreseen, targets, False), [0.7, 0.5])
    np.testing.assert_allclose(agreement_with(foreseen, targets, True), [0.7, 0.7], rtol=1e-6)


def test_labels_are_judged_by_what_is_known_of_them() -> None:
    trust, agreed = np.array([1, 0.5], np.float32), np.array([0, 1], np.float32)
    np.testing.assert_allclose(label_quality(trust, agreed, 0.3), [0.7, 0.65])
    np.testing.assert_allclose(label_quality(trust, None, 0.3), trust)
    np.testing.assert_allclose(label_quality(None, agreed, 0.3), agreed)
    assert label_quality(None, None, 0.3) is None


def test_where_the_oracle_is_wrong_it_is_asked_less() -> None:
    """Two regions as unsure as each other; in the second the labels so far are worth nothing."""
    rng = np.random.default_rng(0)
    sides = np.repeat([[6.0, 0.0], [0.0, 6.0]], 60, axis=0) + rng.normal(size=(120, 2))
    points = sides.astype(np.float32)
    rows = np.arange(120)
    labelled = np.concatenate([rows[:20], rows[60:80]])
    left = np.setdiff1d(rows, labelled)
    trust = np.repeat([0.95, 0.3], 20).astype(np.float32)
    given_state = State(left, np.full(80, 0.5, np.float32), lambda r: points[r], labelled=labelled, trust=trust)
    scores = Trusted().score(given_state)
    assert scores[:40].min() > scores[40:].max()


def test_only_the_best_by_the_base_are_looked_at_and_the_others_have_the_mean() -> None:
    given_state = state()
    asked: list[int] = []

    def counting(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return given_state.vectors(rows)

    scores = Trusted(among=10, agreement=0).score(replace(given_state, vectors=counting))
    assert sorted(asked) == [10, 40]
    base = Trusted().base.score(given_state)
    worst = base.argsort()[:70]
    np.testing.assert_allclose(scores[worst], base[worst] * given_state.trust.mean(), rtol=1e-5)


def test_more_labels_than_are_remembered_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusted, "REMEMBERED", 7)
    monkeypatch.setattr(seam, "NUMBERS_AT_ONCE", 30)
    first, second = (Trusted().score(state()) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_while_nothing_is_known_of_labels_the_base_decides() -> None:
    given_state = replace(state(), trust=None, foreseen=None)
    np.testing.assert_array_equal(Trusted().score(given_state), Trusted().base.score(given_state))
    odd = replace(given_state, foreseen=state().foreseen, targets=["a"] * 40)
    np.testing.assert_array_equal(Trusted().score(odd), Trusted().base.score(given_state))


@pytest.mark.parametrize("options", [{"neighbours": 0}, {"prior": 0}, {"agreement": 1.5}, {"among": 0}])
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(JobFileError, match=next(iter(options))):
        Trusted(**options)
