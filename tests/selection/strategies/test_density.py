"""Information density, against all pairs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import space
from agent.selection.seam import State
from agent.selection.strategies.density import Density, mean_cosine, weighted
from agent.selection.strategies.uncertainty import Entropy, LeastConfidence, Margin


def state(n: int, seed: int = 0) -> State:
    rng = np.random.default_rng(seed)
    points = rng.normal(0.5, 1, (n, 4)).astype(np.float32) * rng.uniform(0.1, 5, (n, 1)).astype(np.float32)
    p = rng.dirichlet(np.ones(3), n).astype(np.float32)
    return State(np.arange(n), 1 - p.max(axis=1), lambda rows: points[rows], p)


def slow_mean_cosine(points: Floats) -> list[float]:
    out = []
    for a in points.astype(float):
        cosines = []
        for b in points.astype(float):
            lengths = np.linalg.norm(a) * np.linalg.norm(b)
            cosines.append(float(a @ b / lengths) if lengths else 0.0)
        out.append(sum(cosines) / len(cosines))
    return out


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 999))
def test_the_mean_cosine_agrees_with_all_pairs(n: int, chunk: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(-3, 4, (n, 3)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space, "CHUNK", chunk)
        found = mean_cosine(lambda rows: points[rows], np.arange(n))
    np.testing.assert_allclose(found, slow_mean_cosine(points), atol=1e-5)


@pytest.mark.parametrize("base", [Margin, Entropy, LeastConfidence])
@pytest.mark.parametrize("beta", [0, 0.5, 1, 3.0])
def test_the_score_is_uncertainty_times_density_to_the_power_of_beta(base: type[Margin], beta: float) -> None:
    given_state = state(50)
    unsure = base().score(given_state)
    near = slow_mean_cosine(given_state.vectors(given_state.candidates))
    expected = [u * max(0.0, c) ** beta for u, c in zip(unsure.tolist(), near, strict=True)]
    np.testing.assert_allclose(Density(base=base.name, beta=beta).score(given_state), expected, atol=1e-5)


def test_what_points_away_from_the_pool_is_worth_nothing() -> None:
    assert weighted(np.ones(3, np.float32), np.array([-0.5, 0, 0.5], np.float32), 1.5).tolist()[:2] == [0, 0]


def test_of_two_unsure_texts_the_typical_one_is_asked() -> None:
    rng = np.random.default_rng(0)
    crowd = rng.normal([5, 0, 0], 0.3, (99, 3)).astype(np.float32)
    points = np.vstack([crowd, [[0, 5, 0]]]).astype(np.float32)
    doubt = np.full(100, 0.1, dtype=np.float32)
    doubt[[7, 99]] = 0.9  # one in the crowd, and an outlier
    made = Density().choose(State(np.arange(100), doubt, lambda rows: points[rows]), 1, rng)
    assert made.indices.tolist() == [7]
    assert made.why["similarity_to_the_pool"][0] > 0.9
    assert made.why["margin"][0] == pytest.approx(0.9)


def test_the_best_of_all_is_chosen_and_the_batch_is_spread() -> None:
    given_state = state(300)
    strategy = Density(shortlist=4)
    scores = strategy.score(given_state)
    made = strategy.choose(given_state, 10, np.random.default_rng(0))
    assert int(scores.argmax()) in made.indices
    assert scores[made.indices].min() >= np.sort(scores)[-40]
    np.testing.assert_allclose(made.scores, scores[made.indices])
    beside = replace(given_state, taken=np.array([int(scores.argmax())]))
    assert int(scores.argmax()) not in strategy.choose(beside, 10, np.random.default_rng(0)).indices


@pytest.mark.parametrize("wrong", [{"base": "random"}, {"beta": -1}, {"beta": float("nan")}, {"shortlist": 0}])
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(JobFileError, match=f"selection.options.{next(iter(wrong))}"):
        Density(**wrong)
