"""Numbers that arithmetic checks: cards by their issuers' ranges and Luhn's digit, IBANs by length and modulus.

Presidio has recognizers for both; what these find beside it: cards of Mastercard's second range, of 18 and 19 digits
or with an expiry date behind them, and IBANs in lower case or right before a word in capitals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

DIGIT_RUN = re.compile(r"(?<![0-9+])[0-9]+(?:[ .\-_/][0-9]+)*(?![0-9])")
ISSUERS = (
    ("2200", "2204", {16, 17, 18, 19}),  # Mir
    ("2221", "2720", {16}),  # Mastercard
    ("30", "30", {14, 16}),  # Diners Club
    ("34", "34", {15}),  # American Express
    ("35", "35", {16, 17, 18, 19}),  # JCB
    ("36", "36", {14, 15, 16, 17, 18, 19}),  # Diners Club
    ("37", "37", {15}),  # American Express
    ("38", "39", {14, 16, 17, 18, 19}),  # Diners Club
    ("4", "4", {16, 18, 19}),  # Visa
    ("50", "50", {13, 14, 15, 16, 17, 18, 19}),  # Maestro, Elo
    ("51", "55", {16}),  # Mastercard
    ("56", "58", {13, 14, 15, 16, 17, 18, 19}),  # Maestro
    ("6", "6", {13, 14, 15, 16, 17, 18, 19}),  # Discover, UnionPay, Maestro, RuPay
    ("81", "82", {16, 17, 18, 19}),  # UnionPay, RuPay
)
"""First digits, from and to, and how many digits such a card may have (ISO/IEC 7812)."""

IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})([0-9]{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 "
        "EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 "
        "IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 "
        "NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 "
        "SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30",
    )
}
"""By country, of the SWIFT registry of IBAN formats."""
IBAN_START = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})[ ]?[0-9]{2}(?=[ .\-]?[A-Za-z0-9])")
IBAN_SEPARATORS = " .-"


def cards(text: str) -> Iterator[Span]:
    """Where card numbers are, also in groups and with further numbers behind or before them."""
    for run in DIGIT_RUN.finditer(text):
        groups = [m.span() for m in re.finditer(r"[0-9]+", run.group())]
        start = 0
        while start < len(groups):
            end = _card_from(run.group(), groups, start)
            if end is None:
                start += 1
                continue
            yield run.start() + groups[start][0], run.start() + groups[end][1]
            start = end + 1


def _card_from(run: str, groups: list[Span], start: int) -> int | None:
    """The last of the groups that make a card number with the one at `start`; the longest counts."""
    digits, found = "", None
    for end in range(start, len(groups)):
        digits += run[groups[end][0] : groups[end][1]]
        if len(digits) > 19:
            break
        if is_card(digits):
            found = end
    return found


def is_card(digits: str) -> bool:
    """Whether digits are a card number of a known issuer."""
    known = any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in ISSUERS)
    return known and luhn(digits) == 0


def luhn(digits: str) -> int:
    """Luhn's sum modulo 10: 0 where the last digit is right (ISO/IEC 7812-1)."""
    doubled = [int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10


def ibans(text: str) -> Iterator[Span]:
    """Where IBANs are, in groups or not, in capitals or not."""
    done = 0
    for start in IBAN_START.finditer(text):
        length = IBAN_LENGTHS.get(start.group(1).upper())
        if length is None or start.start() < done:
            continue
        letters, place = "", start.start()
        while place < len(text) and len(letters) < length:
            if text[place].isascii() and text[place].isalnum():
                letters += text[place]
            elif text[place] not in IBAN_SEPARATORS or text[place - 1] in IBAN_SEPARATORS:
                break
            place += 1
        ends = place == len(text) or not (text[place].isascii() and text[place].isalnum())
        if len(letters) == length and ends and iban_rest(letters) == 1:
            done = place
            yield start.start(), place


def iban_rest(letters: str) -> int:
    """An IBAN's rest by 97: 1 where its check digits are right (ISO 13616)."""
    return int("".join(str(int(c, 36)) for c in letters[4:] + letters[:4])) % 97
