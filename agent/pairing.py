"""Two texts as one: a task of pairs keeps both as a single text, joined by a mark that no text holds by chance.

So a pair has one id, one row of the pool, one vector and one cell of the store, as any text does. Knows strings only.
"""

from __future__ import annotations

from agent.picture import with_words, words_of

SIGN = "\u241e"
"""The picture of a record separator, which people can see. Inside of a part it is written twice."""
MARK = f"\n{SIGN}\n"


def join(first: str, second: str) -> str:
    """Both texts as one; `split` gives them back exactly, whatever they hold.

    In a part signs come in even numbers, so the only single one between two line breaks is the mark.

    >>> split(join("It rains.", "It is wet."))
    ('It rains.', 'It is wet.')
    """
    return f"{first.replace(SIGN, SIGN * 2)}{MARK}{second.replace(SIGN, SIGN * 2)}"


def split(text: str) -> tuple[str, str]:
    """The two texts that were joined. A text that is no pair is the first of one whose second is empty."""
    first, _, second = text.partition(MARK)
    return first.replace(SIGN * 2, SIGN), second.replace(SIGN * 2, SIGN)


def stretches(text: str) -> list[tuple[int, str]]:
    """Where each part begins in the joined text, and the part as it is written there; one for a text that is no
    pair."""
    first, mark, second = text.partition(MARK)
    return [(0, first), (len(first) + len(mark), second)] if mark else [(0, text)]


def shortened(text: str, most: int) -> str:
    """The text cut after `most` characters; of a pair each part, so that it stays one, and of a text with a picture
    (`agent.picture`) the text."""
    if MARK not in text:
        return with_words(text, words_of(text)[:most])
    first, second = split(text)
    return join(first[:most], second[:most])
