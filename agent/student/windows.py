"""A question and its context as a network reads them: of a long context in windows that overlap, word by word.

Knows joined texts (`agent.pairing`) and a tokenizer; no model, no task.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import ModelError
from agent.pairing import split

QUESTION_SHARE = 4
"""A question has a quarter of a window at most; what is longer is cut."""
OVERLAP_SHARE = 3
"""Windows share a third of their tokens, so that an answer is whole in one of them."""
SEGMENTS = "token_type_ids"


@dataclass(frozen=True)
class Window:
    """A question and a stretch of its context.

    Attributes:
        text: which of the texts it is of.
        tokens, segments: as the network takes them; `segments` is None where it is not told them.
        asked: places of the question's tokens.
        first: which of the context's words is the first here, of those that stand whole in any window.
        places: of each word that stands here whole, its characters in the context.
        begins, ends: places of each word's first and last token.
    """

    text: int
    tokens: list[int]
    segments: list[int] | None
    asked: list[int]
    first: int
    places: list[tuple[int, int]]
    begins: list[int]
    ends: list[int]


def windows(tokenizer: Any, texts: Sequence[str], most: int) -> list[Window]:
    """All windows of n joined texts, each of at most `most` tokens, text by text; none without any text.

    Words are what the tokenizer parts before it looks at any vocabulary. Raises ModelError where it cannot tell
    which word a token is of.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"student.encoder: {tokenizer.name_or_path} has no tokenizer.json, and questions about a text need one"
        )
    if not texts:
        return []
    pairs = [split(text) for text in texts]
    asked = _cut([question for question, _ in pairs], tokenizer, max(1, most // QUESTION_SHARE))
    found = tokenizer(
        asked,
        [context for _, context in pairs],
        truncation="only_second",
        max_length=most,
        stride=most // OVERLAP_SHARE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        verbose=False,
    )
    rows: dict[int, list[int]] = {}
    for row, text in enumerate(found["overflow_to_sample_mapping"]):
        rows.setdefault(text, []).append(row)
    return [window for text, of_text in rows.items() for window in _of_text(found, text, of_text, pairs[text][1])]


def _cut(questions: list[str], tokenizer: Any, most: int) -> list[str]:
    """Each question up to its last word that fits into `most` tokens."""
    found = tokenizer(questions, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = found["offset_mapping"]
    return [q if len(at) <= most else q[: at[most - 1][1]] for q, at in zip(questions, offsets, strict=True)]


def _of_text(found: Any, text: int, rows: Sequence[int], context: str) -> Iterator[Window]:
    """The windows of one text, whose words are those that stand whole in at least one."""
    tokens = [list(_context_tokens(found, row)) for row in rows]
    reach: dict[int, tuple[int, int]] = {}
    for word, _, (start, end) in (token for of_row in tokens for token in of_row):
        low, high = reach.get(word, (start, end))
        reach[word] = (min(low, start), max(high, end))
    inside = [_whole_words(of_row, reach) for of_row in tokens]
    number = {word: k for k, word in enumerate(sorted(set().union(*inside)))}
    for row, words in zip(rows, inside, strict=True):
        sequences = found.sequence_ids(row)
        yield Window(
            text,
            found["input_ids"][row],
            found[SEGMENTS][row] if SEGMENTS in found else None,
            [k for k, sequence in enumerate(sequences) if sequence == 0],
            number[next(iter(words))] if words else 0,
            [_stripped(context, *reach[word]) for word in words],
            [begin for begin, _ in words.values()],
            [end for _, end in words.values()],
        )


def _context_tokens(found: Any, row: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """(word, place, characters) of each token of a window that is the context's."""
    words, offsets = found.word_ids(row), found["offset_mapping"][row]
    for place, sequence in enumerate(found.sequence_ids(row)):
        if sequence == 1 and words[place] is not None and offsets[place][1] > offsets[place][0]:
            yield words[place], place, offsets[place]


def _whole_words(
    tokens: Sequence[tuple[int, int, tuple[int, int]]], reach: dict[int, tuple[int, int]]
) -> dict[int, tuple[int, int]]:
    """First and last token of each word that a window does not cut."""
    seen: dict[int, list[tuple[int, tuple[int, int]]]] = {}
    for word, place, characters in tokens:
        seen.setdefault(word, []).append((place, characters))
    return {
        word: (own[0][0], own[-1][0]) for word, own in seen.items() if (own[0][1][0], own[-1][1][1]) == reach[word]
    }


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
