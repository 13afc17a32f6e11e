"""Card numbers, IBANs and phone numbers by arithmetic and form, without Presidio."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.redaction.numbers import cards, iban_rest, ibans, is_card, luhn
from agent.redaction.phones import phones


def seen(find: object, text: str) -> list[str]:
    return [text[start:end] for start, end in find(text)]  # type: ignore[operator]


@given(st.text("0123456789", min_size=1, max_size=24))
def test_one_last_digit_in_ten_is_right(digits: str) -> None:
    assert sum(luhn(digits + last) == 0 for last in "0123456789") == 1


@pytest.mark.parametrize(
    "card",
    [
        "4111111111111111", "5500-0000-0000-0004", "3400 000000 00009", "6011 0000 0000 0004", "3530 1113 3330 0000",
        "2223 0031 2200 3222", "30569309025904", "6304 0000 0000 0000", "4111.1111.1111.1111",
        "6212 3456 7890 0000 003",
    ],
)  # fmt: skip
def test_cards_of_the_common_issuers_are_found_however_they_are_grouped(card: str) -> None:
    assert seen(cards, f"I paid with {card}, sorry.") == [card]
    assert seen(cards, f"Card {card} 04/29 123") == [card]


@pytest.mark.parametrize(
    "text",
    ["4111111111111112", "1234 5678 9012 3452", "9780306406157", "+49 1511 2345678", "1111111111111111111111111117"],
)
def test_what_fails_the_check_or_belongs_to_no_issuer_is_no_card(text: str) -> None:
    assert seen(cards, f"see {text} there") == []


def test_a_card_has_its_issuers_length() -> None:
    assert is_card("378282246310005")
    assert not is_card("37828224631000")
    assert not is_card("3782822463100050")


@pytest.mark.parametrize(
    "iban",
    [
        "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "fr1420041010050500013m02606", "BE68-5390-0754-7034",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S", "NO93 8601 1117 947",
    ],
)  # fmt: skip
def test_ibans_are_found_with_words_in_capitals_behind_them(iban: str) -> None:
    assert iban_rest("".join(c for c in iban if c.isalnum())) == 1
    assert seen(ibans, f"TO {iban} THIS WEEK") == [iban]
    assert seen(ibans, f"iban:{iban}.") == [iban]


@pytest.mark.parametrize(
    "text", ["DE89 3704 0044 0532 0130 01", "XX89370400440532013000", "DE89 3704 0044", "IN 12 a"]
)
def test_what_fails_the_check_or_has_another_length_is_no_iban(text: str) -> None:
    assert seen(ibans, f"see {text} there") == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Call +44 (0)20 7946 0958 now", "+44 (0)20 7946 0958"),
        ("or 0049 30 12345678.", "0049 30 12345678"),
        ("It is (212) 555-0142!", "(212) 555-0142"),
        ("my mobile number is 4061 2345", "4061 2345"),
        ("Tel.: 12 34 56", "12 34 56"),
        ("text me on 87654321 tonight", "87654321"),
    ],
)
def test_a_phone_number_is_known_by_its_form_or_by_the_word_before_it(text: str, number: str) -> None:
    assert seen(lambda t: phones(t, []), text) == [number]


@pytest.mark.parametrize(
    "text",
    [
        "won (7-5) 6-4 6-3 in Paris", "from 1998-2003", "on 2004-11-23 at noon", "23.11.2004",
        "at 51.507351, -0.127758",
        "20 000 000 people", "192.168.100.200", "doses of 300 - 1500", "ISBN 0-7869-3934-6", "order no. 40612345",
        "https://example.com/p/40612345", "a 3-0 win", "$40612345", "1904 1910 1912 1914",
    ],
)  # fmt: skip
def test_dates_scores_years_sums_and_other_numbers_are_no_phones(text: str) -> None:
    """Not even where a country would take every number for one of its own."""
    assert seen(lambda t: phones(t, [lambda part: [(0, len(part))]]), text) == []


def test_a_number_is_looked_up_until_a_country_knows_all_of_it() -> None:
    asked: list[str] = []

    def sees(name: str, size: int) -> object:
        return lambda part: asked.append(name) or [(0, size)][: size > 0]

    valid = [sees("none", 0), sees("whole", 11), sees("never asked", 11)]
    assert seen(lambda t: phones(t, valid), "see 020 7946 09 there") == ["020 7946 09"]  # type: ignore[arg-type]
    assert asked == ["none", "whole"]
