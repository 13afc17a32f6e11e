"""Batches drawn by chance: the draw is the one that was promised, and it says how it came about."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import State, compose
from agent.selection.strategies.basis import lifted, ranks
from agent.selection.strategies.power import VARIANTS, Power, log_weights

scores = hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(0, 1, width=32))


def state(doubt: list[float]) -> State:
    points = np.random.default_rng(0).normal(size=(len(doubt), 3)).astype(np.float32)
    return State(np.arange(len(doubt)), np.array(doubt, np.float32), lambda rows: points[rows])


def slow_rank(s: list[float], i: int) -> float:
    return 1 + sum(x > s[i] for x in s) + (s.count(s[i]) - 1) / 2


@given(hnp.arrays(np.float32, st.integers(0, 30), elements=st.sampled_from([-1, 0, 0.25, 1, 7])))
def test_ranks_count_those_above_and_ties_share_their_mean(s: Floats) -> None:
    assert ranks(s).tolist() == [slow_rank(s.tolist(), i) for i in range(len(s))]


@given(scores, st.floats(0, 8))
def test_weights_are_the_papers(s: Floats, beta: float) -> None:
    slow = {
        "power": [beta * math.log(max(x, np.finfo(float).tiny)) for x in s.tolist()],
        "softmax": [beta * x for x in s.tolist()],
        "softrank": [-beta * math.log(slow_rank(s.tolist(), i)) for i in range(len(s))],
    }
    for variant in VARIANTS:
        np.testing.assert_allclose(log_weights(s, variant, beta), slow[variant], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_text_is_drawn_first_as_often_as_its_weight_says(variant: str) -> None:
    doubt = [0.1, 0.2, 0.3, 0.4]
    weights = np.exp(log_weights(np.array(doubt, np.float32), variant, 1.0))
    strategy, given_state, times = Power(variant=variant), state(doubt), np.zeros(4)
    rng = np.random.default_rng(0)
    for _ in range(4000):
        made = strategy.choose(given_state, 2, rng)
        times[made.indices[0]] += 1
        assert made.why["chance_of_first_draw"][0] == pytest.approx((weights / weights.sum())[made.indices[0]])
    np.testing.assert_allclose(times / 4000, weights / weights.sum(), atol=0.03)


def test_pick_draws_as_choose_does() -> None:
    given_state, strategy = state(np.linspace(0, 1, 50).tolist()), Power()
    picked = strategy.pick(strategy.score(given_state), 9, np.random.default_rng(4))
    assert picked.tolist() == strategy.choose(given_state, 9, np.random.default_rng(4)).indices.tolist()


def test_a_large_beta_takes_the_highest_scores_and_zero_takes_any() -> None:
    given_state, top_ten = state(np.linspace(0.01, 1, 200).tolist()), set(range(190, 200))
    greedy = Power(beta=5000).choose(given_state, 10, np.random.default_rng(0))
    assert set(greedy.indices.tolist()) == top_ten
    means = [Power(beta=0).choose(given_state, 10, np.random.default_rng(i)).indices.mean() for i in range(200)]
    assert np.mean(means) == pytest.approx(99.5, abs=5)


def test_under_power_a_useless_text_comes_after_all_others() -> None:
    given_state = state([0.0, 0.001, 0.0, 0.9])
    for seed in range(50):
        assert set(Power().choose(given_state, 2, np.random.default_rng(seed)).indices.tolist()) == {1, 3}


def test_a_batch_holds_fewer_copies_than_the_highest_scores_would() -> None:
    doubt = [0.9] * 50 + [0.6] * 450  # fifty copies on top
    copies = [int((Power().choose(state(doubt), 40, np.random.default_rng(s)).indices < 50).sum()) for s in range(20)]
    assert max(copies) < 20


def test_scores_below_zero_are_lifted() -> None:
    np.testing.assert_array_equal(lifted(np.array([-2, 0, 1], np.float32)), [0, 2, 3])
    np.testing.assert_array_equal(lifted(np.array([0.5, 1], np.float32)), np.array([0.5, 1], np.float32))
    assert lifted(np.empty(0, np.float32)).shape == (0,)


def test_each_text_tells_its_draw() -> None:
    batch = compose(state([0.2, 0.4, 0.8, 0.9]), Power(beta=2), 3, 0, np.random.default_rng(0))
    for chosen in batch:
        assert chosen.why["drawn_by"] == "power, beta 2"
        assert 0 < chosen.why["chance_of_first_draw"] < 1
        weight = 2 * math.log(chosen.score)
        assert chosen.why["chosen_for"] == pytest.approx(weight + chosen.why["noise"], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variant": "hard"}, "`selection.options.variant`: power, softmax or softrank is needed, not 'hard'"),
        ({"beta": -1}, "`selection.options.beta`: a number from 0"),
        ({"uncovered": 2}, "`selection.options.uncovered`"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(JobFileError) as error:
        Power(**options)  # type: ignore[arg-type]
    assert said in str(error.value)
