"""Spans as tags of words, and back: B- begins one, I- goes on with it, O is outside (Ramshaw & Marcus 1995).

BILOU and BIOES are read too. Words are what blanks part, as in the files that have such tags.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Range = tuple[int, int, str]
"""Characters from, to, and the name of what they are."""
BEGIN, ALONE, OUTSIDE = "B", "SU", "O"
INSIDE = "IELM"  # M is BMES's


def words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text are that blanks part."""
    found, start = [], 0
    for word in text.split(" "):
        if word:
            found.append((start, start + len(word)))
        start += len(word) + 1
    return found


def tags_for(names: Sequence[str]) -> list[str]:
    """All tags that spans of these names have: O, then B- and I- of each."""
    return [OUTSIDE, *(f"{kind}-{name}" for name in names for kind in "BI")]


def conll(text: str, spans: Sequence[Range]) -> str:
    """A text as lines of a word and its tag, with an empty line behind them: the two columns of CoNLL's files. Words
    are what any white space parts here, since none can stand in such a file."""
    words = [(m.start(), m.end()) for m in re.finditer(r"\S+", text)]
    tags = tags_of(spans, words)
    lines = [f"{text[start:end]}\t{tag}\n" for (start, end), tag in zip(words, tags, strict=True)]
    return "".join(lines) + "\n"


def spans_of(tags: Sequence[str], words: Sequence[tuple[int, int]]) -> list[Range]:
    """Tagged words as spans. An I- with nothing before it that it could go on with begins one (as seqeval reads it).

    Raises ValueError for tags that are none, or are not one a word.
    """
    if len(tags) != len(words):
        raise ValueError(f"{len(tags)} tags for {len(words)} words (parted by blanks)")
    found: list[Range] = []
    going_on = False
    for tag, (start, end) in zip(tags, words, strict=True):
        kind, _, name = tag.partition("-")
        if tag == OUTSIDE:
            going_on = False
            continue
        if not name or len(kind) != 1 or kind not in BEGIN + ALONE + INSIDE:
            raise ValueError(f"{tag!r} is no tag such as B-{name or 'person'}, I-{name or 'person'} or O")
        if kind in INSIDE and going_on and found[-1][2] == name:
            found[-1] = (found[-1][0], end, name)
        else:
            found.append((start, end, name))
        going_on = kind in (BEGIN, "I", "M")
    return found


def tags_of(spans: Sequence[Range], words: Sequence[tuple[int, int]]) -> list[str]:
    """A tag for each word. A word that a span only touches belongs to it; of two spans that touch one word, the first
    has it."""
    tags, rest, begun = [], list(spans), False
    for start, end in words:
        while rest and rest[0][1] <= start:
            rest.pop(0)
            begun = False
        if not rest or rest[0][0] >= end:
            tags.append(OUTSIDE)
            continue
        tags.append(f"{'I' if begun else 'B'}-{rest[0][2]}")
        begun = True
    return tags
