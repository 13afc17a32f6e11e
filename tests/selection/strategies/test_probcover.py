"""ProbCover: the greedy cover and its radius, against the slow and obvious ones."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from threadpoolctl import threadpool_limits

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import compose, find_strategy
from agent.selection.seam import BatchStrategy, State
from agent.selection.strategies import probcover
from agent.selection.strategies.probcover import ProbCover, balls, greedy_cover, purity_radius
from tests.selection.strategies.test_typical import six_topics, state

grid = hnp.arrays(np.float32, st.tuples(st.integers(1, 25), st.just(2)), elements=st.integers(0, 6))


def all_distances(points: Floats) -> Floats:
    return np.sqrt(((points[:, None].astype(np.float64) - points) ** 2).sum(axis=2))


def slow_cover(near: Floats, covered: Floats, size: int, order: list[int]) -> list[int]:
    """Counts every ball again at every step."""
    covered, chosen = covered.copy(), []
    for _ in range(size):
        gains = [int((near[i] & ~covered).sum()) for i in range(len(near))]
        best = min((i for i in range(len(near)) if i not in chosen), key=lambda i: (-gains[i], order[i]))
        chosen.append(best)
        covered |= near[best]
    return chosen


@given(grid, st.sampled_from([0.5, 1.5, 2.5, 9.0]), st.data())
def test_the_lazy_greedy_chooses_what_the_slow_one_does(points: Floats, delta: float, data: st.DataObject) -> None:
    m = len(points)
    covered = np.array(data.draw(st.lists(st.booleans(), min_size=m, max_size=m)))
    order = data.draw(st.permutations(range(m)))
    size = data.draw(st.integers(0, m))
    chosen, added = greedy_cover(balls(points, delta), covered, size, np.array(order))
    near = all_distances(points) < delta
    assert chosen.tolist() == slow_cover(near, covered, size, order)
    assert covered.sum() + added.sum() == (covered | near[chosen].any(axis=0)).sum()


@given(grid, st.sampled_from([0.0, 0.5, 1.5, 4.0]), st.integers(1, 9))
def test_balls_hold_what_is_nearer_than_the_radius_and_always_themselves(
    points: Floats, delta: float, step: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probcover, "AT_ONCE", step)
        graph = balls(points, delta)
    expected = (all_distances(points) < delta) | np.eye(len(points), dtype=bool)
    np.testing.assert_array_equal(graph.toarray(), expected)


@given(grid, st.sampled_from([0.1, 0.5, 0.95, 1.0]), st.data())
def test_the_radius_is_the_largest_that_keeps_enough_balls_pure(
    points: Floats, alpha: float, data: st.DataObject
) -> None:
    m = len(points)
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=m, max_size=m)))
    distance, same = all_distances(points), labels[:, None] == labels

    def pure(delta: float) -> float:
        return float(np.mean([same[i][distance[i] < delta].all() for i in range(m)]))

    delta = purity_radius(points, labels, alpha)
    assert pure(delta * (1 - 1e-6)) >= alpha - 1e-9
    if math.isfinite(delta):
        assert pure(delta + 1e-4) < alpha
    else:
        assert np.mean(np.isinf(np.where(same, np.inf, distance).min(axis=1))) >= alpha - 1e-9


def test_every_topic_is_covered_before_any_gets_a_second_text() -> None:
    points = six_topics(50)
    for seed in range(5):
        made = ProbCover(metric="euclidean", delta=6.0).choose(state(points), 6, np.random.default_rng(seed))
        assert {int(i) % 6 for i in made.indices} == set(range(6))
        assert made.why["covered_share"][-1] > 0.95


def test_what_labelled_and_taken_texts_cover_is_not_covered_again() -> None:
    points = six_topics(50)
    here = state(points, labelled=[0, 1, 6, 7], taken=[0, 1])  # candidates 0 and 1 are rows 2 and 3
    made = ProbCover(metric="euclidean", delta=9.0).choose(here, 2, np.random.default_rng(0))
    assert {int(r) % 6 for r in here.candidates[made.indices]} == {4, 5}
    assert not set(made.indices.tolist()) & {0, 1}


def test_the_radius_found_from_purity_covers_most_of_what_clusters_well() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(6, dtype=np.float32)
    points = np.repeat(centres, 50, axis=0) + 0.05 * rng.normal(size=(300, 6)).astype(np.float32)
    p = np.full((300, 6), 1 / 6, dtype=np.float32)
    here = State(np.arange(300), np.zeros(300, dtype=np.float32), lambda r: points[r], p)
    made = ProbCover().choose(here, 6, np.random.default_rng(0))
    assert {int(i) // 50 for i in made.indices} == set(range(6))


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize(("n", "labels", "taken", "size"), [
    (1, 0, 0, 3), (4, 0, 1, 9), (30, 5, 3, 10), (30, 40, 0, 30), (5, 2, 5, 2), (12, 0, 0, 0),
])  # fmt: skip
def test_sizes_are_exact_also_for_copies_and_tiny_pools(
    n: int, labels: int, taken: int, size: int, copies: bool
) -> None:
    points = np.ones((n + labels, 3), np.float32) if copies else np.random.default_rng(0).normal(size=(n + labels, 3))
    here = state(points.astype(np.float32), list(range(n, n + labels)), list(range(taken)))
    strategy = ProbCover(sample=8)
    made = strategy.choose(here, size, np.random.default_rng(0))
    assert len(set(made.indices.tolist())) == len(made.indices) == len(made.scores) == min(size, n - taken)
    assert not set(made.indices.tolist()) & set(range(taken))
    assert all(len(column) == len(made.indices) for column in made.why.values())
    json.dumps({**made.why, "scores": made.scores.tolist()}, allow_nan=False)
    scores = strategy.score(here)
    assert scores.shape == (n,)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_the_score_alone_is_the_share_that_a_text_would_newly_cover() -> None:
    points = six_topics(50)
    here = state(points, labelled=[0])
    scores = ProbCover(metric="euclidean", delta=5.0).score(here)
    near = all_distances(points)[1:, 1:] < 5
    covered = all_distances(points)[0, 1:] < 5
    np.testing.assert_allclose(scores, (near & ~covered).mean(axis=1), atol=1e-6)


def test_the_same_seed_gives_the_same_batch_on_any_number_of_threads() -> None:
    points = np.random.default_rng(1).normal(size=(1500, 32)).astype(np.float32)
    made = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            batch = ProbCover().choose(state(points, [3, 4]), 30, np.random.default_rng(2))
            made.append((batch.indices.tolist(), batch.scores.tolist(), ProbCover().score(state(points)).tolist()))
    assert made[0] == made[1]


def test_it_can_be_named_in_a_job_and_fills_a_batch() -> None:
    strategy = find_strategy("probcover", {"sample": 100})
    assert isinstance(strategy, BatchStrategy)
    batch = compose(state(six_topics(50), [1, 2]), strategy, 20, 0.2, np.random.default_rng(0))
    assert [c.slice for c in batch] == ["random"] * 4 + ["unsure"] * 16
    assert batch[-1].why["looked_at"] == 100


@pytest.mark.parametrize("options", [
    {"sample": 0}, {"alpha": 0}, {"alpha": "most"}, {"delta": 0}, {"delta": math.inf}, {"metric": "taxi"},
])  # fmt: skip
def test_a_setting_out_of_range_is_named(options: dict[str, object]) -> None:
    with pytest.raises(JobFileError, match=rf"selection\.options\.{next(iter(options))}"):
        ProbCover(**options)
