"""What asking is worth, held against the slow and obvious."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import worth
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


@st.composite
def verdicts(draw: st.DrawFn) -> Verdicts:
    labels = draw(st.integers(0, 60))
    judged = draw(st.integers(0, labels))
    return Verdicts(labels, judged, draw(st.integers(0, judged)))


@given(st.lists(verdicts(), max_size=4), shares)
def test_what_is_expected_is_that_of_every_label_by_what_people_said_of_its_kind(
    kinds: list[Verdicts], prior: float
) -> None:
    each = [(PRIOR * prior + k.right) / (PRIOR + k.judged) for k in kinds for _ in range(k.labels)]
    assert expected(kinds, prior) == pytest.approx(sum(each) / len(each) if each else prior)
    assert -1e-9 <= expected(kinds, prior) <= 1 + 1e-9


def test_what_people_see_often_does_not_speak_for_what_they_have_not_seen_yet() -> None:
    """Of forty labels people saw the ten that were not accepted, all of them wrong: the others stay as expected."""
    assert expected([Verdicts(30, 0, 0), Verdicts(10, 10, 0)], 0.9) == pytest.approx(0.75 * 0.9 + 0.25 * 0.45)
    assert expected([Verdicts(30, 30, 30), Verdicts(10, 10, 0)], 0.9) > 0.75 * 0.97


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


# Asking again -------------------------------------------------------------------------------------------------------


def slowly_asked_again(
    a_dollar: list[float], questions: list[float], most: float, new_text: float, ample: bool
) -> list[int]:
    """One by one: the best that is left, where it is worth it and still fits."""
    left, found, rest = most, [], list(range(len(a_dollar)))
    while rest:
        best = max(rest, key=lambda i: (a_dollar[i], -i))
        rest.remove(best)
        if a_dollar[best] > (0.0 if ample else new_text) and questions[best] <= left + 1e-9:
            found.append(best)
            left -= questions[best]
    return found


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]), st.sampled_from([0.5, 1.0, 4.0])), max_size=12),
    st.floats(0, 10),
    st.sampled_from([0.0, 0.15, 0.5, 2.0]),
    st.booleans(),
)
def test_what_is_asked_again_gains_most_a_dollar_and_fits(
    labels: list[tuple[float, float]], most: float, new_text: float, ample: bool
) -> None:
    a_dollar, questions = [g for g, _ in labels], [q for _, q in labels]
    found = worth.asked_again(np.array(a_dollar), np.array(questions), most, new_text, ample=ample)
    assert found == slowly_asked_again(a_dollar, questions, most, new_text, ample)
    assert sum(questions[i] for i in found) <= most + 1e-6


def test_a_second_answer_of_the_same_oracle_is_worth_what_such_answers_brought() -> None:
    nothing = np.zeros(0)
    assert worth.mended(nothing, nothing) == worth.MENDED
    many = np.full(200, 0.5)
    assert worth.mended(many, many * 0.6) == pytest.approx((1 + 60) / (10 + 100))
    assert worth.mended(many, many * -0.6) == 0.0, "answers that made it worse are not asked for"
    step = worth.OtherWay(0.2, at_hand=0.5, price=4.0)
    assert step.gains(np.array([0.0, 0.5, 1.0, np.nan])) == pytest.approx([0.2, 0.1, 0.0, 0.1])
