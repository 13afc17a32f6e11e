"""Scores: each against the slow, obvious reading of its formula."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import seam
from agent.selection.seam import State, Strategy
from agent.selection.strategies.uncertainty import Entropy, LeastConfidence, Margin, Random


def state(probabilities: Floats | None = None, doubt: Floats | None = None, multilabel: bool = False) -> State:
    given_doubt = doubt if doubt is not None else np.zeros(0 if probabilities is None else len(probabilities))
    return State(
        np.arange(len(given_doubt)),
        given_doubt.astype(np.float32),
        lambda rows: np.zeros((len(rows), 2), dtype=np.float32),
        probabilities,
        multilabel=multilabel,
    )


def slow_least_confidence(p: list[float]) -> float:
    return 1 - max(p)


def slow_margin(p: list[float]) -> float:
    first, second = sorted(p, reverse=True)[:2]
    return 1 - (first - second)


def slow_entropy(p: list[float]) -> float:
    return -sum(x * math.log(x) for x in p if x > 0) / math.log(len(p))


PAIRS = [(LeastConfidence(), slow_least_confidence), (Margin(), slow_margin), (Entropy(), slow_entropy)]

cells = hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(2, 5)), elements=st.floats(0, 1, width=32))


@given(cells)
def test_class_scores_agree_with_the_formula_written_out(raw: Floats) -> None:
    raw = raw + np.float32(1e-3)
    p = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    for strategy, slow in PAIRS:
        np.testing.assert_allclose(strategy.score(state(p)), [slow(row) for row in p.tolist()], atol=1e-5)


@given(cells)
def test_multilabel_scores_are_the_mean_over_yes_or_no_decisions(p: Floats) -> None:
    for strategy, slow in PAIRS:
        expected = [sum(slow([x, 1 - x]) for x in row) / len(row) for row in p.tolist()]
        np.testing.assert_allclose(strategy.score(state(p, multilabel=True)), expected, atol=1e-5)


@given(cells)
def test_decisions_are_joined_by_their_mean_their_max_or_their_sum(p: Floats) -> None:
    for make, (_, slow) in zip((LeastConfidence, Margin, Entropy), PAIRS, strict=True):
        decisions = [[slow([x, 1 - x]) for x in row] for row in p.tolist()]
        for over, join in (("max", max), ("sum", sum)):
            scores = make(over=over).score(state(p, multilabel=True))
            np.testing.assert_allclose(scores, [join(row) for row in decisions], atol=1e-4)
        np.testing.assert_array_equal(make(over="sum").score(state(p)), make().score(state(p)))


def test_an_unknown_way_to_join_decisions_is_refused() -> None:
    with pytest.raises(JobFileError, match=r"selection\.options\.over.*mean, max or sum.*'median'"):
        Margin(over="median")


def test_scores_do_not_depend_on_how_the_pool_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(7), 1000).astype(np.float32)
    for strategy, _ in PAIRS:
        whole = strategy.score(state(p))
        monkeypatch.setattr(seam, "NUMBERS_AT_ONCE", 50)
        np.testing.assert_array_equal(strategy.score(state(p)), whole)
        monkeypatch.undo()


def test_a_memmap_is_scored_without_reading_it_whole(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    p = np.memmap(tmp_path / "p", dtype=np.float32, mode="w+", shape=(500, 4))
    p[:] = 0.25
    monkeypatch.setattr(seam, "NUMBERS_AT_ONCE", 40)
    assert max(len(p[block]) for block in state(p).blocks()) == 10
    np.testing.assert_allclose(Entropy().score(state(p)), 1, atol=1e-6)


def test_without_probabilities_the_students_own_doubt_decides() -> None:
    doubt = np.array([0.1, 0.9, 0.4], dtype=np.float32)
    for strategy, _ in PAIRS:
        np.testing.assert_array_equal(strategy.score(state(doubt=doubt)), doubt)


def test_a_certain_student_scores_zero_and_a_clueless_one_scores_highest() -> None:
    p = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.3, 0.2]], dtype=np.float32)
    for strategy, _ in PAIRS:
        scores = strategy.score(state(p))
        assert scores[0] == 0
        assert scores[1] > scores[2] > scores[0]
        assert scores.dtype == np.float32


def test_an_empty_pool_has_no_scores() -> None:
    for strategy in (Random(), *(s for s, _ in PAIRS)):
        assert strategy.score(state(np.empty((0, 3), dtype=np.float32))).shape == (0,)


def test_every_built_in_strategy_implements_the_seam() -> None:
    assert all(isinstance(s, Strategy) for s in (Random(), LeastConfidence(), Margin(), Entropy()))


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((2, 2))])
def test_a_state_whose_arrays_do_not_fit_is_refused(wrong: Floats) -> None:
    with pytest.raises(ValueError, match="doubt must be"):
        State(np.arange(2), wrong, lambda rows: np.zeros((len(rows), 1)))


@given(
    hnp.arrays(np.float32, st.integers(0, 30), elements=st.sampled_from([0, 0.25, 0.5, 1])),
    st.integers(0, 35),
    st.integers(0, 9),
)
def test_top_agrees_with_sorting_everything(scores: Floats, size: int, seed: int) -> None:
    found = seam.top(scores, size, np.random.default_rng(seed))
    assert len(set(found.tolist())) == len(found) == min(size, len(scores))
    assert scores[found].tolist() == sorted(scores.tolist(), reverse=True)[:size]


def test_equal_scores_are_drawn_by_chance_and_not_by_the_order_of_the_pool() -> None:
    rng = np.random.default_rng(0)
    times = np.zeros(20)
    for _ in range(2000):
        times[seam.top(np.zeros(20, dtype=np.float32), 5, rng)] += 1
    assert times.min() > 420  # 500 expected, standard deviation 19
    assert times.max() < 580
