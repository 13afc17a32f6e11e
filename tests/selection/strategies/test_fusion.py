"""Rank fusion: what several strategies agree on, whatever the scale of their scores."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError, UserError
from agent.records import Floats
from agent.selection import Ranked, State, compose, find_strategy
from agent.selection.strategies import Adaptive, Entropy, Fusion, LeastConfidence, Margin, Random
from agent.selection.strategies.fusion import credit


@dataclass(frozen=True, kw_only=True)
class Fixed(Ranked):
    """Scores that are given."""

    scores: tuple[float, ...]

    def score(self, state: State) -> Floats:
        return np.array(self.scores, np.float32)


def state(n: int) -> State:
    points = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    return State(np.arange(n), np.zeros(n, np.float32), lambda rows: points[rows])


def slow_rank(s: list[float], i: int) -> float:
    return 1 + sum(x > s[i] for x in s) + (s.count(s[i]) - 1) / 2


columns = st.integers(1, 12).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([-3.0, 0.0, 0.5, 2.0, 1e6]), min_size=n, max_size=n), min_size=1, max_size=4
    )
)


@given(columns, st.sampled_from(["reciprocal", "mean"]), st.floats(0, 100))
def test_the_fused_score_is_the_mean_of_what_each_rank_gives(parts: list[list[float]], how: str, k: float) -> None:
    n = len(parts[0])

    def slow(i: int) -> float:
        ranks = [slow_rank(s, i) for s in parts]
        gives = [(k + 1) / (k + r) if how == "reciprocal" else (n - r) / max(1, n - 1) for r in ranks]
        return sum(gives) / len(gives)

    strategy = Fusion(parts=tuple(Fixed(scores=tuple(s)) for s in parts), how=how, k=k)
    np.testing.assert_allclose(strategy.score(state(n)), [slow(i) for i in range(n)], rtol=1e-5, atol=1e-6)


def test_the_scale_of_a_part_does_not_matter() -> None:
    near = Fusion(parts=(Fixed(scores=(1, 2, 3)), Fixed(scores=(3, 1, 2))))
    scaled = Fusion(parts=(Fixed(scores=(-1e6, 0, 1e6)), Fixed(scores=(3, 1, 2))))
    np.testing.assert_array_equal(near.score(state(3)), scaled.score(state(3)))


def test_weights_count_and_need_not_sum_to_one() -> None:
    parts = (Fixed(scores=(1, 2, 3)), Fixed(scores=(3, 2, 1)))
    assert Fusion(parts=parts, weights=(5, 1)).score(state(3)).argmax() == 2
    assert Fusion(parts=parts, weights=(1, 5)).score(state(3)).argmax() == 0
    alone = Fusion(parts=parts, weights=(1, 0), how="mean").score(state(3))
    np.testing.assert_allclose(alone, [0, 0.5, 1])


def test_a_part_that_says_nothing_changes_no_order() -> None:
    scores = np.random.default_rng(0).random(50)
    alone = Fusion(parts=(Fixed(scores=tuple(scores)),)).score(state(50))
    beside = Fusion(parts=(Fixed(scores=tuple(scores)), Random())).score(state(50))
    assert alone.argsort().tolist() == beside.argsort().tolist() == scores.argsort().tolist()


def test_what_one_part_finds_and_the_others_overlook_reaches_the_shortlist_by_reciprocal_rank() -> None:
    """Two parts agree on an order; the third puts text 0, which they rank last, first."""
    n = 2000
    same = tuple(np.linspace(0, 1, n))
    lone = (2.0, *np.random.default_rng(0).random(n - 1))
    parts = (Fixed(scores=same), Fixed(scores=same), Fixed(scores=lone))
    rank = {
        how: slow_rank(Fusion(parts=parts, how=how).score(state(n)).tolist(), 0) for how in ("reciprocal", "mean")
    }
    assert rank["reciprocal"] < 100
    assert rank["mean"] > 1000


def test_ranks_of_many_scores_with_ties_are_quick() -> None:
    import time

    scores = np.random.default_rng(0).random(1_000_000, dtype=np.float32)
    scores[::3] = 0.5
    credit(scores[:1000], "reciprocal", 60)
    started = time.process_time()
    credit(scores, "reciprocal", 60)
    assert time.process_time() - started < 1


def test_a_part_of_your_own_that_scores_badly_is_named() -> None:
    with pytest.raises(UserError, match="`score` of Fixed must return one finite number a candidate"):
        Fusion(parts=(Margin(), Fixed(scores=(1, 2)))).score(state(3))
    with pytest.raises(UserError, match="`score` of Fixed"):
        Fusion(parts=(Fixed(scores=(1, np.nan, 2)),)).score(state(3))


def test_the_batch_is_spread_over_the_fused_shortlist() -> None:
    points = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    points[:90] = points[0] + np.random.default_rng(1).normal(size=(90, 8), scale=1e-3)
    doubt = np.concatenate([np.full(90, 0.9), np.linspace(0.8, 0.1, 410)]).astype(np.float32)
    given_state = State(np.arange(500), doubt, lambda rows: points[rows])
    strategy = Fusion(parts=(Margin(), Entropy(), LeastConfidence()), uncovered=0, shortlist=20)
    batch = compose(given_state, strategy, 10, 0, np.random.default_rng(0))
    assert sum(c.row < 90 for c in batch) == 1


def test_it_works_in_blocks_and_on_a_job_without_classes() -> None:
    given_state = replace(state(30), doubt=np.linspace(0, 1, 30).astype(np.float32))
    strategy = find_strategy("fusion", {"parts": ["margin", "entropy"]})
    assert strategy.score(given_state).argmax() == 29


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parts": ()}, "`selection.options.parts`: at least one strategy"),
        ({"parts": (Margin(),), "weights": (1, 2)}, "`selection.options.weights`: 1 numbers from 0"),
        ({"parts": (Margin(),), "weights": (0,)}, "`selection.options.weights`"),
        ({"parts": (Margin(),), "weights": (-1,)}, "`selection.options.weights`"),
        ({"weights": "heavy"}, "`selection.options.weights`"),
        ({"weights": 3}, "`selection.options.weights`"),
        ({"how": "median"}, "`selection.options.how`: reciprocal or mean is needed, not 'median'"),
        ({"k": -1}, "`selection.options.k`"),
        ({"shortlist": 0}, "`selection.options.shortlist`"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(JobFileError) as error:
        Fusion(**options)  # type: ignore[arg-type]
    assert said in str(error.value)


def test_the_default_looks_for_a_class_that_is_far_short_and_leaves_the_rest_to_the_ranks() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 400).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[np.array([0] * 30 + [1] * 28 + [2] * 1)]
    points = rng.normal(size=(459, 8)).astype(np.float32)
    given_state = State(np.arange(400), 1 - p.max(axis=1), lambda rows: points[rows], p, np.arange(400, 459), labels)
    batch = compose(given_state, Adaptive(base=Margin()), 40, 0.2, np.random.default_rng(0))
    sought = [c for c in batch if c.why.get("short_class") is not None]
    assert {c.why["short_class"] for c in sought} == {2}
    assert 1 <= len(sought) <= 8
    evened = replace(given_state, targets=np.eye(3, dtype=np.float32)[np.arange(59) % 3])
    calm = compose(evened, Adaptive(base=Margin()), 40, 0.2, np.random.default_rng(0))
    assert not [c for c in calm if c.why.get("short_class") is not None]
