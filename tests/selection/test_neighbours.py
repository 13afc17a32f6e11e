"""Nearest neighbours: the blocked search against sorting all distances, and what is said without an extra."""

import sys
import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from threadpoolctl import threadpool_limits

from agent.errors import ExtraMissing
from agent.records import Floats, Rows
from agent.selection import neighbours
from agent.selection.neighbours import index, nearest, squared_distances, unit

small = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=st.integers(-4, 4))


def slow(queries: Floats, points: Floats, metric: str) -> Floats:
    """All distances, (q, m)."""
    q, p = queries.astype(np.float64), points.astype(np.float64)
    if metric == "euclidean":
        return np.sqrt(((q[:, None] - p) ** 2).sum(axis=2))
    lengths = np.maximum(np.linalg.norm(q, axis=1), 1e-12)[:, None] * np.maximum(np.linalg.norm(p, axis=1), 1e-12)
    return 1 - q @ p.T / lengths


@given(small, small, st.integers(1, 15), st.integers(1, 5))
def test_euclidean_neighbours_agree_with_sorting_all_distances(q: Floats, p: Floats, k: int, step: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "POINTS", step)
        patch.setattr(neighbours, "QUERIES", step)
        patch.setattr(neighbours, "NUMBERS", 10)
        found, away = nearest(q, p, k)
    everything = slow(q, p, "euclidean")
    assert found.shape == away.shape == (len(q), min(k, len(p)))
    np.testing.assert_allclose(away, np.sort(everything, axis=1)[:, :k], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(everything, found, axis=1), away, atol=1e-5)
    assert all(len(set(row)) == len(row) for row in found.tolist())


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(0, 99))
def test_cosine_neighbours_agree_with_sorting_all_distances(q: int, m: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries, points = (rng.normal(size=(count, 5)).astype(np.float32) for count in (q, m))
    _, away = nearest(queries, points, k, "cosine")
    np.testing.assert_allclose(away, np.sort(slow(queries, points, "cosine"), axis=1)[:, :k], atol=1e-5)


def test_a_text_is_its_own_neighbour_at_no_distance_however_long_its_vector() -> None:
    points = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32) + 1000
    found, away = nearest(points, points, 1)
    assert away.max() == 0
    assert (found[:, 0] == np.arange(50)).all()


def test_positions_are_those_in_the_given_rows() -> None:
    points = np.arange(20, dtype=np.float32)[:, None]
    rows = np.array([15, 3, 9])
    found, away = index(lambda r: points[r], rows).search(np.array([[10.0]], dtype=np.float32), 2)
    assert rows[found].tolist() == [[9, 15]]
    assert away.tolist() == [[1, 5]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_nothing_asked_and_nothing_there(metric: neighbours.Metric) -> None:
    none, some = np.empty((0, 3), dtype=np.float32), np.ones((2, 3), dtype=np.float32)
    for queries, points in ((none, some), (some, none), (none, none)):
        found, away = nearest(queries, points, 4, metric)
        assert found.shape == away.shape == (len(queries), min(4, len(points)))


def test_a_pool_is_read_forward_block_by_block_in_flat_memory() -> None:
    asked: list[Rows] = []

    def vectors(rows: Rows) -> Floats:
        asked.append(rows)
        return np.random.default_rng(int(rows[0])).normal(size=(len(rows), 16)).astype(np.float32)

    tracemalloc.start()
    found, _ = index(vectors, np.arange(200_000)).search(np.zeros((3, 16), dtype=np.float32), 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (3, 5)
    assert max(len(rows) for rows in asked) == neighbours.POINTS
    assert peak < 10e6


def test_neighbours_do_not_depend_on_the_number_of_threads() -> None:
    points = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
    answers = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            answers.append(nearest(points[:200], points, 7))
    np.testing.assert_array_equal(answers[0][0], answers[1][0])
    np.testing.assert_array_equal(answers[0][1], answers[1][1])


@given(small)
def test_unit_vectors_have_length_one_and_zeros_stay(points: Floats) -> None:
    lengths = np.linalg.norm(unit(points), axis=1)
    np.testing.assert_allclose(lengths, points.any(axis=1), atol=1e-6)


@given(small, small)
def test_squared_distances_are_those_of_the_differences(a: Floats, b: Floats) -> None:
    np.testing.assert_array_equal(squared_distances(a, b), ((a[:, None] - b) ** 2).sum(axis=2))


@pytest.mark.parametrize(("backend", "package"), [("usearch", "usearch"), ("faiss", "faiss-cpu")])
def test_an_index_that_is_not_installed_is_named_with_its_pip_line(
    backend: neighbours.Backend, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ExtraMissing, match=rf"{backend}.*pip install {package}$"):
        nearest(np.zeros((1, 2)), np.zeros((3, 2)), 1, backend=backend)


@pytest.mark.parametrize("backend", ["usearch", "faiss"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_an_approximate_index_finds_nearly_all_true_neighbours(
    backend: neighbours.Backend, metric: neighbours.Metric
) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    points = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    found, away = nearest(points[:100], points, 10, metric, backend)
    true, distances = nearest(points[:100], points, 10, metric)
    same = [len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True)]
    assert np.mean(same) > 9
    np.testing.assert_allclose(away[:, :3], distances[:, :3], atol=0.05)
    again, _ = nearest(points[:100], points, 10, metric, backend)
    np.testing.assert_array_equal(found, again)
