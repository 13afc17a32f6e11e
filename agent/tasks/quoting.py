"""Where quotations stand in a text: exactly, or as near as a model that quotes carelessly left them.

A model names a piece of a text by its words, never by offsets, which it cannot count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz

ALIKE = 85.0
"""Of 100: a quotation that is less like the text is none of it."""
SHORTEST_REPAIRED = 4
"""Characters: of a shorter quotation nearly every text holds something alike."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a quotation stands: characters `start` to `end`, and whether its words had to be `repaired`."""

    start: int
    end: int
    repaired: bool = False


def located(text: str, quotes: Sequence[str]) -> list[Place | None]:
    """The place of each quotation, none of which overlaps another; None for what does not stand in the text, or only
    where others do.

    They are taken to come in the text's order, so that the second mention of a name is the second place where it
    stands; one that is out of order is looked for everywhere.
    """
    found: list[Place | None] = []
    taken: list[Place] = []
    after = 0
    for quote in quotes:
        place = _place(text, quote, after, taken)
        found.append(place)
        if place is not None:
            taken.append(place)
            after = max(after, place.end)
    return found


def one_place(text: str, quote: str) -> Place | None:
    """The place of the only quotation; None for what does not stand in the text.

    The first of several, but one from a word's beginning to a word's end before all others: "19" is looked for in
    "1954" only where it stands nowhere alone. A careless one is never looked for inside of words.
    """
    exactly = list(_exactly(text, quote))
    whole = [place for place in exactly if _is_whole(text, *place)]
    if exactly:
        return Place(*(whole or exactly)[0])
    loosely = [place for place in _loosely(text, quote) if _is_whole(text, *place)]
    if loosely:
        return Place(*loosely[0], repaired=True)
    nearest = _alike(text, quote)
    return Place(*nearest, repaired=True) if nearest else None


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether a piece begins and ends where words do."""
    return not any(0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum() for at in (start, end))


def _place(text: str, quote: str, after: int, taken: Sequence[Place]) -> Place | None:
    for repaired, places in ((False, _exactly(text, quote)), (True, _loosely(text, quote))):
        free = [Place(start, end, repaired) for start, end in places if _is_free(start, end, taken)]
        if free:
            return next((place for place in free if place.start >= after), free[0])
    nearest = _alike(text, quote)
    return Place(*nearest, repaired=True) if nearest and _is_free(*nearest, taken) else None


def _is_free(start: int, end: int, taken: Sequence[Place]) -> bool:
    return all(end <= place.start or place.end <= start for place in taken)


def _exactly(text: str, quote: str) -> Iterator[tuple[int, int]]:
    start = text.find(quote) if quote else -1
    while start >= 0:
        yield start, start + len(quote)
        start = text.find(quote, start + 1)


def _loosely(text: str, quote: str) -> Iterator[tuple[int, int]]:
    """Whatever the case, the blanks and the quotation marks around it."""
    words = quote.strip(" \t\n\r\"'`“”‘’«»").split()
    if words:
        pattern = r"\s*".join(re.escape(word) for word in words)
        yield from (m.span() for m in re.finditer(pattern, text, re.IGNORECASE))


def _alike(text: str, quote: str) -> tuple[int, int] | None:
    """The piece of the text that is most like a quotation, from a word's beginning to a word's end."""
    if len(quote) < SHORTEST_REPAIRED or len(quote) > len(text):
        return None
    best = fuzz.partial_ratio_alignment(quote, text, score_cutoff=ALIKE)
    if best is None:
        return None
    start, end = best.dest_start, best.dest_end
    while start > 0 and start < len(text) and text[start].isalnum() and text[start - 1].isalnum():
        start -= 1
    while 0 < end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    end -= len(piece) - len(piece.rstrip())
    return (start, end) if start < end and fuzz.ratio(quote.casefold(), text[start:end].casefold()) >= ALIKE else None
