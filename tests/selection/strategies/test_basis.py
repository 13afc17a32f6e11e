"""What strategies that build on others share does what `compose` would do with the other one alone."""

from dataclasses import replace

import numpy as np
import pytest

from agent.selection import State, compose
from agent.selection.batch import spread
from agent.selection.strategies import Entropy, Margin, Power, Random
from agent.selection.strategies.basis import chosen_by


def state(n: int = 400) -> State:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(n, 4)).astype(np.float32)
    p = rng.dirichlet(np.ones(4), n).astype(np.float32)
    return State(np.arange(n), 1 - p.max(axis=1), lambda rows: points[rows], p)


@pytest.mark.parametrize("strategy", [Margin(uncovered=0), Entropy(uncovered=0, shortlist=3), Power()])
@pytest.mark.parametrize("seed", range(5))
def test_a_part_chooses_what_compose_would_choose_for_it(strategy: Margin | Entropy | Power, seed: int) -> None:
    made = chosen_by(strategy, state(), 20, np.random.default_rng(seed))
    batch = compose(state(), strategy, 20, 0, np.random.default_rng(seed))
    assert [c.row for c in batch] == made.indices.tolist()


def test_a_uniform_part_draws_by_chance() -> None:
    times = np.zeros(30)
    for seed in range(600):
        times[
            chosen_by(Random(), replace(state(30), taken=np.arange(10)), 5, np.random.default_rng(seed)).indices
        ] += 1
    assert (times[:10] == 0).all()
    assert times[10:].min() > 100  # 150 expected, standard deviation 11
    assert times[10:].max() < 200


def test_what_is_taken_is_not_spread_over() -> None:
    given_state = replace(state(), taken=np.arange(395))
    made = spread(Margin(), Margin().score(given_state), given_state, 9, np.random.default_rng(0))
    assert sorted(made.indices.tolist()) == list(range(395, 400))
    full = replace(given_state, taken=np.arange(400))
    assert len(chosen_by(Margin(), full, 9, np.random.default_rng(0)).indices) == 0
