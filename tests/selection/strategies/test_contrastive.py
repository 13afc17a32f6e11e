"""CAL: texts judged otherwise than their labelled neighbours."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import compose, find_strategy
from agent.selection.seam import State
from agent.selection.strategies.contrastive import LEAST, Contrastive, mean_divergence, smoothed
from tests.selection.strategies.blobs import blobs


def slow_divergence(p: list[float], q: list[float]) -> float:
    return sum(max(a, LEAST) * math.log(max(a, LEAST) / max(b, LEAST)) for a, b in zip(p, q, strict=True))


sizes = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(2, 5), st.integers(1, 4))


@given(sizes, st.integers(0, 99), st.booleans())
def test_the_mean_divergence_is_the_formula_written_out(sizes: tuple[int, ...], seed: int, hard: bool) -> None:
    m, labels, c, k = sizes
    rng = np.random.default_rng(seed)
    known, own = rng.dirichlet(np.ones(c), labels), rng.dirichlet(np.ones(c), m)
    if hard:
        known = np.eye(c)[known.argmax(axis=1)]
    near = rng.integers(0, labels, (m, k))
    expected = [np.mean([slow_divergence(known[j], own[i]) for j in near[i]]) for i in range(m)]
    found = mean_divergence(known.astype(np.float32), near, own.astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=2e-4)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_multilabel_is_the_mean_over_yes_or_no_decisions(m: int, labels: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known, own, near = rng.random((labels, c)), rng.random((m, c)), rng.integers(0, labels, (m, 2))
    expected = [
        np.mean(
            [slow_divergence([a, 1 - a], [b, 1 - b]) for j in near[i] for a, b in zip(known[j], own[i], strict=True)]
        )
        for i in range(m)
    ]
    found = mean_divergence(known.astype(np.float32), near, own.astype(np.float32), multilabel=True)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def slow_score(state: State, known: Floats, k: int) -> list[float]:
    """One candidate at a time, all distances, all divergences."""
    points = state.vectors(state.labelled)
    out = []
    for x, own in zip(state.vectors(state.candidates), state.probabilities, strict=True):
        near = np.argsort(np.linalg.norm(points - x, axis=1), kind="stable")[:k]
        out.append(np.mean([slow_divergence(known[j].tolist(), own.tolist()) for j in near]))
    return out


def test_scores_agree_with_one_candidate_at_a_time() -> None:
    state = blobs(60, 15)
    np.testing.assert_allclose(
        Contrastive(neighbours=4).score(state), slow_score(state, state.foreseen, 4), atol=1e-3
    )


def test_labels_stand_in_smoothed_where_nothing_was_foreseen() -> None:
    state = blobs(60, 15, foreseen=None)
    expected = slow_score(state, smoothed(state.targets), 10)
    np.testing.assert_allclose(Contrastive().score(state), expected, atol=1e-3)
    np.testing.assert_allclose(smoothed(state.targets).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(smoothed(np.array([[1.0, 0.0]]), multilabel=True), [[0.975, 0.025]], atol=1e-6)


def test_a_text_judged_otherwise_than_its_neighbours_comes_first() -> None:
    points = np.concatenate([np.zeros((20, 2)), np.full((20, 2), 9.0)]).astype(np.float32)
    p = np.tile(np.array([[0.9, 0.1], [0.1, 0.9]], dtype=np.float32).repeat(10, axis=0), (1, 1))
    p[3] = [0.1, 0.9]  # a confident answer, and the wrong one among its neighbours
    state = State(
        np.r_[0:10, 20:30],
        1 - p.max(axis=1),
        lambda r: points[r],
        p,
        labelled=np.r_[10:20, 30:40],
        targets=np.eye(2, dtype=np.float32)[[0] * 10 + [1] * 10],
    )
    assert Contrastive().score(state).argmax() == 3


def test_most_candidates_of_a_large_pool_are_ranked_below_by_doubt() -> None:
    state = blobs(300, 20)
    scores = Contrastive(candidates=50).score(state)
    looked = scores >= 0
    assert looked.sum() == 50
    np.testing.assert_allclose(scores[~looked], state.doubt[~looked] - 2)
    assert set(np.argsort(-state.doubt)[:25].tolist()) <= set(np.flatnonzero(looked).tolist())
    np.testing.assert_allclose(scores[looked], Contrastive().score(state)[looked], atol=1e-5)
    np.testing.assert_array_equal(scores, Contrastive(candidates=50).score(state))


@pytest.mark.parametrize(
    "lack",
    [{"probabilities": None}, {"labelled": np.empty(0, int), "targets": np.empty((0, 3)), "foreseen": None},
     {"targets": None, "foreseen": None}, {"targets": ["a", "b"], "foreseen": None}],
)  # fmt: skip
def test_doubt_decides_where_there_are_no_neighbours_or_no_classes(lack: dict[str, object]) -> None:
    state = replace(blobs(30, 10), **lack)
    np.testing.assert_array_equal(Contrastive().score(state), state.doubt)


@pytest.mark.parametrize(
    ("n", "labels", "classes", "multilabel"), [(1, 1, 2, False), (40, 3, 2, True), (0, 5, 3, False)]
)
def test_small_pools_are_scored_and_composed(n: int, labels: int, classes: int, multilabel: bool) -> None:
    state = blobs(n, labels, classes, multilabel=multilabel)
    scores = Contrastive().score(state)
    assert scores.shape == (n,)
    assert scores.dtype == np.float32
    assert (scores >= 0).all()
    batch = compose(state, Contrastive(), 10, 0.2, np.random.default_rng(0))
    assert len({c.row for c in batch}) == min(10, n)


def test_copies_are_all_worth_the_same() -> None:
    state = replace(blobs(20, 10), vectors=lambda rows: np.ones((len(rows), 4), dtype=np.float32))
    state = replace(state, probabilities=np.full((20, 3), 1 / 3, dtype=np.float32))
    assert np.ptp(Contrastive().score(state)) < 1e-6


def test_scores_do_not_depend_on_the_number_of_threads() -> None:
    state, scores = blobs(2000, 100), []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            scores.append(Contrastive(candidates=900).score(state))
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("options", [{"candidates": 0}, {"neighbours": 0.5}, {"metric": "taxi"}])
def test_a_setting_out_of_range_is_named(options: dict[str, object]) -> None:
    with pytest.raises(JobFileError, match=rf"selection\.options\.{next(iter(options))}"):
        find_strategy("contrastive", options)
