"""The solver finds the same minimum as SciPy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from agent.records import Floats
from agent.student.solver import minimise

seeds = st.integers(0, 10_000)


@given(seeds, st.integers(1, 12))
def test_a_quadratic_bowl_is_solved_exactly(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    bowl = (root @ root.T + np.eye(size)).astype(np.float32)
    goal = rng.normal(size=size).astype(np.float32)

    def function(x: Floats) -> tuple[float, Floats]:
        gradient = bowl @ (x - goal)
        return 0.5 * float(gradient @ (x - goal)), gradient

    np.testing.assert_allclose(minimise(function, np.zeros(size, np.float32), 1e-9), goal, atol=2e-3)


@given(seeds)
def test_a_curved_valley_is_solved_as_scipy_solves_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slopes = rng.normal(size=(30, 5))

    def exact(x: np.ndarray) -> tuple[float, np.ndarray]:
        heights = slopes @ x
        return float(np.logaddexp(0, heights).sum() + x @ x), slopes.T @ (1 / (1 + np.exp(-heights))) + 2 * x

    def function(x: Floats) -> tuple[float, Floats]:
        value, gradient = exact(x.astype(np.float64))
        return value, gradient.astype(np.float32)

    slow = minimize(exact, np.zeros(5), jac=True, tol=1e-12)
    np.testing.assert_allclose(minimise(function, np.zeros(5, np.float32), 1e-8), slow.x, atol=1e-3)


def test_a_start_that_is_the_minimum_is_left_alone() -> None:
    calls = 0

    def function(x: Floats) -> tuple[float, Floats]:
        nonlocal calls
        calls += 1
        return float(x @ x), 2 * x

    assert minimise(function, np.zeros(3, np.float32), 1e-6).tolist() == [0, 0, 0]
    assert calls == 1
