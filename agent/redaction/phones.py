"""Phone numbers: what is one by its form, and what Presidio's recognizer (libphonenumber) calls valid in a country.

Its recognizer reads a whole text once a country, which takes a long time, and calls tennis scores and years phone
numbers. Here it reads only what may be one, country by country, until one of them knows the number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

Span = tuple[int, int]
Valid = Callable[[str], Sequence[Span]]

REGIONS = (
    *(
        "US",
        "GB",
        "DE",
        "FR",
        "IN",
        "IT",
        "ES",
        "AU",
        "BR",
        "NL",
        "PL",
        "SE",
        "CH",
        "AT",
        "BE",
        "IE",
        "PT",
        "DK",
        "NO",
        "FI",
    ),
    *(
        "CZ",
        "GR",
        "HU",
        "RO",
        "NZ",
        "ZA",
        "SG",
        "HK",
        "MY",
        "PH",
        "JP",
        "KR",
        "CN",
        "MX",
        "AR",
        "CL",
        "CO",
        "IL",
        "TR",
        "AE",
    ),
)
"""Countries whose numbers are found as they are written at home, most likely first. Those that begin with + or 00 are
found for every country."""

BETWEEN = r"[ ().\-/]{0,3}"
FORMS = tuple(
    re.compile(pattern)
    for pattern in (
        # +44 20 7946 0958, +49 (0)30 1234567, 0033 6 12 34 56 78
        rf"(?<![\w+])\(?\+ ?\(?[0-9](?:{BETWEEN}[0-9]){{6,16}}(?![0-9])",
        rf"(?<![\w.,])00 ?[1-9](?:{BETWEEN}[0-9]){{8,14}}(?![0-9])",
        # 212-555-0142, (212) 555-0142, 1.212.555.0142
        r"(?<![\w.,-])(?:1[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}(?![0-9-])",
    )
)
CALLED = (
    r"tel|telephone|telefon|telefone|telefono|teléfono|tél|téléphone|phone|ph|mobile|mob|mobil|móvil|movil|cell|"
    r"cellphone|celular|cellulare|handy|portable|rufnummer|call|ring|dial|text|sms|whatsapp|signal|fax|hotline|helpline"
)
AFTER_A_WORD = re.compile(
    rf"(?<!\w)(?:{CALLED})(?!\w)(?: (?:me|us|him|her|them|back|now|at|on|is|no|nr|number|nummer|numero)(?!\w))*"
    rf"[ .:#=-]{{0,3}}(\(?[0-9](?:{BETWEEN}[0-9]){{5,14}})(?![0-9])",
    re.IGNORECASE,
)
MAY_BE = re.compile(rf"(?<![\w$£€¥])(?<![A-Za-z]-)\(?[0-9](?:{BETWEEN}[0-9]){{6,40}}(?!\w)")
NO_PHONE = re.compile(
    r"""
      [0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?:\ [0-9]{1,2})?     # 2004-11-23
    | [0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4}(?:\ [0-9]{1,2})?     # 23.11.2004
    | [0-9]{1,3}\.[0-9]{4,}                                       # 51.507351
    | [0-9]{1,3}(?:\.[0-9]{1,3}){3}                               # 192.168.100.200
    | [0-9]{1,3}(?:[ .]000)+                                      # 20 000 000
    | (?:1[0-9]|20)[0-9]{2}(?:[ /](?:1[0-9]|20)[0-9]{2})+         # 1998 1999 2000
    """,
    re.VERBOSE,
)
RANGE = re.compile(r"([1-9][0-9]{2,4})( ?- ?)([1-9][0-9]{2,4})(?:/[0-9]{1,2})?")
SCORE = re.compile(r"(?<![0-9])[0-9]{1,2}[-/][0-9]{1,2}(?![0-9])")
BOOK = re.compile(r"(?<!\w)(?:isbn|issn|doi|pmid|patent)(?:-1[03])?\W{0,3}(?:no|nr|number)?\W{0,3}$", re.IGNORECASE)
NUMBERED = re.compile(
    r"(?:(?<!\w)(?:order|invoice|reference|ref|ticket|case|id|tracking|parcel|booking|article|item|sku|serial|account|"
    r"customer|member|policy|version)|[#№])\W{0,3}(?:(?:no|nr|number|is|code)\W{0,3})*$|(?:://|www\.)\S*$",
    re.IGNORECASE,
)
"""What says, right before bare digits, that they are some other number: an order's, or part of an address."""
BEFORE = 60
FEWEST = 7
MOST_LOOKED_UP = 100
"""Numbers of one text that countries are asked about: each takes some milliseconds. Where there are more, as in a
table, the rest is hidden unasked."""


def phones(text: str, valid: Sequence[Valid]) -> Iterator[Span]:
    """Where phone numbers are.

    Args:
        valid: a country each: where in a piece of text it sees numbers of its own.
    """
    found = [m.span() for form in FORMS for m in form.finditer(text)]
    found += [m.span(1) for m in AFTER_A_WORD.finditer(text) if not _is_no_phone(m.group(1))]
    yield from found
    looked_up = 0
    for may_be in MAY_BE.finditer(text):
        start, end = may_be.span()
        if any(a < end and start < b for a, b in found) or _is_no_phone(may_be.group()):
            continue
        before = text[max(0, start - BEFORE) : start]
        if BOOK.search(before) or (may_be.group().isdigit() and NUMBERED.search(before)):
            continue
        looked_up += 1
        yield from _known_somewhere(text, start, end, valid) if looked_up <= MOST_LOOKED_UP else [(start, end)]


def _known_somewhere(text: str, start: int, end: int, valid: Sequence[Valid]) -> Iterator[Span]:
    """What the countries see, until one of them knows the whole."""
    whole = _digits(text[start:end])
    for sees in valid:
        spans = [(start + a, start + b) for a, b in sees(text[start:end])]
        sizes = [_digits(text[a:b]) for a, b in spans]
        yield from (span for span, size in zip(spans, sizes, strict=True) if size >= FEWEST)
        if sum(sizes) >= whole:
            return


def _is_no_phone(said: str) -> bool:
    """Whether a number is a date, years, a coordinate, a sum, a range or the score of a match."""
    plain = said.strip("() ").replace(" - ", "-")
    if NO_PHONE.fullmatch(plain) or _is_range(said.strip("() ")):
        return True
    groups = re.findall(r"[0-9]+", said)
    short = all(len(group) <= 2 for group in groups)
    return short and not groups[0].startswith("0") and SCORE.search(said) is not None


def _is_range(said: str) -> bool:
    """1998-2003, 300 - 1500, 65730-65779: from less to more, and years, or with blanks, or of five digits each."""
    found = RANGE.fullmatch(said)
    if found is None or int(found.group(1)) >= int(found.group(3)):
        return False
    return int(found.group(3)) <= 2100 or " " in found.group(2) or len(found.group(1)) == 5


def _digits(said: str) -> int:
    return sum(c.isdigit() for c in said)
