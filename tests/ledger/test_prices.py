"""The arithmetic of money: exact, rounded up, and never below what can be charged."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PriceMissing
from agent.job import OracleSettings, Price
from agent.ledger import Tariff, charge, prompt_bound, worst_case
from agent.ledger.prices import gpu_time
from agent.records import AnswerSchema, Message, Question, TextId, Usage
from tests.ledger.making import PRICE, question

dollars = st.decimals(0, 1_000, places=6)
prices = st.builds(Price, input=dollars, cached_input=st.none() | dollars, output=dollars)
counts = st.integers(0, 10_000_000)


def test_a_dollar_per_million_tokens_is_a_micro_dollar_a_token() -> None:
    price = Price(input=Decimal(1), output=Decimal(3))
    assert charge(price, Usage(10, 4)) == 10 + 12


def test_cached_tokens_are_part_of_the_prompt_at_their_own_price() -> None:
    assert charge(PRICE, Usage(prompt_tokens=100, completion_tokens=5, cached_tokens=40)) == 30 + 4 + 10


def test_cached_tokens_without_a_price_cost_what_others_do() -> None:
    assert charge(Price(input=Decimal(1), output=Decimal(0)), Usage(100, 0, 40)) == 100


def test_a_fraction_of_a_micro_dollar_is_a_whole_one() -> None:
    assert charge(Price(input=Decimal("0.000001"), output=Decimal(0)), Usage(1, 0)) == 1
    assert charge(Price(input=Decimal("0.000001"), output=Decimal(0)), Usage(0, 0)) == 0


def test_counts_that_cannot_be_are_not_paid_back() -> None:
    assert charge(PRICE, Usage(-100, -5, -40)) == 0
    assert charge(PRICE, Usage(prompt_tokens=100, completion_tokens=0, cached_tokens=1_000)) == 10


@given(prices, counts, counts, st.floats(0, 1))
def test_a_charge_is_the_exact_sum_rounded_up(price: Price, prompt: int, completion: int, share: float) -> None:
    cached = int(prompt * share)
    assert price.input is not None
    assert price.output is not None
    per_cached = price.input if price.cached_input is None else price.cached_input
    exact = (
        Fraction(price.input) * (prompt - cached)
        + Fraction(per_cached) * cached
        + Fraction(price.output) * completion
    )
    assert charge(price, Usage(prompt, completion, cached)) == ceil(exact)


@given(prices, counts, counts, st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)))
def test_no_charge_within_the_bounds_passes_the_worst_case(
    price: Price, prompt: int, completion: int, shares: tuple[float, float, float]
) -> None:
    sent, answered, cached = shares
    usage = Usage(int(prompt * sent), int(completion * answered), int(prompt * sent * cached))
    assert charge(price, usage) <= worst_case(price, prompt, completion)


@given(st.lists(st.text(st.characters())))
def test_the_prompt_bound_counts_every_byte_of_every_message(contents: list[str]) -> None:
    asked = Question("k", TextId("t"), tuple(Message("user", c) for c in contents), AnswerSchema({}, 8), "p")
    total = sum(len(c.encode("utf-8", "surrogatepass")) for c in contents)
    assert prompt_bound(asked) >= total + 32 * len(contents) + 64


def test_the_schema_counts_as_some_servers_bill_it() -> None:
    long = AnswerSchema({"enum": ["card_arrival"] * 100}, 8)
    asked = question()
    assert prompt_bound(Question("k", asked.text_id, asked.messages, long, "p")) > prompt_bound(asked) + 1_200


def test_a_price_per_gpu_hour_is_one_for_time() -> None:
    price = Price(gpu_hour=Decimal("3.6"))
    assert gpu_time(price, 1.0) == 1_000
    assert gpu_time(price, 0.0001) == 1
    assert worst_case(price, 1_000_000, 1_000_000, timeout_s=60) == 60_000
    assert charge(price, Usage(1_000, 1_000)) == 0


def test_the_worst_case_of_a_question_is_its_bound_and_its_longest_answer() -> None:
    oracle = OracleSettings(base_url="http://here/v1", model="m", price=Price(input=Decimal(1), output=Decimal(10)))
    asked = question(max_tokens=7)
    assert Tariff.of(oracle).worst(asked) == prompt_bound(asked) + 70


@pytest.mark.parametrize("source", [{"base_url": "http://here/v1"}, {"tape": "answers.gz"}])
def test_a_model_without_a_price_is_refused_never_free(source: dict[str, str]) -> None:
    with pytest.raises(PriceMissing, match=r"oracle 'local' \(small\) has no price; give it"):
        Tariff.of(OracleSettings(name="local", model="small", **source))  # type: ignore[arg-type]
