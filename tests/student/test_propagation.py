"""Unlabelled texts teach what their neighbours' labels say, and no more than they are sure of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.student.propagation import ALPHA, SHARPNESS, affinity, are_telling, propagated, self_trained, spread
from tests.student.making import clusters, one_hot


def vectors(seed: int, n: int) -> np.ndarray:
    return clusters(np.random.default_rng(seed), n, 3, dim=5)[0]


def slow_affinity(x: np.ndarray, k: int) -> np.ndarray:
    n = len(x)
    w = np.zeros((n, n))
    cosines = np.round(x @ x.T, 6)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for j in sorted(others, key=lambda j: -cosines[i, j])[:k]:
            w[i, j] = max(cosines[i, j], 0) ** SHARPNESS
    w = np.maximum(w, w.T)
    d = np.maximum(w.sum(axis=1), 1e-12)
    return w / np.sqrt(d[:, None] * d[None, :])


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_the_graph_is_the_obvious_one(seed: int, n: int, k: int) -> None:
    x = vectors(seed, n)
    np.testing.assert_allclose(affinity(x, k).toarray(), slow_affinity(x, min(k, n - 1)), atol=1e-4)


@given(st.integers(0, 10_000), st.integers(2, 40))
@settings(max_examples=30, deadline=None)
def test_spreading_solves_the_equation(seed: int, n: int) -> None:
    graph = affinity(vectors(seed, n))
    start = np.zeros((n, 3), np.float32)
    start[0, 0] = start[1, 1] = 1
    exact = np.linalg.solve(np.eye(n) - ALPHA * graph.toarray(), start)
    np.testing.assert_allclose(spread(graph, start), np.maximum(exact, 0), atol=2e-3)


def test_one_label_a_cluster_names_the_clusters() -> None:
    x, y = clusters(np.random.default_rng(0), 300, 3)
    extra = propagated(x, np.arange(3), one_hot(y[:3], 3))
    assert (extra.targets.argmax(axis=1) == y[extra.rows]).mean() > 0.9
    assert not set(extra.rows.tolist()) & {0, 1, 2}
    np.testing.assert_allclose(extra.targets.sum(axis=1), 1, atol=1e-5)
    assert (extra.weights > 0).all()
    assert (extra.weights <= 0.3).all()


def test_a_text_between_two_classes_counts_for_less() -> None:
    x = np.array([[1, 0, 0], [0, 1, 0], [0.9, 0.436, 0], [0.7071, 0.7071, 0]], np.float32)
    extra = propagated(x, np.arange(2), one_hot(np.array([0, 1]), 2))
    weights = dict(zip(extra.rows.tolist(), extra.weights.tolist(), strict=True))
    assert weights.get(3, 0.0) < weights[2]


def test_texts_that_no_label_reaches_are_left_out() -> None:
    x = np.array([[1, 0, 0], [0.99, 0.141, 0], [0, 0, 1], [0, 0.141, 0.99]], np.float32)
    graph_rows = propagated(x, np.array([0]), one_hot(np.array([0]), 2)).rows
    assert 1 in graph_rows


@pytest.mark.parametrize("n", [1, 2])
def test_a_handful_of_texts_is_no_error(n: int) -> None:
    x = vectors(0, n)
    assert len(propagated(x, np.array([0]), one_hot(np.array([0]), 2)).rows) <= n - 1


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_self_training_takes_the_surest_of_each_class(seed: int, n: int, per_class: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), n).astype(np.float32)
    labelled = np.flatnonzero(rng.random(n) < 0.2)
    extra = self_trained(p, labelled, per_class=per_class)
    wanted: set[int] = set()
    for c in range(3):
        said = [i for i in range(n) if i not in labelled and p[i].argmax() == c]
        wanted |= set(sorted(said, key=lambda i: (-round(float(p[i, c]), 6), i))[:per_class])
    assert set(extra.rows.tolist()) == wanted
    assert (extra.targets.argmax(axis=1) == p[extra.rows].argmax(axis=1)).all()
    np.testing.assert_allclose(extra.weights, 0.3 * p[extra.rows].max(axis=1), rtol=1e-4)


def test_everything_labelled_leaves_nothing_to_guess() -> None:
    extra = self_trained(np.full((4, 2), 0.5, np.float32), np.arange(4), per_class=3)
    assert (len(extra.rows), extra.targets.shape, len(extra.weights)) == (0, (0, 2), 0)


def test_the_same_input_gives_the_same_lessons() -> None:
    x, y = clusters(np.random.default_rng(1), 200, 4)
    a, b = (propagated(x, np.arange(8), one_hot(y[:8], 4)) for _ in range(2))
    assert (a.rows.tolist(), a.weights.tolist()) == (b.rows.tolist(), b.weights.tolist())


def test_names_are_telling_where_more_texts_lie_nearest_to_their_own_than_chance_has_it() -> None:
    names = labels = np.eye(4, dtype=np.float32)
    assert are_telling(names, names, labels)
    assert are_telling(names, names[[0, 1, 0, 0]], labels), "two of four"
    assert not are_telling(names, names[[0, 0, 0, 0]], labels), "one of four is chance"
    assert not are_telling(names, names[[1, 2, 3, 0]], labels)
