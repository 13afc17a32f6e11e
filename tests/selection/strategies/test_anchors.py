"""Anchors: only the neighbours of labelled texts are looked at, so that rare classes are found."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from agent.errors import ExtraMissing, JobFileError
from agent.records import Floats
from agent.selection import compose, find_strategy
from agent.selection.seam import Ranked, State, Strategy
from agent.selection.strategies.anchors import Anchored, narrowed, spread_members
from agent.selection.strategies.uncertainty import Entropy, Margin
from tests.selection.strategies.blobs import blobs


@dataclass(frozen=True, kw_only=True)
class Seen(Ranked):
    """Scores by row, and remembers what it was shown."""

    name: ClassVar[str] = "seen"
    shown: list[State]

    def score(self, state: State) -> Floats:
        self.shown.append(state)
        return -np.asarray(state.candidates, dtype=np.float32)


def slow_near(state: State, k: int) -> set[int]:
    """The k nearest candidates of every labelled text, by all distances."""
    points = state.vectors(state.candidates)
    found: set[int] = set()
    for x in state.vectors(state.labelled):
        found |= set(np.argsort(np.linalg.norm(points - x, axis=1), kind="stable")[:k].tolist())
    return found


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 9), st.integers(0, 20))
def test_only_the_neighbours_of_the_anchors_are_scored_by_the_base(n: int, labels: int, k: int, chance: int) -> None:
    state, shown = blobs(n, labels, chance=chance), []
    scores = Anchored(base=Seen(shown=shown), neighbours=k, metric="euclidean").score(state)
    near = sorted(slow_near(state, k))
    assert shown[0].candidates.tolist() == state.candidates[near].tolist()
    np.testing.assert_array_equal(shown[0].probabilities, state.probabilities[near])
    others = np.setdiff1d(np.arange(n), near)
    assert (scores[near] >= 0).all()
    assert (scores[near] <= 1).all()
    assert (np.diff(scores[near]) < 0).all()  # the base's order is kept
    np.testing.assert_allclose(scores[others], state.doubt[others] - 2)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 6), st.integers(0, 9))
def test_every_class_keeps_as_many_anchors_as_it_can(classes: list[int], each: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(len(classes), 3)).astype(np.float32)
    kept = spread_members(np.array(classes), vectors, each, np.random.default_rng(seed))
    assert len(set(kept.tolist())) == len(kept)
    for c in set(classes):
        assert sum(classes[i] == c for i in kept) == min(each, classes.count(c))


def test_a_narrowed_state_keeps_what_belongs_to_each_candidate() -> None:
    state = blobs(20, 5, prices=np.arange(20, dtype=np.float32), taken=np.array([2, 7, 9]))
    part = np.array([1, 2, 9, 15])
    small = narrowed(state, part)
    assert small.taken.tolist() == [1, 2]
    assert small.prices is not None
    assert small.prices.tolist() == [1, 2, 9, 15]
    np.testing.assert_array_equal(small.doubt, state.doubt[part])


def rare_pool(seed: int) -> tuple[Floats, Floats]:
    """10,000 texts: three frequent classes that nobody can quite tell apart, and a rare topic of 0.5 %."""
    rng = np.random.default_rng(seed)
    topic = np.where(rng.random(10_000) < 0.005, 0, rng.integers(1, 4, 10_000))
    centres = rng.normal(size=(4, 16))
    y = np.where((topic > 0) & (rng.random(10_000) < 0.6), rng.integers(1, 4, 10_000), topic)
    return (centres[topic] + rng.normal(size=(10_000, 16))).astype(np.float32), y


def found_of_the_rare_class(strategy: Strategy, seed: int) -> int:
    """Labels of class 0 after five rounds of 40, from 48 random ones and one of the class."""
    from sklearn.linear_model import LogisticRegression

    points, y = rare_pool(seed)
    rng = np.random.default_rng(seed)
    labelled = np.unique(np.append(rng.choice(10_000, 48, replace=False), np.flatnonzero(y == 0)[0]))
    start = int((y[labelled] == 0).sum())
    for number in range(5):
        head = LogisticRegression(max_iter=100, tol=0.01).fit(points[labelled], y[labelled])
        rows = np.setdiff1d(np.arange(10_000), labelled)
        p = head.predict_proba(points[rows]).astype(np.float32)
        state = State(
            rows, 1 - p.max(axis=1), lambda r: points[r], p, labelled=labelled,
            targets=np.eye(4, dtype=np.float32)[y[labelled]], seed=(seed, number),
        )  # fmt: skip
        labelled = np.append(labelled, rows[strategy.pick(strategy.score(state), 40, rng)])
    return int((y[labelled] == 0).sum()) - start


def test_far_more_of_a_rare_class_is_found_than_by_margin_alone() -> None:
    margin, anchored = (sum(found_of_the_rare_class(s, seed) for seed in range(3)) for s in (Margin(), Anchored()))
    by_chance = 3 * 200 * 0.005
    assert anchored >= 1.5 * margin
    assert anchored >= 2 * by_chance


def test_it_can_be_named_in_a_job_with_another_strategy_inside() -> None:
    strategy = find_strategy("anchored", {"base": "entropy", "anchors": 3})
    assert isinstance(strategy, Anchored)
    assert isinstance(strategy.base, Entropy)


def test_a_class_that_nobody_has_met_is_sought_near_its_name() -> None:
    state = blobs(90, 30)
    met = state.targets.argmax(axis=1) != 2
    vectors = state.vectors
    names = vectors(np.arange(3))  # as if each class's name sounded like its first text
    known = replace(state, labelled=state.labelled[met], targets=state.targets[met], foreseen=None)
    strategy = Anchored(neighbours=5, anchors=1)
    without = set(strategy.near(known).tolist())
    near = set(strategy.near(replace(known, class_vectors=names)).tolist())
    assert without < near
    assert len([i for i in near - without if i % 3 == 2]) >= 4
    nobody = replace(known, labelled=known.labelled[:0], targets=known.targets[:0], class_vectors=names)
    assert 5 <= len(strategy.near(nobody)) <= 15


def test_a_shortlist_ends_where_the_neighbours_do_unless_a_batch_needs_more() -> None:
    scores = np.r_[np.full(30, 0.5), np.full(70, -1.5)].astype(np.float32)
    rng = np.random.default_rng(0)
    assert set(Anchored().pick(scores, 80, rng).tolist()) == set(range(30))
    assert len(Anchored(shortlist=2).pick(scores, 80, rng)) == 40
    assert len(Anchored().pick(scores, 100, rng)) == 100


@pytest.mark.parametrize(("n", "labels", "classes", "multilabel"), [
    (1, 1, 2, False), (40, 3, 2, True), (0, 5, 3, False), (40, 0, 3, False), (15, 200, 3, False),
])  # fmt: skip
@pytest.mark.parametrize("bare", [True, False])
def test_any_pool_is_scored_and_composed(n: int, labels: int, classes: int, multilabel: bool, bare: bool) -> None:
    state = blobs(n, labels, classes, multilabel=multilabel, foreseen=None)
    if bare:
        state = replace(state, probabilities=None, targets=None)
    strategy = Anchored(neighbours=2, anchors=2)
    scores = strategy.score(state)
    assert scores.shape == (n,)
    assert scores.dtype == np.float32
    for size in (1, 10, 60):
        batch = compose(state, strategy, size, 0.2, np.random.default_rng(0))
        assert len({c.row for c in batch}) == len(batch) == min(size, n)


def test_neighbours_are_sought_in_a_sample_of_a_large_pool() -> None:
    strategy = Anchored(sample=50, neighbours=500)
    assert len(strategy.near(blobs(300, 5))) == 50
    np.testing.assert_array_equal(strategy.near(blobs(300, 5)), strategy.near(blobs(300, 5)))


def test_scores_do_not_depend_on_the_number_of_threads() -> None:
    state, scores = blobs(2000, 100), []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            scores.append(Anchored(neighbours=20).score(state))
    np.testing.assert_array_equal(*scores)


def test_an_index_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ExtraMissing, match="pip install faiss-cpu"):
        Anchored(backend="faiss").score(blobs())


@pytest.mark.parametrize("options", [
    {"anchors": 0}, {"neighbours": -1}, {"sample": 1.5}, {"metric": "taxi"}, {"backend": "magic"}, {"base": "margin"},
])  # fmt: skip
def test_a_setting_out_of_range_is_named(options: dict[str, object]) -> None:
    with pytest.raises(JobFileError, match=rf"selection\.options\.{next(iter(options))}"):
        Anchored(**options)
