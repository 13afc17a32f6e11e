"""Made-up e-mail addresses, phone numbers, cards and IBANs with right check digits, as people write them.

Seeded, and by tables of our own (what issuers, countries and carriers publish of their ranges), not by the library
that looks for them. Nothing here belongs to anybody, but for chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Fake:
    """One made-up value: what stands in the text, and which kind and sort of it that is (`card`, `Visa 4-4-4-4`)."""

    kind: str
    sort: str
    value: str


# E-mail -------------------------------------------------------------------------------------------------------------

FIRST = ("ada", "jose", "mehmet", "li", "olga", "sean", "nadia", "björn", "priya", "tom")
LAST = ("lovelace", "garcia", "yilmaz", "wei", "petrova", "o'brien", "haddad", "ström", "nair", "de-vries")
HOSTS = (
    "example.com", "mail.example.org", "example.co.uk", "my-firm.de", "uni-xy.ac.at", "example.museum",
    "post.example.fr", "xn--bcher-kva.example", "corp.internal", "example.photography", "a1.b2.example.com.br",
    "münchen.example",
)  # fmt: skip
LOCALS: dict[str, Callable[[str, str, int], str]] = {
    "first.last": lambda a, b, n: f"{a}.{b}",
    "flast": lambda a, b, n: f"{a[0]}{b}{n}",
    "first_last": lambda a, b, n: f"{a}_{b}",
    "first+tag": lambda a, b, n: f"{a}+news{n}",
    "CAPITALS": lambda a, b, n: f"{a}.{b}".upper(),
    "number": lambda a, b, n: f"{n}{a}",
    "dashed": lambda a, b, n: f"{a}-{b}-{n}",
}
AROUND = ("{}", "<{}>", "({})", "mailto:{}", '"{}"', "{},", "email:{}", "{}.")


def email(rng: Rng) -> Fake:
    sort = _one(rng, list(LOCALS))
    address = f"{LOCALS[sort](_one(rng, FIRST), _one(rng, LAST), int(rng.integers(1, 1000)))}@{_one(rng, HOSTS)}"
    return Fake("email", sort, address)


# Phone --------------------------------------------------------------------------------------------------------------

# country: its numbers (X a digit 2 to 9, # any digit), then how one is written at home (@ takes the next digit, * all
# that is left; a 0 in front is the trunk prefix, which is no part of the number) and how for people abroad.
PHONES: dict[str, tuple[Sequence[str], Sequence[str], Sequence[str]]] = {
    "US": (("212X######", "415X######", "312X######", "713X######", "206X######"),
           ("(@@@) @@@-@@@@", "@@@-@@@-@@@@", "@@@.@@@.@@@@", "@@@ @@@ @@@@", "1-@@@-@@@-@@@@", "@@@@@@@@@@"),
           ("+1 @@@ @@@ @@@@", "+1 (@@@) @@@-@@@@", "+1-@@@-@@@-@@@@", "+1@@@@@@@@@@", "001 @@@ @@@ @@@@")),
    "GB landline": (("20794#####", "20830#####", "20731#####"),
           ("0@@ @@@@ @@@@", "(0@@) @@@@ @@@@", "0@@-@@@@-@@@@", "0@@@@@@@@@@"),
           ("+44 @@ @@@@ @@@@", "+44 (0)@@ @@@@ @@@@", "0044 @@ @@@@ @@@@", "+44@@@@@@@@@@")),
    "GB mobile": (("77009#####", "74123#####", "78811#####"),
           ("0@@@@ @@@@@@", "0@@@@ @@@ @@@", "0@@@@@@@@@@", "0@@@@-@@@@@@"),
           ("+44 @@@@ @@@@@@", "+44 (0) @@@@ @@@@@@", "+44@@@@@@@@@@", "0044 @@@@ @@@@@@")),
    "DE landline": (("303#######", "894#######", "403#######"),
           ("0@@ @@@@@@@@", "0@@/@@@@@@@@", "(0@@) @@@@ @@@@", "0@@-@@@@@@@@", "0@@ @@@ @@ @@@"),
           ("+49 @@ @@@@@@@@", "+49 (0)@@ @@@@@@@@", "+49 @@ @@@@ @@@@", "0049 @@ @@@@@@@@", "+49/@@/@@@@@@@@")),
    "DE mobile": (("1511#######", "1701######", "1761#######"),
           ("0@@@ @@@@@@@*", "0@@@/@@@@@@@*", "0@@@@@@@@@@*", "0@@@-@@@@@@@*"),
           ("+49 @@@ @@@@@@@*", "+49@@@@@@@@@@*", "+49 (0)@@@ @@@@@@@*")),
    "FR": (("6########", "1########", "78#######", "4########"),
           ("0@ @@ @@ @@ @@", "0@.@@.@@.@@.@@", "0@-@@-@@-@@-@@", "0@@@@@@@@@"),
           ("+33 @ @@ @@ @@ @@", "+33 (0)@ @@ @@ @@ @@", "+33@@@@@@@@@", "0033 @ @@ @@ @@ @@")),
    "ES": (("6########", "91#######", "93#######"),
           ("@@@ @@@ @@@", "@@@ @@ @@ @@", "@@@@@@@@@", "@@@-@@@-@@@"),
           ("+34 @@@ @@@ @@@", "+34 @@@ @@ @@ @@", "+34@@@@@@@@@", "0034 @@@ @@@ @@@")),
    "IT": (("347#######", "328#######", "338#######"),
           ("@@@ @@@@@@@", "@@@ @@@ @@@@", "@@@@@@@@@@", "@@@-@@@@@@@", "@@@/@@@@@@@"),
           ("+39 @@@ @@@@@@@", "+39 @@@ @@@ @@@@", "+39@@@@@@@@@@", "0039 @@@ @@@@@@@")),
    "NL": (("61#######", "64#######", "20#######"),
           ("0@@ @@@@@@@", "0@@-@@@@@@@", "0@@ @@@ @@ @@", "0@@@@@@@@@"),
           ("+31 @@ @@@@@@@", "+31 (0)@@ @@@ @@@@", "+31@@@@@@@@@", "0031 @@ @@@@@@@")),
    "DK": (("20######", "31######", "61######"),
           ("@@ @@ @@ @@", "@@@@ @@@@", "@@@@@@@@"),
           ("+45 @@ @@ @@ @@", "+45 @@@@@@@@", "+45@@@@@@@@")),
    "SE": (("70#######", "73#######", "76#######"),
           ("0@@-@@@ @@ @@", "0@@ @@@ @@ @@", "0@@-@@@@@@@", "0@@@@@@@@@"),
           ("+46 @@ @@@ @@ @@", "+46 (0)@@ @@@ @@ @@", "+46@@@@@@@@@")),
    "PL": (("501######", "602######", "790######"),
           ("@@@ @@@ @@@", "@@@-@@@-@@@", "@@@@@@@@@"),
           ("+48 @@@ @@@ @@@", "+48@@@@@@@@@", "0048 @@@ @@@ @@@")),
    "CH": (("79#######", "78#######", "44#######"),
           ("0@@ @@@ @@ @@", "0@@@@@@@@@", "0@@/@@@ @@ @@"),
           ("+41 @@ @@@ @@ @@", "+41 (0)@@ @@@ @@ @@", "+41@@@@@@@@@")),
    "IN": (("98########", "97########", "81########"),
           ("@@@@@ @@@@@", "@@@@@@@@@@", "0@@@@@@@@@@", "@@@@-@@@-@@@"),
           ("+91 @@@@@ @@@@@", "+91-@@@@@@@@@@", "+91@@@@@@@@@@", "0091 @@@@@ @@@@@")),
    "AU": (("412######", "438######", "401######"),
           ("0@@@ @@@ @@@", "0@@@-@@@-@@@", "0@@@@@@@@@"),
           ("+61 @@@ @@@ @@@", "+61 (0)@@@ @@@ @@@", "+61@@@@@@@@@")),
    "BR": (("119########", "219########"),
           ("(@@) @@@@@-@@@@", "@@ @@@@@-@@@@", "(0@@) @@@@@-@@@@", "@@@@@@@@@@@"),
           ("+55 @@ @@@@@-@@@@", "+55 (@@) @@@@@-@@@@", "+55@@@@@@@@@@@")),
    "JP": (("901#######", "803#######", "905#######"),
           ("0@@-@@@@-@@@@", "0@@ @@@@ @@@@", "0@@@@@@@@@@"),
           ("+81 @@ @@@@ @@@@", "+81-@@-@@@@-@@@@", "+81 (0)@@-@@@@-@@@@")),
}  # fmt: skip


def phone(rng: Rng) -> Fake:
    country = _one(rng, list(PHONES))
    numbers, home, abroad = PHONES[country]
    is_home = bool(rng.random() < 0.5)
    number = "".join(_digit(rng, c) for c in _one(rng, numbers))
    written = _fill(_one(rng, home if is_home else abroad), number)
    return Fake("phone", f"{country}, {'at home' if is_home else 'from abroad'}", written)


def _digit(rng: Rng, mark: str) -> str:
    return str(rng.integers(2, 10)) if mark == "X" else str(rng.integers(0, 10)) if mark == "#" else mark


def _fill(form: str, number: str) -> str:
    """`@` takes a digit, `*` what is left."""
    left = iter(number)
    return "".join(next(left) if c == "@" else "".join(left) if c == "*" else c for c in form)


# Cards --------------------------------------------------------------------------------------------------------------

CARDS: dict[str, tuple[Sequence[str], int, Sequence[int]]] = {
    "Visa": (("4",), 16, (4, 4, 4, 4)),
    "Mastercard": (("51", "53", "55"), 16, (4, 4, 4, 4)),
    "Mastercard, 2-series": (("2221", "2300", "2719"), 16, (4, 4, 4, 4)),
    "American Express": (("34", "37"), 15, (4, 6, 5)),
    "Discover": (("6011", "65", "644"), 16, (4, 4, 4, 4)),
    "JCB": (("3528", "3566"), 16, (4, 4, 4, 4)),
    "Diners Club": (("36", "300", "38"), 14, (4, 6, 4)),
    "Maestro": (("5018", "6304", "5893"), 16, (4, 4, 4, 4)),
    "UnionPay": (("62",), 19, (6, 13)),
    "UnionPay, 16": (("62",), 16, (4, 4, 4, 4)),
}
CARD_FORMS = {"plain": "", "grouped": " ", "dashed": "-", "dotted": ".", "no-break blanks": "\u00a0"}


def card(rng: Rng) -> Fake:
    issuer = _one(rng, list(CARDS))
    starts, length, groups = CARDS[issuer]
    digits = _one(rng, starts)
    digits += "".join(str(rng.integers(0, 10)) for _ in range(length - len(digits) - 1))
    digits += next(d for d in "0123456789" if _luhn(digits + d))
    form = _one(rng, list(CARD_FORMS))
    return Fake("card", f"{issuer}, {form}", _grouped(digits, groups, CARD_FORMS[form]))


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) if place % 2 == 0 else int(digit) * 2
        total += value // 10 + value % 10
    return total % 10 == 0


# IBANs --------------------------------------------------------------------------------------------------------------

# what stands behind country and check digits: 9 a digit, A a capital letter, X either
IBANS = {
    "DE": "9" * 18, "FR": "9" * 10 + "X" * 11 + "99", "GB": "AAAA" + "9" * 14, "ES": "9" * 20,
    "IT": "A" + "9" * 10 + "X" * 12, "NL": "AAAA" + "9" * 10, "BE": "9" * 12, "AT": "9" * 16,
    "CH": "9" * 5 + "X" * 12, "PT": "9" * 21, "IE": "AAAA" + "9" * 14, "DK": "9" * 14, "NO": "9" * 11,
    "SE": "9" * 20, "FI": "9" * 14, "PL": "9" * 24, "CZ": "9" * 20, "GR": "9" * 7 + "X" * 16,
    "MT": "AAAA" + "9" * 5 + "X" * 18, "TR": "9" * 6 + "X" * 16, "SA": "99" + "X" * 18, "AE": "9" * 19,
    "HU": "9" * 24, "RO": "AAAA" + "X" * 16, "LU": "999" + "X" * 13,
}  # fmt: skip
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
IBAN_FORMS = ("plain", "grouped", "dashed", "small letters", "grouped, no-break blanks")


def iban(rng: Rng) -> Fake:
    country = _one(rng, list(IBANS))
    marks = {"9": "0123456789", "A": LETTERS, "X": LETTERS + "0123456789"}
    body = "".join(_one(rng, marks[mark]) for mark in IBANS[country])
    number = int("".join(str(int(c, 36)) for c in f"{body}{country}00"))
    whole, form = f"{country}{98 - number % 97:02}{body}", _one(rng, IBAN_FORMS)
    between = {"grouped": " ", "dashed": "-", "grouped, no-break blanks": "\u00a0"}.get(form, "")
    written = between.join(whole[i : i + 4] for i in range(0, len(whole), 4))
    return Fake("iban", f"{country}, {form}", written.lower() if form == "small letters" else written)


# In a text ----------------------------------------------------------------------------------------------------------

MADE: dict[str, Callable[[Rng], Fake]] = {"email": email, "phone": phone, "card": card, "iban": iban}
SAID = {
    "email": (
        "Write to {} for more",
        "{}",
        "contact {} today",
        "E-mail {} or come by",
        "mine is {}",
        "by {}, to all",
    ),
    "phone": (
        *(
            "Call {} for more",
            "{}",
            "tel. {}",
            "You can reach him on {} after six",
            "phone:{}",
            "my new number is {}",
        ),
        *("or {} in the evening", "{} (ask for Jo)"),
    ),
    "card": (
        *("Card {} was charged", "{}", "paid with {} yesterday", "card no. {} exp 12/27", "my visa is {} 04/29 123"),
        "it was {}, not the other",
    ),
    "iban": (
        *("IBAN {} please", "{}", "to account {} BY FRIDAY", "iban: {}", "transfer it to {} before 2005"),
        "from {}, as ever",
    ),
}


def planted(text: str, kind: str, rng: Rng) -> tuple[str, Fake, int]:
    """`text` with a made-up value in a phrase between two of its words: (text, value, where the value begins)."""
    fake = MADE[kind](rng)
    value = fake.value
    around = _one(rng, AROUND) if kind == "email" and rng.random() < 0.5 else "{}"
    phrase = _one(rng, SAID[kind]).format(around).format(value)
    words = text.split(" ")
    place = int(rng.integers(0, len(words) + 1))
    before, after = " ".join(words[:place]), " ".join(words[place:])
    joined = " ".join(part for part in (before, phrase, after) if part)
    return joined, fake, joined.index(phrase, max(0, len(before) - 1)) + phrase.index(value)


def _grouped(digits: str, groups: Sequence[int], between: str) -> str:
    ends = np.cumsum([0, *groups]).tolist()
    return between.join(digits[a:b] for a, b in pairwise(ends))


def _one(rng: Rng, of: Sequence[str]) -> str:
    return of[int(rng.integers(len(of)))]
