"""What an audit looks at: every label has a known chance, the doubted ones a larger one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audit import allocate, bands, draw, size_for

RIGHT = st.lists(st.sampled_from([0.3, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999]), min_size=1, max_size=300)


@given(RIGHT, st.integers(1, 400), st.integers(0, 5))
def test_a_draw_has_no_label_twice_and_knows_every_chance(right: list[float], size: int, seed: int) -> None:
    chances = np.array(right)
    strata = bands(chances)
    found = draw(size, chances, strata, np.random.default_rng(seed))
    assert len(found.items) == min(size, len(right))
    assert len(set(found.items.tolist())) == len(found.items)
    assert found.sizes.sum() == len(right)
    for place, stratum, chance in zip(found.items, found.strata, found.chances, strict=True):
        assert strata[place] == stratum
        drawn = (found.strata == stratum).sum()
        assert chance == pytest.approx(drawn / found.sizes[stratum])
    for h, mean in enumerate(found.expected):
        assert mean == pytest.approx(chances[strata == h].mean())


@given(RIGHT)
def test_strata_follow_doubt_and_part_no_equals(right: list[float]) -> None:
    chances = np.array(right)
    strata = bands(chances)
    assert set(strata.tolist()) == set(range(int(strata.max()) + 1))
    order = np.argsort(chances, kind="stable")
    assert (np.diff(strata[order]) >= 0).all()
    for value in np.unique(chances):
        assert len(set(strata[chances == value].tolist())) == 1


def test_every_label_of_a_stratum_is_drawn_as_often_as_its_chance_says() -> None:
    right = np.array([0.5] * 30 + [0.99] * 70)
    strata, rng = bands(right, cuts=(0.3,)), np.random.default_rng(0)
    times = np.zeros(100)
    for _ in range(3000):
        found = draw(20, right, strata, rng)
        times[found.items] += 1
    expected = np.empty(100)
    expected[found.items] = found.chances
    for h in (0, 1):
        here = strata == h
        assert times[here].mean() / 3000 == pytest.approx(found.chances[found.strata == h][0], abs=1e-9)
        assert np.abs(times[here] / 3000 - times[here].mean() / 3000).max() < 0.05


def test_doubted_labels_are_looked_at_more_closely_and_sure_ones_are_looked_at_too() -> None:
    sizes, expected = np.array([1000, 9000]), np.array([0.7, 0.999])
    doubted, sure = allocate(200, sizes, expected).tolist()
    assert doubted + sure == 200
    assert doubted / 1000 > 2 * sure / 9000
    assert sure >= 10


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1)), min_size=1, max_size=6), st.integers(0, 2000))
def test_all_items_are_dealt_and_none_beyond_what_there_is(strata: list[tuple[int, float]], size: int) -> None:
    sizes, expected = np.array([s for s, _ in strata]), np.array([e for _, e in strata])
    found = allocate(size, sizes, expected)
    assert found.sum() == min(size, sizes.sum())
    assert (found >= 0).all()
    assert (found <= sizes).all()


def test_a_narrower_interval_takes_more_items_and_no_labels_take_none() -> None:
    sizes, expected = np.array([2000, 18000]), np.array([0.8, 0.98])
    wide, narrow = size_for(0.03, sizes, expected), size_for(0.01, sizes, expected)
    assert 0 < wide < narrow < 20000
    assert size_for(1e-6, sizes, expected) == 20000
    assert bands(np.empty(0)).size == 0
    assert draw(5, np.empty(0), bands(np.empty(0)), np.random.default_rng(0)).items.size == 0
