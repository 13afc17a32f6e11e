"""Weights that undo selection: against the formula written out, and over every way a draw could have gone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.selection.weighting import batch_lure, clip, drawn, lure

CHANCES = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=12)


def slow_lure(q: list[float], n: int) -> list[float]:
    """Farquhar, Gal and Rainforth 2021, eq. 4, term by term."""
    m_all = len(q)
    out = []
    for m, chance in enumerate(q, start=1):
        if n == m:  # the last text of the pool: (N - M) / (N - m) is 0 / 0, and nothing is left to stand for
            out.append(1.0)
        else:
            out.append(1 + (n - m_all) / (n - m) * (1 / ((n - m + 1) * chance) - 1))
    return out


@given(CHANCES, st.integers(0, 50))
def test_lure_is_the_formula_of_the_paper(q: list[float], more: int) -> None:
    n = len(q) + more
    assert lure(np.array(q), n) == pytest.approx(slow_lure(q, n))


@given(CHANCES, st.integers(0, 50))
def test_batches_of_one_are_lure(q: list[float], more: int) -> None:
    n = len(q) + more
    q[-1] = 1.0 if not more else q[-1]  # the last text that is left is drawn for sure
    assert batch_lure(np.array(q), np.arange(len(q)), n) == pytest.approx(lure(np.array(q), n), abs=1e-6)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 30))
def test_uniform_batches_weigh_every_text_alike(sizes: list[int], more: int) -> None:
    n = sum(sizes) + more
    left, chances, groups = n, [], []
    for g, size in enumerate(sizes):
        chances += [size / left] * size
        groups += [g] * size
        left -= size
    assert batch_lure(np.array(chances), np.array(groups), n) == pytest.approx(np.ones(len(groups)), abs=1e-6)


def test_lure_is_unbiased_over_every_way_three_draws_could_go() -> None:
    losses = np.array([0.1, 2.0, 0.7, 0.4, 1.3])
    n, mean = len(losses), 0.0
    liking = np.array([1.0, 5.0, 2.0, 0.5, 3.0])
    for order in itertools.permutations(range(n), 3):
        chance, q, left = 1.0, [], list(range(n))
        for i in order:
            q.append(liking[i] / liking[left].sum())
            chance *= q[-1]
            left.remove(i)
        mean += chance * float(np.mean(lure(np.array(q), n) * losses[list(order)]))
    assert mean == pytest.approx(losses.mean())


def test_batches_are_unbiased_with_determined_picks_between_over_every_way_they_could_go() -> None:
    """Two random, then the largest loss left, then one drawn unequally: the expectation is the pool's mean."""
    losses = np.array([0.1, 2.0, 0.7, 0.4, 1.3, 0.9])
    n, mean, plain = len(losses), 0.0, 0.0
    for first in itertools.combinations(range(n), 2):
        rest = [i for i in range(n) if i not in first]
        greedy = max(rest, key=lambda i: losses[i])
        rest.remove(greedy)
        total = sum(1 + losses[i] for i in rest)
        for i in rest:
            q = (1 + losses[i]) / total
            chosen = [*first, greedy, i]
            weights = batch_lure(np.array([2 / n, 2 / n, math.nan, q]), np.array([0, 0, 1, 2]), n)
            chance = q / math.comb(n, 2)
            mean += chance * float(np.mean(weights * losses[chosen]))
            plain += chance * float(np.mean(losses[chosen]))
    assert mean == pytest.approx(losses.mean())
    assert abs(plain - losses.mean()) > 0.1  # without weights it is far off


def systematic(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of sum(p) items, each in with exactly its chance p: systematic sampling in random order."""
    order = rng.permutation(len(p))
    steps = np.floor(np.concatenate([[0.0], np.cumsum(p[order])]) + rng.random() + 1e-9)
    return np.sort(order[np.diff(steps) > 0])


def test_by_simulation_batches_drawn_unequally_are_unbiased() -> None:
    rng = np.random.default_rng(0)
    losses = rng.exponential(1.0, 40)
    liking = losses**0.5 + 0.3
    found, plain = [], []
    for _ in range(2500):
        left, chances, groups, chosen = np.arange(40), [], [], []
        for g in range(3):
            p = 4 * liking[left] / liking[left].sum()
            drawn = systematic(p, rng)
            chances += p[drawn].tolist()
            groups += [g] * len(drawn)
            chosen += left[drawn].tolist()
            left = np.delete(left, drawn)
        found.append(float(np.mean(batch_lure(np.array(chances), np.array(groups), 40) * losses[chosen])))
        plain.append(float(np.mean(losses[chosen])))
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found) - losses.mean()) < 4 * error
    assert abs(np.mean(plain) - losses.mean()) > 10 * error


def test_where_nothing_was_drawn_by_chance_all_weigh_alike() -> None:
    assert batch_lure(np.full(3, math.nan), np.arange(3), 9).tolist() == [1, 1, 1]
    assert len(batch_lure(np.array([]), np.array([], np.int64), 9)) == 0


def test_a_pool_that_is_labelled_whole_is_its_own_mean() -> None:
    weights = batch_lure(np.array([0.5, 0.5, math.nan, 1.0]), np.array([0, 0, 1, 2]), 4)
    assert weights == pytest.approx(np.ones(4), abs=1e-6)


@pytest.mark.parametrize(("q", "n"), [([0.0], 5), ([1.5], 5), ([0.5, 0.5], 1)])
def test_what_is_no_probability_is_refused(q: list[float], n: int) -> None:
    with pytest.raises(ValueError, match="above 0"):
        lure(np.array(q), n)
    with pytest.raises(ValueError, match="above 0"):
        batch_lure(np.array(q), np.arange(len(q)), n)


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=40))
def test_clipped_weights_have_the_mean_one_and_are_told(weights: list[float]) -> None:
    found = clip(np.array(weights), 3.0)
    assert found.values.mean() == pytest.approx(1, rel=1e-4)
    assert found.clipped == sum(w > 3 * np.mean(weights) for w in weights)
    assert 1 <= found.effective <= len(weights) + 1e-3


def test_weights_that_are_all_nothing_are_all_one() -> None:
    assert clip(np.zeros(3)).values.tolist() == [1, 1, 1]


def test_shares_of_the_first_draw_become_the_chances_of_every_draw() -> None:
    weights = np.array([5.0, 1.0, 3.0, 1.0])
    share = weights / weights.sum()
    for order in itertools.permutations(range(4), 3):
        picks = [(1, "random", 0.2, {"strategy": "power", "drawn": 1})]
        picks += [(1, "unsure", None, {"strategy": "power", "chance_of_first_draw": float(share[i])}) for i in order]
        groups, chances = drawn(picks)
        left, expected = list(range(4)), []
        for i in order:
            expected.append(weights[i] / weights[left].sum())
            left.remove(i)
        assert groups.tolist() == [0, 1, 2, 3]
        assert chances.tolist() == pytest.approx([0.2, *expected])


def test_what_was_drawn_together_is_one_group_and_what_was_chosen_has_no_chance() -> None:
    cold = [(0, "random", 0.5, {}), (0, "random", 0.5, {}), (0, "cold", None, {"typicality": 2.0})]
    first = [(1, "random", 0.1, {}), (1, "unsure", None, {"strategy": "margin"}), (1, "unsure", None, {})]
    groups, chances = drawn([*cold, *first])
    assert groups.tolist() == [0, 0, 1, 2, 3, 3]
    assert np.isnan(chances).tolist() == [False, False, True, False, True, True]
    assert drawn([])[0].tolist() == []
