"""Cluster-Margin: dealing, sampling, and clusters that stay the same."""

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
from agent.selection.strategies import cluster_margin
from agent.selection.strategies.cluster_margin import ClusterMargin, round_robin, sample


def islands(sizes: list[int], seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    middle = np.repeat(np.eye(len(sizes)) * 40, sizes, axis=0)
    return (middle + rng.normal(size=middle.shape)).astype(np.float32)


def state(points: Floats, labelled: int = 0, seed: int = 0, number: int = 1) -> State:
    rng = np.random.default_rng([seed, number])
    rows = rng.permutation(len(points))
    p = rng.dirichlet(np.ones(3), len(points) - labelled).astype(np.float32)
    return State(
        np.sort(rows[labelled:]),
        1 - p.max(axis=1),
        lambda r: points[r],
        p,
        labelled=np.sort(rows[:labelled]),
        seed=(seed, number),
    )


def slow_round_robin(groups: list[int]) -> list[int]:
    """Deal one of each cluster, small ones first, until nothing is left."""
    queues = {g: [i for i, h in enumerate(groups) if h == g] for g in set(groups)}
    turns = sorted(queues, key=lambda g: (len(queues[g]), g))
    out = []
    while any(queues.values()):
        out += [queues[g].pop(0) for g in turns if queues[g]]
    return out


@given(st.lists(st.integers(0, 6), max_size=40))
def test_dealing_agrees_with_queues(groups: list[int]) -> None:
    assert round_robin(np.array(groups, dtype=np.int64)).tolist() == slow_round_robin(groups)


@given(st.integers(1, 300), st.integers(1, 50), st.integers(1, 70), st.integers(0, 9))
def test_a_sample_does_not_depend_on_how_the_rows_are_cut(count: int, most: int, cut: int, seed: int) -> None:
    whole = sample(count, most, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_margin, "HASHED", cut)
        np.testing.assert_array_equal(sample(count, most, seed), whole)
    assert len(np.unique(whole)) == min(count, most)
    assert whole.max() < count


def test_a_sample_is_even_and_hardly_moves_where_the_pool_has_grown() -> None:
    found = sample(100_000, 5_000, 1)
    counts = np.histogram(found, 10, (0, 100_000))[0]
    assert counts.min() > 420  # 500 expected, standard deviation 21
    assert len(np.intersect1d(found, sample(100_100, 5_000, 1))) > 4_980
    assert len(np.intersect1d(found, sample(100_000, 5_000, 2))) < 400


def test_a_cluster_keeps_its_number_from_round_to_round() -> None:
    points = islands([60] * 8)
    rows = np.arange(len(points))
    strategy = ClusterMargin(clusters=8)
    first = strategy.assign(state(points, 0, number=1), rows)
    later = strategy.assign(state(points, 200, number=9), rows)
    np.testing.assert_array_equal(first, later)
    assert len(np.unique(first)) > 4


def test_each_text_belongs_to_its_nearest_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    monkeypatch.setattr(space, "CHUNK", 64)
    groups = ClusterMargin(clusters=7).assign(state(points), np.arange(400))
    centres = np.array([points[groups == g].mean(axis=0) for g in range(7)])
    away = np.linalg.norm(points[:, None] - centres[None], axis=2)
    assert (away.argmin(axis=1) == groups).mean() > 0.8  # up to the steps that k-means did not take


def test_the_batch_is_of_the_smallest_margins_and_meets_every_cluster_of_them() -> None:
    points = islands([100, 300, 50, 20, 30])
    given_state = state(points)
    strategy = ClusterMargin(ratio=4, clusters=5)
    scores = strategy.score(given_state)
    made = strategy.choose(given_state, 25, np.random.default_rng(0))
    assert scores[made.indices].min() >= np.sort(scores)[-100]
    short = np.argsort(-scores)[:100]
    met = set(strategy.assign(given_state, given_state.candidates[short]).tolist())
    assert set(made.why["cluster"]) == met
    assert set(made.why["cluster"][: len(met)]) == met  # in the first turn
    assert made.why["cluster_on_shortlist"][: len(met)] == sorted(made.why["cluster_on_shortlist"][: len(met)])
    np.testing.assert_array_equal(made.scores, scores[made.indices])


def test_a_rare_corner_gets_its_turn() -> None:
    points = islands([990, 10])
    doubt = np.full(1000, 0.8, dtype=np.float32)
    doubt[-10:] = 0.7
    rare = State(np.arange(1000), np.float32(0.5) * (doubt < 0.75) + np.float32(0.4), lambda rows: points[rows])
    made = ClusterMargin(clusters=2).choose(rare, 10, np.random.default_rng(0))
    assert (made.indices >= 990).sum() >= 5


def test_vectors_are_read_for_the_sample_and_the_shortlist_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_margin, "SAMPLE", 200)
    points, reads = np.random.default_rng(0).normal(size=(5_000, 4)).astype(np.float32), []
    given_state = replace(
        state(points),
        vectors=lambda r: reads.append(len(r)) or points[r],  # type: ignore[func-returns-value]
    )
    ClusterMargin(metric="cosine").choose(given_state, 10, np.random.default_rng(0))
    assert sum(reads) == 200 + 100


@pytest.mark.parametrize("wrong", [{"ratio": 0.5}, {"clusters": 0}, {"metric": "l1"}])
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(JobFileError, match=f"selection.options.{next(iter(wrong))}"):
        ClusterMargin(**wrong)
