"""A text with its picture as one string: the words, a mark that no text holds by chance, and which file it is.

So such an item has one id, one row of the pool, one vector and one cell of the store, as any text does. The file is
named with a hash of its bytes: another picture under the same name is another item. Knows strings only; the bytes are
read by `agent.images`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SIGN = "\u241c"
"""The picture of a file separator, which people can see. Inside of a text it is written twice."""
MARK = f"\n{SIGN} "
WRITTEN = re.compile(r"(.+) ([0-9a-f]{64})")
"""What stands after the mark: nothing else is a picture."""


class Reference(NamedTuple):
    """Which picture: its path in the folder of the pool, and the SHA-256 of its bytes in hexadecimal digits."""

    path: str
    sha256: str


def join(words: str, picture: Reference) -> str:
    """Both as one string; `split` gives them back exactly, whatever they hold.

    In the words signs come in even numbers, so the first single one after a line break is the mark.

    >>> split(join("A cat.", Reference("cats/1.png", "ab" * 32)))[0]
    'A cat.'
    """
    return f"{words.replace(SIGN, SIGN * 2)}{MARK}{picture.path} {picture.sha256}"


def split(text: str) -> tuple[str, Reference | None]:
    """The words and the picture. A text that has none comes back as it is."""
    words, _, after = text.partition(MARK)
    written = WRITTEN.fullmatch(after)
    if written is None:
        return text, None
    return words.replace(SIGN * 2, SIGN), Reference(*written.groups())


def words_of(text: str) -> str:
    """What an item says, without its picture."""
    return split(text)[0]


def quoted(text: str) -> str:
    """An item for reading, where it is merely quoted: its words, and which file."""
    words, picture = split(text)
    return words if picture is None else f"{words} [{picture.path}]"


def with_words(text: str, words: str) -> str:
    """The same item with other words."""
    _, picture = split(text)
    return words if picture is None else join(words, picture)
