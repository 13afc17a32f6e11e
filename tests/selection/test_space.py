"""Distances, each against the obvious all-pairs version that the fast one must not be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_info, threadpool_limits

from agent.records import Floats
from agent.selection import space


def points(n: int, seed: int) -> Floats:
    return np.random.default_rng(seed).integers(0, 4, (n, 3)).astype(np.float32)


@settings(deadline=None)
@given(st.integers(1, 25), st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_neighbour_distance_agrees_with_all_pairs(n: int, kinds: int, neighbours: int, seed: int) -> None:
    vectors, groups = points(n, seed), np.random.default_rng(seed).integers(0, kinds, n)
    found = space.neighbour_distance(vectors, groups, neighbours)
    for i in range(n):
        others = [np.linalg.norm(vectors[i] - vectors[j]) for j in range(n) if j != i and groups[j] == groups[i]]
        expected = np.mean(sorted(others)[:neighbours]) if others else np.inf
        assert found[i] == pytest.approx(expected, abs=1e-5)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 5), st.integers(0, 99))
def test_farthest_first_agrees_with_asking_every_point_again(n: int, known: int, seed: int) -> None:
    vectors, covered = points(n, seed), points(known, seed + 1)
    chosen, distances = space.farthest_first(vectors, covered, n)
    assert sorted(chosen.tolist()) == list(range(n))
    for step, best in enumerate(chosen.tolist()):
        near = np.concatenate([covered, vectors[chosen[:step]]])
        away = np.linalg.norm(vectors[:, None] - near[None], axis=2).min(axis=1)
        assert away[best] == pytest.approx(np.delete(away, chosen[:step]).max(), abs=1e-5)
        assert distances[step] == pytest.approx(away[best], abs=1e-5)


@given(st.lists(st.integers(0, 4), max_size=30))
def test_turn_counts_those_of_the_same_group_before_it(groups: list[int]) -> None:
    expected = [groups[:i].count(group) for i, group in enumerate(groups)]
    assert space.turn(np.array(groups, dtype=np.int64)).tolist() == expected


def test_clear_clusters_are_found() -> None:
    vectors = np.repeat(np.eye(5, dtype=np.float32) * 10, 30, axis=0)
    groups = space.clusters(vectors, 5, np.random.default_rng(0))
    assert all(len(set(groups[i * 30 : (i + 1) * 30].tolist())) == 1 for i in range(5))


@pytest.mark.parametrize(("n", "count"), [(0, 3), (1, 3), (3, 3), (3, 9), (4, 1)])
def test_fewer_vectors_than_clusters_is_no_trouble(n: int, count: int) -> None:
    groups = space.clusters(np.ones((n, 2), dtype=np.float32), count, np.random.default_rng(0))
    assert groups.shape == (n,)


def test_clustering_runs_on_one_thread_whatever_the_machine_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums differ in the last digit with the number of threads, and a batch could tip over it."""
    used = []

    class Watched(MiniBatchKMeans):  # type: ignore[misc]
        def fit_predict(self, *args: object, **options: object) -> object:
            used.extend(library["num_threads"] for library in threadpool_info())
            return super().fit_predict(*args, **options)

    monkeypatch.setattr("sklearn.cluster.MiniBatchKMeans", Watched)
    with threadpool_limits(limits=3):
        space.clusters(points(40, 0), 4, np.random.default_rng(0))
        assert max(library["num_threads"] for library in threadpool_info()) == 3
    assert set(used) == {1}


def test_reading_keeps_the_order_asked_for() -> None:
    stored = np.arange(20, dtype=np.float16).reshape(10, 2)
    found = space.read(lambda rows: stored[rows], np.array([7, 2, 9]))
    np.testing.assert_array_equal(found, stored[[7, 2, 9]])
    assert found.dtype == np.float32


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 9), st.sampled_from([1, 3, 100]), st.integers(0, 99))
def test_the_nearest_centre_agrees_with_all_pairs(n: int, known: int, at_once: int, seed: int) -> None:
    vectors, centres = points(n, seed), points(known, seed + 1)
    squared = ((vectors[:, None] - centres[None]) ** 2).sum(axis=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space, "CENTRES", at_once)
        np.testing.assert_array_equal(space.nearest_squared(vectors, centres), squared.min(axis=1))
    np.testing.assert_array_equal(space.nearest(vectors, centres), squared.argmin(axis=1))


@given(st.integers(1, 20), st.integers(0, 99))
def test_cosine_is_half_the_squared_distance_of_what_was_measured(n: int, seed: int) -> None:
    vectors = points(n, seed) + np.float32(1)
    read = space.measured(lambda rows: vectors[rows], "cosine")(np.arange(n))
    angle = 1 - (vectors @ vectors[0]) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[0])
    found = space.shown(space.nearest_squared(read, read[:1]), "cosine")
    np.testing.assert_allclose(found, angle, atol=1e-5)


def test_a_vector_of_zeros_stays_as_it_is() -> None:
    np.testing.assert_array_equal(
        space.unit(np.array([[0, 0], [3, 4]], dtype=np.float32)), np.array([[0, 0], [0.6, 0.8]], dtype=np.float32)
    )


def test_chunks_cover_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "CHUNK", 4)
    assert [(c.start, c.stop) for c in space.chunks(10)] == [(0, 4), (4, 8), (8, 10)]
    assert list(space.chunks(0)) == []
