"""Datamarking: a mark in place of the blanks between a text's words, so that a model tells it from what it is told.

Hines et al. 2024, "Defending Against Indirect Prompt Injection Attacks With Spotlighting" (arXiv:2403.14720), 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MARKS = ("^", "~", "¦", "¤", "§", "†", *map(chr, range(0xE000, 0xE020)))
"""The first that no text of the question holds is taken: the same one for nearly all, so that a server keeps its
prefix, and never one that an order in the text could be joined by."""
BLANKS = re.compile(r"\s+")


def unused_mark(texts: Sequence[str]) -> str:
    """The mark for a question's texts, its own and those of its worked examples."""
    whole = "\n".join(texts)
    return next((mark for mark in MARKS if mark not in whole), MARKS[-1])


def marked(text: str, mark: str) -> str:
    """The text with `mark` in place of each run of blanks, and nowhere else.

    >>> marked("a  good\\nfilm", "^")
    'a^good^film'
    """
    return BLANKS.sub(mark, text.replace(mark, " ").strip())
