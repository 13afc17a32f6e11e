"""BADGE, against gradient embeddings that are written out in full."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection.seam import Indices, State
from agent.selection.strategies.badge import Badge, residual_lengths, residuals, seed


def probabilities(n: int, classes: int, chance: int) -> Floats:
    return np.random.default_rng(chance).dirichlet(np.ones(classes), n).astype(np.float32)


def state(n: int, classes: int = 3, chance: int = 0) -> State:
    points = np.random.default_rng(chance + 1).normal(size=(n, 5)).astype(np.float32)
    p = probabilities(n, classes, chance)
    return State(np.arange(n), 1 - p.max(axis=1), lambda rows: points[rows], p)


def slow_gradients(p: Floats, x: Floats, multilabel: bool = False) -> Floats:
    """(n, C d): of the cross entropy for the student's own guess, by the weights of the last layer."""
    out = []
    for row, vector in zip(p.astype(float), x.astype(float), strict=True):
        likeliest = [float(c == int(row.argmax())) for c in range(len(row))]
        guess = [float(c >= 0.5) for c in row] if multilabel else likeliest
        out.append(np.concatenate([(c - g) * vector for c, g in zip(row, guess, strict=True)]))
    return np.array(out, dtype=np.float32)


def slow_seeding(gradients: Floats, size: int, rng: np.random.Generator, start: Floats) -> list[int]:
    """k-means++ with every gradient written out, every distance measured again."""
    chosen: list[int] = []
    for _ in range(size):
        centres = [*start, *(gradients[i] for i in chosen)]
        if not centres:
            chosen.append(int(np.linalg.norm(gradients, axis=1).argmax()))
            continue
        squared = np.array([min(float(((g - c) ** 2).sum()) for c in centres) for g in gradients])
        squared[squared < 1e-5] = 0
        squared[chosen] = 0
        if squared.sum() == 0:
            chosen.append(int(rng.choice([i for i in range(len(gradients)) if i not in chosen])))
            continue
        reach = np.cumsum(squared)
        chosen.append(int(np.searchsorted(reach, rng.random() * reach[-1], side="right")))
    return chosen


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 5), st.integers(0, 3), st.booleans(), st.integers(0, 999))
def test_the_factorised_seeding_is_the_one_with_gradients_written_out(
    n: int, classes: int, before: int, multilabel: bool, chance: int
) -> None:
    rng = np.random.default_rng(chance)
    p, x = probabilities(n + before, classes, chance), rng.normal(size=(n + before, 4)).astype(np.float32)
    if multilabel:
        p = rng.random(p.shape).astype(np.float32)
    g, full = residuals(p, multilabel), slow_gradients(p, x, multilabel)
    start = (g[n:], x[n:]) if before else None
    found, at = seed(g[:n], x[:n], n, np.random.default_rng(chance), start)
    assert found.tolist() == slow_seeding(full[:n], n, np.random.default_rng(chance), full[n:])
    for step in range(0 if before else 1, n):
        near = np.concatenate([full[n:], full[found[:step]]])
        assert at[step] == pytest.approx(float(((near - full[found[step]]) ** 2).sum(axis=1).min()), abs=1e-3)


@given(st.integers(1, 20), st.integers(1, 6), st.booleans(), st.integers(0, 999))
def test_inner_products_and_lengths_of_gradients_factorise(n: int, classes: int, multi: bool, chance: int) -> None:
    rng = np.random.default_rng(chance)
    p, x = probabilities(n, classes, chance), rng.normal(size=(n, 4)).astype(np.float32)
    g, full = residuals(p, multi), slow_gradients(p, x, multi)
    np.testing.assert_allclose((g @ g.T) * (x @ x.T), full @ full.T, atol=1e-4)
    lengths = residual_lengths(p, multi)
    np.testing.assert_allclose(lengths * np.linalg.norm(x, axis=1), np.linalg.norm(full, axis=1), atol=1e-4)


def test_one_is_taken_off_at_the_likeliest_class_and_at_no_other() -> None:
    p = np.array([[0.2, 0.7, 0.1], [0.5, 0.5, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(residuals(p), [[0.2, -0.3, 0.1], [-0.5, 0.5, 0.0]], atol=1e-7)
    np.testing.assert_allclose(residuals(p).sum(axis=1), 0, atol=1e-7)
    assert p[0, 1] == np.float32(0.7)  # and what was given stays as it was


def test_draws_are_in_proportion_to_the_squared_distance() -> None:
    left, right = np.ones((4, 1), np.float32), np.array([[4, 0], [3, 0], [2, 0], [4, 1]], np.float32)
    times = np.zeros(4)
    for chance in range(300):
        found, _ = seed(left, right, 1, np.random.default_rng(chance), (left[:1], right[:1]))
        times[found[0]] += 1
    np.testing.assert_allclose(times / 300, [0, 1 / 6, 4 / 6, 1 / 6], atol=0.08)  # squares: 0, 1, 4, 1


def test_a_copy_of_what_is_taken_comes_last() -> None:
    points = np.tile(np.random.default_rng(0).normal(size=(20, 5)), (2, 1)).astype(np.float32) * 30
    p = np.tile(probabilities(20, 3, 0), (2, 1))
    twice = State(np.arange(40), 1 - p.max(axis=1), lambda rows: points[rows], p, taken=np.arange(10))
    for chance in range(20):
        found = Badge().choose(twice, 30, np.random.default_rng(chance)).indices
        assert sorted((found[:10] % 20).tolist()) == list(range(10, 20))


def test_only_the_longest_gradients_are_looked_at() -> None:
    given_state = state(300)
    made = Badge(candidates=50).choose(given_state, 20, np.random.default_rng(0))
    scores = Badge().score(given_state)
    assert scores[made.indices].min() >= np.sort(scores)[-50]
    assert made.why["looked_at"] == [50] * 20
    vectors = given_state.vectors(made.indices)
    np.testing.assert_allclose(made.scores, scores[made.indices] * np.linalg.norm(vectors, axis=1), rtol=1e-4)


def test_without_anything_taken_the_longest_gradient_is_first() -> None:
    given_state = state(80)
    assert given_state.probabilities is not None
    full = slow_gradients(given_state.probabilities, given_state.vectors(given_state.candidates))
    made = Badge().choose(given_state, 5, np.random.default_rng(0))
    assert made.indices[0] == np.linalg.norm(full, axis=1).argmax()
    assert made.why["distance"][0] is None


def test_doubt_stands_in_where_there_are_no_probabilities() -> None:
    given_state = replace(state(60), probabilities=None, doubt=np.linspace(0, 1, 60, dtype=np.float32))
    made = Badge(among="random", candidates=30).choose(given_state, 10, np.random.default_rng(0))
    assert len(set(made.indices.tolist())) == 10
    np.testing.assert_array_equal(Badge().score(given_state), given_state.doubt)


def test_a_batch_depends_on_the_seed_alone() -> None:
    def chosen(chance: int) -> Indices:
        return Badge().choose(state(200), 20, np.random.default_rng(chance)).indices

    np.testing.assert_array_equal(chosen(1), chosen(1))
    assert chosen(1).tolist() != chosen(2).tolist()


@pytest.mark.parametrize("wrong", [{"candidates": True}, {"among": "uncertain"}, {"uncovered": -0.1}])
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(JobFileError, match=f"selection.options.{next(iter(wrong))}"):
        Badge(**wrong)
