"""The first batch: typical texts of every cluster."""

import json
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from agent.records import Floats, Rows
from agent.selection import cold_start, coldstart
from agent.selection.coldstart import most_like, zero_shot

CENTRES = np.eye(6, dtype=np.float32) * 20


def six_topics(each: int, seed: int = 0) -> Floats:
    """Six well-separated topics of `each` texts, text i of topic i % 6."""
    noise = np.random.default_rng(seed).normal(size=(6 * each, 6)).astype(np.float32)
    return np.tile(CENTRES, (each, 1)) + noise


def test_every_topic_gets_a_text_that_lies_at_its_heart() -> None:
    points = six_topics(100)
    batch = cold_start(np.arange(600), lambda rows: points[rows], 6, 0, np.random.default_rng(0))
    assert {c.row % 6 for c in batch} == set(range(6))
    away = np.linalg.norm(points - np.tile(CENTRES, (100, 1)), axis=1)
    assert np.mean([away[c.row] for c in batch]) < 0.75 * away.mean()


def test_an_outlier_does_not_take_the_place_of_a_typical_text() -> None:
    points = np.concatenate([six_topics(100), np.full((1, 6), -90, dtype=np.float32)])
    for seed in range(10):
        batch = cold_start(np.arange(601), lambda rows: points[rows], 8, 0, np.random.default_rng(seed))
        assert 600 not in [c.row for c in batch]


def test_a_random_slice_is_drawn_here_too_with_its_chance() -> None:
    points = six_topics(50)
    batch = cold_start(np.arange(300), lambda rows: points[rows], 30, 0.2, np.random.default_rng(0))
    assert Counter(c.slice for c in batch) == {"random": 6, "cold": 24}
    assert {c.probability for c in batch if c.slice == "random"} == {6 / 300}
    assert {c.probability for c in batch if c.slice == "cold"} == {None}


@pytest.mark.parametrize(("n", "size"), [(0, 5), (1, 5), (3, 5), (5, 5), (40, 20), (7, 0)])
@pytest.mark.parametrize("copies", [True, False])
def test_sizes_are_exact_also_for_copies_and_tiny_pools(n: int, size: int, copies: bool) -> None:
    points = np.ones((n, 3), dtype=np.float32) if copies else np.random.default_rng(0).normal(size=(n, 3))
    batch = cold_start(
        np.arange(n), lambda rows: points[rows].astype(np.float32), size, 0.2, np.random.default_rng(0)
    )
    assert len({c.row for c in batch}) == len(batch) == min(n, size)
    json.dumps([dict(c.why) for c in batch], allow_nan=False)


def test_the_same_seed_gives_the_same_batch_on_any_number_of_threads() -> None:
    points = six_topics(400)
    batches = []
    for threads in (1, 2, 4):
        with threadpool_limits(limits=threads):
            batches.append(cold_start(np.arange(2400), lambda r: points[r], 40, 0.2, np.random.default_rng(3)))
    assert batches[0] == batches[1] == batches[2]


def test_typicality_is_the_inverse_mean_distance_to_the_nearest_of_the_same_cluster() -> None:
    points = six_topics(12)
    batch = cold_start(np.arange(72), lambda rows: points[rows], 6, 0, np.random.default_rng(1))
    for chosen in batch:
        own = points[chosen.row % 6 :: 6]
        distances = np.sort(np.linalg.norm(own - points[chosen.row], axis=1))[1:21]
        assert chosen.score == pytest.approx(1 / distances.mean(), rel=1e-4)


def test_ten_million_rows_are_sampled_and_never_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coldstart, "SAMPLE", 500)
    asked = []

    def vectors(rows: Rows) -> Floats:
        asked.append(rows)
        return np.random.default_rng(int(rows[0])).normal(size=(len(rows), 4)).astype(np.float32)

    candidates = np.arange(10_000_000)
    tracemalloc.start()
    batch = cold_start(candidates, vectors, 20, 0.2, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(batch) == 20
    assert sum(len(r) for r in asked) == 500
    assert all((np.diff(r) > 0).all() for r in asked)
    assert peak < 200e6  # the indices of the candidates themselves are 80 MB


def test_zero_shot_is_a_softmax_over_the_cosines_to_the_classes() -> None:
    rng = np.random.default_rng(0)
    texts, names = rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=(3, 5)).astype(np.float32)
    found = zero_shot(texts, names, 0.1)
    for text, row in zip(texts, found, strict=True):
        cosines = np.array([text @ name / np.linalg.norm(text) / np.linalg.norm(name) for name in names])
        np.testing.assert_allclose(row, np.exp(cosines / 0.1) / np.exp(cosines / 0.1).sum(), rtol=1e-4)
    assert found.dtype == np.float32
    assert zero_shot(texts[:0], names).shape == (0, 3)
    assert np.isfinite(zero_shot(np.zeros((2, 5), dtype=np.float32), names, 1e-6)).all()
    with pytest.raises(ValueError, match="above 0"):
        zero_shot(texts, names, 0)


def test_a_class_that_typicality_would_pass_over_is_met_by_its_name() -> None:
    points = np.concatenate([six_topics(100), CENTRES[:1] * 0.5 + CENTRES[1:2] * 0.5 + np.eye(6)[4:5] * 6])
    points = points.astype(np.float32)
    names = np.concatenate([CENTRES, points[-1:]])  # the seventh class has a single text in the pool
    for seed in range(5):
        rng = np.random.default_rng(seed)
        batch = cold_start(np.arange(601), lambda r: points[r], 14, 0, rng, class_vectors=names)
        told = [c for c in batch if c.why["strategy"] == "zero_shot"]
        assert len({c.row for c in batch}) == 14
        assert sorted(c.why["class"] for c in told) == list(range(7))
        assert {(c.why["class"], c.row % 6) for c in told if c.why["class"] < 6} == {(i, i) for i in range(6)}
        assert [c.row for c in told if c.why["class"] == 6] == [600]
        assert Counter(c.slice for c in batch) == {"cold": 14}


def test_a_generic_text_does_not_win_every_class() -> None:
    names = np.eye(4, dtype=np.float32)
    generic = np.ones((1, 4), dtype=np.float32) / 2  # cosine 0.5 to each
    faint = np.eye(4, 8, dtype=np.float32) * 0.4 + np.eye(4, 8, 4, dtype=np.float32) * 0.92  # cosine 0.4 to one
    texts = np.concatenate([np.pad(generic, ((0, 0), (0, 4))), faint])
    likeness = zero_shot(texts, np.pad(names, ((0, 0), (0, 4))))
    found, classes = most_like(likeness, np.ones(5, dtype=np.float32), 4)
    assert 0 not in found
    assert sorted(classes.tolist()) == [0, 1, 2, 3]


def test_of_texts_as_like_a_class_the_most_typical_is_taken_and_turns_go_round() -> None:
    likeness = np.array([[0.99, 0.01], [0.98, 0.02], [0.2, 0.8], [0.97, 0.03]], dtype=np.float32)
    texts, classes = most_like(likeness, np.array([3, 1, 1, 2], dtype=np.float32), 4)
    assert texts.tolist() == [1, 2, 3, 0]
    assert classes.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(("n", "size"), [(0, 5), (1, 5), (3, 5), (40, 20), (40, 1)])
@pytest.mark.parametrize("classes", [0, 1, 50])
def test_sizes_are_exact_with_the_classes_names_too(n: int, size: int, classes: int) -> None:
    points = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    names = np.random.default_rng(1).normal(size=(classes, 3)).astype(np.float32)
    batches = [
        cold_start(np.arange(n), lambda r: points[r], size, 0.2, np.random.default_rng(0), class_vectors=names)
        for _ in range(2)
    ]
    assert batches[0] == batches[1]
    assert len({c.row for c in batches[0]}) == len(batches[0]) == min(n, size)
    json.dumps([dict(c.why) for c in batches[0]], allow_nan=False)
