"""What asking is worth, held against the slow and obvious."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.worth import PRIOR, Ahead, NewText, Step, Verdicts, asked_now, between, expected, gain_of_label

shares = st.floats(0, 1)
prices = st.floats(0.001, 1e6)
chances = st.lists(st.one_of(shares, st.just(math.nan)), max_size=30)


steps = st.builds(Step, shares, shares, prices)


@given(steps, chances, st.floats(0, 10), st.booleans())
def test_nothing_goes_on_to_an_oracle_that_is_not_expected_to_do_better(
    step: Step, sure: list[float], new_text: float, ample: bool
) -> None:
    a_dollar = step.a_dollar(np.array(sure))
    for p, gain, now in zip(sure, a_dollar, asked_now(a_dollar, new_text, ample=ample), strict=True):
        known = step.at_hand if math.isnan(p) else p
        assert gain == pytest.approx(max(0.0, step.right - known) / step.price)
        if step.right <= known:
            assert not now


@given(steps, chances, st.floats(0, 10))
def test_ample_money_asks_about_all_that_gains_and_short_money_about_what_beats_a_new_text(
    step: Step, sure: list[float], new_text: float
) -> None:
    a_dollar = step.a_dollar(np.array(sure))
    assert asked_now(a_dollar, new_text, ample=True).tolist() == [g > 0 for g in a_dollar.tolist()]
    short = asked_now(a_dollar, new_text, ample=False)
    assert short.tolist() == [g > new_text for g in a_dollar.tolist()]
    assert not (short & ~asked_now(a_dollar, new_text, ample=True)).any()


def test_what_is_free_is_worth_asking_wherever_it_brings_anything() -> None:
    a_dollar = Step(0.9, 0.5, 0.0).a_dollar(np.array([0.2, 0.95, math.nan]))
    assert a_dollar.tolist() == [math.inf, 0.0, math.inf]


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 1)), max_size=40), shares)
def test_people_outweigh_what_was_expected_the_more_of_them_there_are(
    verdicts: list[tuple[bool, float]], prior: float
) -> None:
    seen = Verdicts.of([r for r, _ in verdicts], [c for _, c in verdicts])
    assert seen.size <= len(verdicts) + 1e-9
    found = expected(seen, prior)
    assert min(seen.share, prior) - 1e-9 <= found <= max(seen.share, prior) + 1e-9 or not verdicts
    if verdicts:
        weights = [1 / c for _, c in verdicts]
        share = sum(w for w, (r, _) in zip(weights, verdicts, strict=True) if r) / sum(weights)
        size = sum(weights) ** 2 / sum(w * w for w in weights)
        assert found == pytest.approx((PRIOR * prior + size * share) / (PRIOR + size))
    else:
        assert found == pytest.approx(prior)


def test_what_people_rarely_saw_counts_for_what_they_did_not_see() -> None:
    """One audited in ten is right, and each that it was unsure of wrong: it is right on ten of twelve."""
    seen = Verdicts.of([True, False, False], [0.1, 1.0, 1.0])
    assert seen.share == pytest.approx(10 / 12)


@given(st.lists(st.tuples(shares, st.booleans()), min_size=1, max_size=30), st.integers(0, 9))
def test_a_new_text_brings_what_the_student_had_not_foretold(labels: list[tuple[float, bool]], classes: int) -> None:
    obvious = 0.0
    for p, foretold in labels:
        if not foretold:
            obvious += p - ((1 - p) / (classes - 1) if classes > 1 else 0.0)
    found = gain_of_label(np.array([p for p, _ in labels]), [f for _, f in labels], classes)
    assert found == pytest.approx(max(0.0, obvious / len(labels)))
    assert 0 <= found <= 1


def test_without_any_label_a_new_text_is_not_known_to_bring_anything() -> None:
    assert gain_of_label(np.zeros(0), [], 3) == 0.0


@given(shares, prices, shares, shares, prices)
def test_a_new_text_is_worth_what_the_better_of_two_plans_brings(
    gain: float, price: float, sent: float, gain_sent: float, price_sent: float
) -> None:
    text = NewText(gain, price, sent, gain_sent, price_sent)
    together = (gain + sent * gain_sent) / (price + sent * price_sent)
    assert text.a_dollar == pytest.approx(max(gain / price, together))
    # what is sent on of it can be worth no more than the dearer of its parts
    assert text.a_dollar <= max(gain / price, gain_sent / price_sent) * (1 + 1e-9)


@given(
    st.integers(0, 1000),
    st.lists(st.tuples(st.integers(0, 50), st.floats(0, 100), shares), min_size=1, max_size=4),
)
def test_all_that_is_ahead_costs_what_text_by_text_adds_up_to(
    texts: int, oracles: list[tuple[int, float, float]]
) -> None:
    def of_one(place: int) -> float:
        """What a text costs that comes to an oracle."""
        if place == len(oracles):
            return 0.0
        _, price, sent = oracles[place]
        return price + sent * of_one(place + 1)

    obvious = texts * of_one(0) + sum(w * of_one(k + 1) for k, (w, _, _) in enumerate(oracles))
    waiting, costs, sent = zip(*oracles, strict=True)
    assert Ahead(texts, waiting, costs, sent).cost() == pytest.approx(obvious)


@given(shares, st.integers(0, 100))
def test_a_label_of_which_nothing_tells_lies_between_chance_and_the_bar(bar: float, classes: int) -> None:
    assert 0 <= between(bar, classes) <= bar
