"""Greedy k-center: the lazy one against measuring everything anew after each choice."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.records import Floats
from agent.selection import space
from agent.selection.seam import State
from agent.selection.strategies import coreset
from agent.selection.strategies.coreset import KCenter


def whole_numbers(n: int, seed: int, spread: int = 6) -> Floats:
    """Points whose distances have no rounding, and many of which are equal."""
    return np.random.default_rng(seed).integers(-spread, spread, (n, 3)).astype(np.float32)


def state(points: Floats, labelled: int, taken: int = 0) -> State:
    n = len(points) - labelled
    rows = np.arange(len(points))
    doubt = np.linspace(0, 1, n, dtype=np.float32)
    return State(rows[:n], doubt, lambda r: points[r], labelled=rows[n:], taken=np.arange(taken))


def slow_k_center(points: Floats, covered: Floats, free: list[int], size: int) -> tuple[list[int], list[float]]:
    """Every distance to every centre, after every choice; the first of equals."""
    centres, chosen, at = list(covered), [], []
    for _ in range(size):
        left = [i for i in free if i not in chosen]
        away = [min(float(((points[i] - c) ** 2).sum()) for c in centres) for i in left]
        best = int(np.argmax(away))
        chosen.append(left[best])
        at.append(away[best])
        centres.append(points[left[best]])
    return chosen, at


@settings(deadline=None)
@given(
    st.integers(1, 60),
    st.tuples(st.integers(0, 5), st.integers(0, 4)),
    st.integers(1, 70),
    st.tuples(st.sampled_from([3, 12, 45, 10_000]), st.integers(1, 20)),
    st.integers(0, 999),
)
def test_the_lazy_choice_is_the_slow_one(
    n: int, known_already: tuple[int, int], size: int, at_once: tuple[int, int], seed: int
) -> None:
    (labelled, taken), (held, chunk) = known_already, at_once
    points = whole_numbers(n + labelled + taken, seed)
    given_state = state(points, labelled, taken)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coreset, "HELD_NUMBERS", held)
        patch.setattr(coreset, "COVERED_AT_ONCE", 2)
        patch.setattr(space, "CHUNK", chunk)
        patch.setattr(space, "CENTRES", 2)
        made = KCenter().choose(given_state, size, np.random.default_rng(seed))
    known = np.concatenate([points[given_state.labelled], points[:taken]])
    free, found = given_state.free().tolist(), made.indices.tolist()
    drawn = 0 if len(known) else 1
    covered = points[found[:1]] if drawn else known
    left = [i for i in free if i not in found[:drawn]]
    expected, at = slow_k_center(points, covered, left, min(size, n) - drawn)
    assert found[drawn:] == expected
    np.testing.assert_allclose(made.scores[drawn:], np.sqrt(at), rtol=1e-6)


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(1, 4), st.integers(0, 99))
def test_cosine_means_the_angle_whatever_the_length(n: int, labelled: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n + labelled, 4)).astype(np.float32) * rng.uniform(0.1, 9, (n + labelled, 1))
    made = KCenter(metric="cosine").choose(state(points.astype(np.float32), labelled), n, rng)
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    near = units[n:]
    for i, distance in zip(made.indices, made.scores, strict=True):
        away = 1 - (units[:n] @ near.T).max(axis=1)
        assert distance == pytest.approx(away[i], abs=1e-5)
        assert away[i] == pytest.approx(away.max(), abs=1e-5)
        near = np.vstack([near, units[i]])


@given(st.integers(1, 30), st.integers(0, 4), st.integers(0, 99))
def test_the_score_is_the_distance_to_what_is_known(n: int, labelled: int, seed: int) -> None:
    points = whole_numbers(n + labelled, seed)
    away = np.linalg.norm(points[:n, None] - points[None, n:], axis=2).min(axis=1, initial=np.inf)
    np.testing.assert_allclose(KCenter().score(state(points, labelled)), away if labelled else np.zeros(n), atol=1e-5)


def test_far_islands_are_all_met_before_any_is_met_twice() -> None:
    rng = np.random.default_rng(0)
    islands = np.repeat(np.eye(8) * 50, 40, axis=0)
    points = (islands + rng.normal(size=islands.shape)).astype(np.float32)
    made = KCenter().choose(state(points, 0), 8, rng)
    assert sorted((made.indices // 40).tolist()) == list(range(8))
    assert made.why["distance"][0] is None  # drawn by chance: nothing was known to be far from
    assert min(made.why["distance"][1:]) > 50


def test_few_rows_are_read_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(1).normal(size=(20_100, 8)).astype(np.float32)
    monkeypatch.setattr(coreset, "HELD_NUMBERS", 8 * 1000)
    reads = []
    given_state = state(points, 100)
    counted = State(
        given_state.candidates,
        given_state.doubt,
        lambda r: reads.append(len(r)) or points[r],  # type: ignore[func-returns-value]
        labelled=given_state.labelled,
    )
    KCenter().choose(counted, 100, np.random.default_rng(0))
    assert sum(reads) < 2 * len(points)
    assert max(reads) <= space.CHUNK


def test_a_vector_that_is_no_number_is_the_last_to_be_asked() -> None:
    points = whole_numbers(40, 5)
    points[7, 1] = np.nan
    found = KCenter().choose(state(points, 3), 37, np.random.default_rng(0)).indices.tolist()
    assert sorted(found) == list(range(37))
    assert 7 not in found[:20]


@pytest.mark.parametrize("among", ["random", "uncertain"])
def test_a_cut_pool_still_gives_as_many_as_wanted(among: str) -> None:
    points = whole_numbers(120, 3)
    made = KCenter(candidates=20, among=among).choose(state(points, 20, 5), 30, np.random.default_rng(0))
    assert len(set(made.indices.tolist())) == 30
    assert made.why["looked_at"] == [30] * 30
    if among == "uncertain":
        assert made.indices.min() >= 70  # the doubt rises with the row


@pytest.mark.parametrize("wrong", [{"metric": "manhattan"}, {"candidates": 0}, {"among": "all"}, {"uncovered": 2}])
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(JobFileError, match=f"selection.options.{next(iter(wrong))}"):
        KCenter(**wrong)
