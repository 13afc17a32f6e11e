"""TypiClust: typical texts of clusters without a label."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import compose, find_strategy, space
from agent.selection.seam import BatchStrategy, State
from agent.selection.strategies.typical import TINY, TypiClust, typical_order, typicality

CENTRES = np.eye(6, dtype=np.float32) * 20


def six_topics(each: int, seed: int = 0) -> Floats:
    """Six well-separated topics of `each` texts, text i of topic i % 6."""
    noise = np.random.default_rng(seed).normal(size=(6 * each, 6)).astype(np.float32)
    return np.tile(CENTRES, (each, 1)) + noise


def state(points: Floats, labelled: list[int] | None = None, taken: list[int] | None = None) -> State:
    """All points but the labelled ones are candidates."""
    known = np.array(labelled or [], dtype=np.int64)
    rows = np.setdiff1d(np.arange(len(points)), known)
    doubt = np.zeros(len(rows), dtype=np.float32)
    return State(
        rows, doubt, lambda r: points[r], labelled=known, taken=np.array(taken or [], dtype=np.int64), seed=(5, 1)
    )


def slow_order(distance: list[float], groups: list[int], held: list[int]) -> list[int]:
    """Turn by turn, cluster by cluster."""
    sizes = {g: groups.count(g) for g in groups}
    least = min(TINY, len(groups) / len(sizes) / 4)
    places = []
    for g, size in sizes.items():
        members = sorted((i for i in range(len(groups)) if groups[i] == g), key=lambda i: (distance[i], i))
        for turn, i in enumerate(members):
            places.append((turn + held[g] + (size < least), -size, g, turn, i))
    return [place[-1] for place in sorted(places)]


@given(st.data())
def test_the_order_agrees_with_taking_turns_cluster_by_cluster(data: st.DataObject) -> None:
    m = data.draw(st.integers(1, 40))
    groups = data.draw(st.lists(st.integers(0, 5), min_size=m, max_size=m))
    distance = data.draw(st.lists(st.sampled_from([0.5, 1.0, 2.0, np.inf]), min_size=m, max_size=m))
    held = data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6))
    found = typical_order(np.array(distance), np.array(groups), np.array(held))
    assert found.tolist() == slow_order(distance, groups, held)


def test_typicality_is_the_inverse_distance_and_nothing_for_a_lone_text() -> None:
    np.testing.assert_allclose(typicality(np.array([0.5, 2, np.inf], dtype=np.float32)), [2, 0.5, 0])


def test_after_one_label_a_topic_the_batch_goes_to_the_others() -> None:
    points = six_topics(60)
    met = []
    for seed in range(5):
        strategy = TypiClust(clusters=6)
        here = state(points, labelled=[0, 1, 2])
        made = strategy.choose(here, 3, np.random.default_rng(seed))
        met.append({int(r) % 6 for r in here.candidates[made.indices]})
    assert met == [{3, 4, 5}] * 5


def test_what_is_taken_counts_as_labelled() -> None:
    points = six_topics(60)
    here = state(points, taken=[0, 1, 2, 3, 4])
    made = TypiClust(clusters=6).choose(here, 1, np.random.default_rng(0))
    assert made.indices.tolist()[0] % 6 == 5
    assert not set(made.indices.tolist()) & {0, 1, 2, 3, 4}


def test_the_chosen_lie_at_the_heart_of_their_cluster() -> None:
    points = six_topics(60)
    made = TypiClust().choose(state(points), 6, np.random.default_rng(0))
    away = np.linalg.norm(points - np.tile(CENTRES, (60, 1)), axis=1)
    assert away[made.indices].mean() < 0.75 * away.mean()
    own = points[made.indices[0] % 6 :: 6]
    near = np.sort(np.linalg.norm(own - points[made.indices[0]], axis=1))[1 : space.NEIGHBOURS + 1]
    assert made.scores[0] == pytest.approx(1 / near.mean(), rel=1e-3)


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize(("n", "labels", "taken", "size"), [
    (1, 0, 0, 3), (4, 0, 1, 9), (30, 5, 3, 10), (30, 40, 0, 30), (5, 2, 5, 2), (12, 0, 0, 0),
])  # fmt: skip
def test_sizes_are_exact_also_for_copies_and_tiny_pools(
    n: int, labels: int, taken: int, size: int, copies: bool
) -> None:
    points = np.ones((n + labels, 3), np.float32) if copies else np.random.default_rng(0).normal(size=(n + labels, 3))
    here = state(points.astype(np.float32), list(range(n, n + labels)), list(range(taken)))
    strategy = TypiClust(sample=8)
    made = strategy.choose(here, size, np.random.default_rng(0))
    assert len(set(made.indices.tolist())) == len(made.indices) == len(made.scores) == min(size, n - taken)
    assert not set(made.indices.tolist()) & set(range(taken))
    assert all(len(column) == len(made.indices) for column in made.why.values())
    json.dumps({**made.why, "scores": made.scores.tolist()}, allow_nan=False)
    scores = strategy.score(here)
    assert scores.shape == (n,)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_a_large_pool_is_sampled() -> None:
    points = six_topics(500)
    read = []
    here = state(points)
    here = State(here.candidates, here.doubt, lambda r: read.append(len(r)) or points[r])
    TypiClust(sample=200).choose(here, 10, np.random.default_rng(0))
    assert sum(read) == 200


def test_the_same_seed_gives_the_same_batch_on_any_number_of_threads() -> None:
    points = np.random.default_rng(1).normal(size=(2000, 32)).astype(np.float32)
    made = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            batch = TypiClust().choose(state(points, [3, 4]), 30, np.random.default_rng(2))
            made.append((batch.indices.tolist(), batch.scores.tolist(), TypiClust().score(state(points)).tolist()))
    assert made[0] == made[1]


def test_it_can_be_named_in_a_job_and_fills_a_batch() -> None:
    strategy = find_strategy("typiclust", {"sample": 500, "clusters": 30})
    assert isinstance(strategy, BatchStrategy)
    batch = compose(state(six_topics(50), [1, 2]), strategy, 20, 0.2, np.random.default_rng(0))
    assert [c.slice for c in batch] == ["random"] * 4 + ["unsure"] * 16
    assert batch[-1].why["looked_at"] == 294


@pytest.mark.parametrize("options", [{"sample": 0}, {"clusters": 1.5}, {"uncovered": 2}])
def test_a_setting_out_of_range_is_named(options: dict[str, object]) -> None:
    with pytest.raises(JobFileError, match=rf"selection\.options\.{next(iter(options))}"):
        TypiClust(**options)
