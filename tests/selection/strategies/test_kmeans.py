"""One text of each cluster: nearest to the centre, against the same written out."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import space
from agent.selection.seam import State
from agent.selection.strategies.kmeans import KMeans, nearest_to_centres


def islands(count: int, members: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return (np.repeat(np.eye(count) * 40, members, axis=0) + rng.normal(size=(count * members, count))).astype(
        np.float32
    )


def state(points: Floats, doubt: Floats | None = None) -> State:
    n = len(points)
    return State(np.arange(n), np.ones(n, np.float32) if doubt is None else doubt, lambda rows: points[rows])


@given(st.integers(1, 25), st.integers(1, 5), st.booleans(), st.integers(0, 999))
def test_the_order_is_by_turn_and_by_distance_to_the_weighted_mean(
    n: int, kinds: int, heavy: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points, groups = rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, kinds, n)
    weights = rng.uniform(0.1, 1, n).astype(np.float32) if heavy else None
    order, squared = nearest_to_centres(points, groups, weights)
    counts = np.ones(n) if weights is None else weights
    turns: list[tuple[int, int]] = []
    for group in range(kinds):
        mine = [i for i in range(n) if groups[i] == group]
        if not mine:
            continue
        centre = sum(float(counts[i]) * points[i].astype(float) for i in mine) / sum(float(counts[i]) for i in mine)
        for i in mine:
            assert squared[i] == pytest.approx(float(((points[i] - centre) ** 2).sum()), abs=1e-4)
        ranked = [i for i in order.tolist() if i in mine]
        assert all(squared[a] <= squared[b] for a, b in itertools.pairwise(ranked))
        turns += [(ranked.index(i), i) for i in mine]
    turn_of = {i: turn for turn, i in turns}
    seen = [turn_of[i] for i in order.tolist()]
    assert sorted(order.tolist()) == list(range(n))
    assert seen == sorted(seen)


@given(st.integers(1, 20), st.integers(1, 4), st.integers(0, 99))
def test_the_mean_of_each_group_is_its_weighted_mean(n: int, kinds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, groups = rng.normal(size=(n, 2)).astype(np.float32), rng.integers(0, kinds, n)
    weights = rng.random(n) + 0.1
    found = space.means(points, groups, weights.astype(np.float32))
    for group in range(int(groups.max()) + 1):
        mine = groups == group
        expected = np.average(points[mine], axis=0, weights=weights[mine]) if mine.any() else np.zeros(2)
        np.testing.assert_allclose(found[group], expected, atol=1e-5)


def test_one_text_of_each_island() -> None:
    made = KMeans().choose(state(islands(6, 30)), 6, np.random.default_rng(0))
    assert sorted((made.indices // 30).tolist()) == list(range(6))
    assert len(set(made.why["cluster"])) == 6
    assert max(made.why["distance"]) < 4


def test_only_the_least_sure_are_clustered() -> None:
    points = islands(4, 100)
    doubt = np.random.default_rng(0).random(400).astype(np.float32)
    made = KMeans(candidates=40).choose(state(points, doubt), 10, np.random.default_rng(0))
    assert doubt[made.indices].min() >= np.sort(doubt)[-40]
    assert made.why["looked_at"] == [40] * 10


def test_a_heavy_text_draws_the_centre_to_itself() -> None:
    points = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [10, 0]], dtype=np.float32)
    doubt = np.array([0.01, 0.01, 0.01, 0.01, 1], dtype=np.float32)
    rng = np.random.default_rng(0)
    assert KMeans().choose(state(points, doubt), 1, rng).indices.tolist() == [3]  # the mean is 3.2
    assert KMeans(weighted=True).choose(state(points, doubt), 1, rng).indices.tolist() == [4]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_chance_and_metric_are_settings(metric: str) -> None:
    strategy = KMeans(metric=metric, among="random", candidates=50, weighted=True)
    made = strategy.choose(state(islands(5, 40)), 5, np.random.default_rng(2))
    assert sorted((made.indices // 40).tolist()) == list(range(5))


@pytest.mark.parametrize("wrong", [{"metric": 3}, {"candidates": 1.5}, {"among": "all"}, {"weighted": "yes"}])
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(JobFileError, match=f"selection.options.{next(iter(wrong))}"):
        KMeans(**wrong)
