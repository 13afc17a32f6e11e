"""The bets: what they pay on average, and that the fast ones are the obvious ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.stream.martingale import EVERY, POWERS, Bets, Martingale, mean_bet


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_a_rank_that_is_uniform_pays_one_on_average(sizes: list[int]) -> None:
    """Whatever the cells are: so nobody wins against texts that are exchangeable."""
    edges = np.concatenate([[0], np.cumsum(sizes)]) / sum(sizes)
    low, high = edges[:-1], edges[1:]
    for paid in (mean_bet(low, high), mean_bet(1 - high, 1 - low)):
        np.testing.assert_allclose(((high - low)[:, None] * paid).sum(axis=0), 1)


def test_the_mean_over_a_cell_is_that_of_ranks_drawn_in_it() -> None:
    ranks = (np.arange(100_000) + 0.5) / 100_000 * 0.3 + 0.2
    drawn = (POWERS * ranks[:, None] ** (POWERS - 1)).mean(axis=0)
    np.testing.assert_allclose(mean_bet(np.array([0.2]), np.array([0.5]))[0], drawn, rtol=1e-4)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=130), st.integers(0, 5))
def test_the_money_is_that_of_gamblers_who_begin_one_after_the_other(
    stream: list[tuple[int, int]], known: int
) -> None:
    test = Martingale([Bets.new(1, 4, 0.5), Bets.new(1, 2, 0.5)])
    test.fill([np.zeros((known, 1), np.int64), np.ones((known, 1), np.int64)])
    past: list[list[int]] = [[0] * known, [1] * known]
    gamblers: list[tuple[float, int, int, float]] = []  # money, score, bet, share
    waiting = 1.0
    for n, cells in enumerate(stream):
        if n % EVERY == 0:
            block = n // EVERY
            fresh = 1 / ((block + 1) * (block + 2))
            waiting -= fresh
            gamblers += [(fresh, s, k, 0.5 / 6) for s in range(2) for k in range(6)]
        paid = []
        for seen, cell in zip(past, cells, strict=True):
            seen.append(cell)
            above, same = sum(c > cell for c in seen), sum(c == cell for c in seen)
            low, high = above / len(seen), (above + same) / len(seen)
            up = [(high**p - low**p) / (high - low) for p in POWERS]
            down = [((1 - low) ** p - (1 - high) ** p) / (high - low) for p in POWERS]
            paid.append(up + down)
        gamblers = [(money * paid[s][k], s, k, share) for money, s, k, share in gamblers]
        found = test.bet([np.array([c]) for c in cells])
        np.testing.assert_allclose(found, waiting + sum(money * share for money, _, _, share in gamblers))
    again = Martingale.of(test.kept())
    assert again.kept() == test.kept()
