"""Usefulness a dollar: what is dear has to teach more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.selection import State
from agent.selection.strategies.priced import Priced, over_price


def state(doubt: list[float], prices: list[float] | None) -> State:
    return State(
        np.arange(len(doubt)),
        np.array(doubt, np.float32),
        lambda rows: np.zeros((len(rows), 2), np.float32),
        prices=None if prices is None else np.array(prices, np.float32),
    )


pairs = st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1e6, width=32)), min_size=1, max_size=20)


@given(pairs, st.floats(0, 2))
def test_scores_agree_with_the_formula_written_out(rows: list[tuple[float, float]], exponent: float) -> None:
    least = [max(price, 1.0) for _, price in rows]
    mean = sum(least) / len(least)
    slow = [useful / (price / mean) ** exponent for (useful, _), price in zip(rows, least, strict=True)]
    found = over_price(
        np.array([u for u, _ in rows], np.float32), np.array([p for _, p in rows], np.float32), exponent
    )
    np.testing.assert_allclose(found, slow, rtol=1e-4, atol=1e-7)
    assert found.dtype == np.float32


def test_of_two_texts_as_useful_the_cheaper_is_asked() -> None:
    scores = Priced().score(state([0.5, 0.5], [100, 400]))
    assert scores[0] == pytest.approx(2 * scores[1])


def test_a_half_forgives_a_text_its_price_where_it_teaches_more() -> None:
    given_state = state([0.3, 0.9], [100, 400])
    assert Priced().score(given_state).argmax() == 1
    assert Priced(exponent=1).score(given_state).argmax() == 0
    np.testing.assert_allclose(Priced(exponent=0).score(given_state), given_state.doubt)


def test_without_prices_the_base_decides() -> None:
    np.testing.assert_allclose(Priced().score(state([0.3, 0.9], None)), [0.3, 0.9])


def test_a_free_text_outweighs_nothing_without_end() -> None:
    scores = Priced(exponent=1).score(state([0.5, 0.5, 0.5], [0, 0.2, 1]))
    np.testing.assert_allclose(scores, 0.5)


def test_no_candidates_have_no_scores() -> None:
    assert Priced().score(state([], [])).shape == (0,)


def test_an_exponent_below_zero_is_refused() -> None:
    with pytest.raises(JobFileError, match=r"selection.options.exponent"):
        Priced(exponent=-1)
