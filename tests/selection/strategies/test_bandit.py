"""Strategies that compete: the better arm gets the slots, and each text says which arm chose it and why."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError, UserError
from agent.records import Floats
from agent.selection import Choice, State, Trial, compose, find_strategy
from agent.selection.seam import Indices
from agent.selection.strategies import Entropy, LeastConfidence, Margin, Power, Random
from agent.selection.strategies.bandit import Bandit, arm_names, posterior, reward, surprise, thompson

rewards = st.lists(
    st.builds(
        Trial, st.sampled_from(["margin", "power", "old"]), st.floats(0, 1), st.integers(0, 50), st.integers(0, 9)
    ),
    max_size=12,
)


def state(n: int = 300, history: tuple[Trial, ...] = (), number: int = 1) -> State:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(n, 4)).astype(np.float32)
    p = rng.dirichlet(np.ones(4), n).astype(np.float32)
    return State(
        np.arange(n), 1 - p.max(axis=1), lambda rows: points[rows], p, history=history, round=number, seed=(0, number)
    )


@given(rewards, st.floats(0.1, 1))
def test_beliefs_count_each_label_less_the_older_it_is(history: list[Trial], discount: float) -> None:
    slow = {name: [1.0, 1.0] for name in ("margin", "power")}
    for trial in history:
        if trial.arm in slow:
            slow[trial.arm][0] += discount ** (10 - trial.round) * trial.count * trial.reward
            slow[trial.arm][1] += discount ** (10 - trial.round) * trial.count * (1 - trial.reward)
    np.testing.assert_allclose(posterior(["margin", "power"], history, 10, discount), list(slow.values()))


def test_a_slot_goes_to_an_arm_as_often_as_it_is_likely_to_be_the_best() -> None:
    won, drew = thompson(np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 9.0]]), 6000, np.random.default_rng(0))
    shares = np.bincount(won) / 6000
    assert shares[0] == pytest.approx(shares[1], abs=0.03)
    assert shares[2] < 0.05
    assert drew.min() >= 0
    assert drew.max() <= 1


def test_a_reward_is_a_half_where_the_arm_is_no_better_than_chance() -> None:
    even = np.array([0.2, 0.6], np.float32)
    assert reward(even, even) == 0.5
    assert reward(np.ones(3, np.float32), np.zeros(2, np.float32)) == 1
    assert reward(np.zeros(3, np.float32), np.ones(2, np.float32)) == 0
    assert reward(np.array([0.8], np.float32), np.array([0.3, 0.5], np.float32)) == pytest.approx(0.7)


@pytest.mark.parametrize(("arm", "chance"), [(0, 3), (3, 0)])
def test_a_reward_needs_labels_of_both(arm: int, chance: int) -> None:
    with pytest.raises(ValueError, match=f"not {arm} and {chance}"):
        reward(np.zeros(arm, np.float32), np.zeros(chance, np.float32))


def test_a_label_surprises_by_what_the_student_did_not_give_it() -> None:
    foreseen = np.array([[0.7, 0.3], [0.2, 0.8]], np.float32)
    np.testing.assert_allclose(surprise(foreseen, np.array([[1, 0], [1, 0]], np.float32)), [0.3, 0.8], rtol=1e-6)
    np.testing.assert_allclose(surprise(foreseen, np.zeros((2, 2), np.float32), multilabel=True), 0.5, rtol=1e-6)


def test_two_arms_of_one_name_have_names_of_their_own() -> None:
    assert arm_names([Power(), Margin(), Power(beta=4), Power(beta=8)]) == ["power", "margin", "power#2", "power#3"]


def test_one_clearly_better_arm_gets_nearly_all_slots() -> None:
    history = tuple(
        Trial(a, r, 40, t) for t in (1, 2) for a, r in (("margin", 0.5), ("entropy", 0.75), ("power", 0.5))
    )
    strategy = Bandit(arms=(Margin(), Entropy(), Power()))
    arms = Counter(strategy.choose(state(history=history, number=3), 100, np.random.default_rng(0)).why["arm"])
    assert arms["entropy"] > 90


def test_it_finds_out_which_arm_is_better() -> None:
    """Labels that margin buys are worth 0.7, those of the others 0.5; twelve rounds of twenty."""
    strategy = Bandit(arms=(Power(), Margin(), Random()))
    truth, history, shares, rng = {"margin": 0.7, "power": 0.5, "random": 0.5}, [], [], np.random.default_rng(0)
    for number in range(1, 13):
        arms = Counter(strategy.choose(state(history=tuple(history), number=number), 20, rng).why["arm"])
        shares.append(arms["margin"] / 20)
        history += [Trial(a, rng.binomial(c, truth[a]) / c, c, number) for a, c in arms.items()]
    assert np.mean(shares[-4:]) > 0.75


def test_an_arm_that_was_good_long_ago_is_tried_against_again() -> None:
    long_ago = (Trial("margin", 0.9, 100, 1), Trial("entropy", 0.5, 100, 1))
    strategy, shares = Bandit(arms=(Margin(), Entropy()), discount=0.5), []
    for number in (2, 30):
        made = strategy.choose(state(history=long_ago, number=number), 200, np.random.default_rng(0))
        shares.append(Counter(made.why["arm"])["margin"] / 200)
    assert shares[0] == 1
    assert 0.35 < shares[1] < 0.65


def test_each_text_tells_its_arm_what_is_believed_of_it_and_what_it_drew() -> None:
    given_state = state(history=(Trial("power", 0.75, 10, 0), Trial("margin", 0.25, 10, 0)))
    batch = compose(given_state, Bandit(arms=(Margin(), Power()), discount=1), 30, 0.2, np.random.default_rng(0))
    bought = [c.why for c in batch if c.slice == "unsure"]
    for why in bought:
        assert why["arm_mean"] == pytest.approx({"margin": 3.5 / 12, "power": 8.5 / 12}[why["arm"]])
        assert 0 <= why["arm_drew"] <= 1
        assert set(why["arm_says"]) == (
            {"noise", "chance_of_first_draw", "drawn_by"} if why["arm"] == "power" else {"cluster_size", "shortlist"}
        )
    assert Counter(why["arm"] for why in bought)["power"] > 12


def test_an_arm_alone_chooses_what_it_would_without_the_bandit() -> None:
    given_state = state()
    for arm in (Margin(uncovered=0), Power()):
        alone = Bandit(arms=(arm,)).choose(given_state, 20, np.random.default_rng(0))
        assert len(alone.indices) == 20
    # the first draws are the slots'; margin's shortlist has no ties, so what is spread over is the same
    best = set(np.argsort(-Margin().score(given_state))[:160].tolist())
    assert set(Bandit(arms=(Margin(),)).choose(given_state, 20, np.random.default_rng(0)).indices.tolist()) <= best


def test_arms_never_choose_what_another_arm_has() -> None:
    strategy = Bandit(arms=(Margin(), LeastConfidence(), Entropy()))
    made = strategy.choose(replace(state(60), taken=np.arange(10)), 50, np.random.default_rng(0))
    assert sorted(made.indices.tolist()) == list(range(10, 60))


def test_candidates_that_good_arms_like_score_high() -> None:
    given_state = state(history=(Trial("margin", 1.0, 500, 0), Trial("random", 0.0, 500, 0)))
    scores = Bandit(arms=(Margin(), Random())).score(given_state)
    assert scores.argmax() == Margin().score(given_state).argmax()


@dataclass(frozen=True)
class Greedy:
    """A user's strategy that takes what it was told not to."""

    uncovered: float = 0.0

    def score(self, state: State) -> Floats:
        return np.zeros(len(state.candidates), np.float32)

    def pick(self, scores: Floats, size: int, rng: np.random.Generator) -> Indices:
        return np.arange(size)

    def choose(self, state: State, size: int, rng: np.random.Generator) -> Choice:
        return Choice(np.arange(size), np.zeros(size, np.float32))


def test_an_arm_that_chooses_what_is_taken_is_named() -> None:
    with pytest.raises(UserError, match="`choose` of Greedy must return 5 distinct free candidates"):
        Bandit(arms=(Greedy(),)).choose(replace(state(), taken=np.arange(3)), 5, np.random.default_rng(0))


def test_arms_are_named_in_the_job_file() -> None:
    found = find_strategy("bandit", {"arms": ["margin", {"strategy": "power", "options": {"beta": 4}}]})
    assert found == Bandit(arms=(Margin(), Power(beta=4)))


@pytest.mark.parametrize("options", [{"arms": ()}, {"discount": 0}, {"discount": 1.1}, {"uncovered": -1}])
def test_settings_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(JobFileError, match=next(iter(options))):
        Bandit(**options)  # type: ignore[arg-type]
