"""What models wrap around an answer: a thought before it, a Markdown fence, quotes, "Label:", a full stop, and after
a whole JSON object an explanation.

Read helpfully, but strictly: what is inside the wrappers must be the answer, nothing else. A label is never looked
for inside a sentence, since one that mentions a label may well say that it is not it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

MOST_LAYERS = 8
Span = tuple[int, int]

THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>|\[(THINK)\]", re.IGNORECASE)
THOUGHT_ENDS = re.compile(r"</think>|\[/THINK\]", re.IGNORECASE)  # where a template itself began the thought
FENCE = re.compile(r"(`{3,}|~{3,})(?:[\w+-]*[ \t]*\n|json(?=\s*[\[{])|)")
LEAD = re.compile(
    r"\*{0,2}(?:(?:the|my|final|best|correct|predicted) ){0,2}"
    r"(?:label|labels|answer|class|category|classification|output|result)\*{0,2} ?[:=]\*{0,2}",
    re.IGNORECASE,
)
PAIRS = ("**", "*", '"', "'", "`", ("“", "”"), ("‘", "’"), ("«", "»"))
STOPS = (".", "!", "。")


def layers(said: str) -> Iterator[list[Span]]:
    """Where the answer may be: all of it, then with one wrapper off, then two, blanks never counted.

    A layer has several places where several wrappers could come off first ("Label: U.S." ends in a stop of its own).
    The outermost comes first, since a label's own name may look like a wrapper.
    """
    layer, seen = [_stripped(said, 0, len(said))], set[Span]()
    for _ in range(MOST_LAYERS):
        if not layer:
            return
        yield layer
        seen.update(layer)
        inner = dict.fromkeys(span for place in layer for span in _without_one(said, *place))
        layer = [span for span in inner if span not in seen]


def after_thought(said: str) -> Span:
    """Where what is no thought is: all of an answer that begins with none."""
    thought = _thought(said.lstrip())
    if thought is None:
        return 0, len(said)
    before = len(said) - len(said.lstrip())
    return _stripped(said, before + thought[0], before + thought[1])


def json_object(said: str) -> tuple[dict[str, Any], Span] | None:
    """The one JSON object that an answer consists of, and where it is; None where there is none.

    An explanation may follow it, unless that could hold another answer. A key that comes twice says two things, so
    that it is none.
    """
    places = (place for layer in layers(said) for place in layer)
    found = (_object_at(said, start, end) for start, end in places if said[start : start + 1] == "{")
    return next((one for one in found if one is not None), None)


def is_whole(said: str) -> bool:
    """Whether an answer that was cut off had come to its end before: only an explanation is missing."""
    return said.rstrip().endswith(("}", "]", "`")) or json_object(said) is not None


def _object_at(said: str, start: int, end: int) -> tuple[dict[str, Any], Span] | None:
    try:
        data, stop = _DECODER.raw_decode(said, start)
    except (ValueError, RecursionError):  # nested a thousand deep: no answer of ours
        return None
    rest = said[stop:end]
    return None if "{" in rest or "```" in rest or not isinstance(data, dict) else (data, (start, stop))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key that comes twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once)


def _stripped(said: str, start: int, end: int) -> Span:
    inner = said[start:end]
    left = len(inner) - len(inner.lstrip())
    return start + left, start + left + len(inner.strip())


def _without_one(said: str, start: int, end: int) -> Iterator[Span]:
    """What is left once one wrapper is off, for each that there is."""
    for peel in (_thought, _fence, _pair, _lead, _stop):
        inner = peel(said[start:end])
        if inner is not None:
            yield _stripped(said, start + inner[0], start + inner[1])


def _thought(text: str) -> Span | None:
    """What comes after a thought; nothing at all where it never ended."""
    begun = THOUGHT.match(text)
    if begun is None:
        ends = THOUGHT_ENDS.search(text)
        return None if ends is None or THOUGHT.search(text, 0, ends.start()) else (ends.end(), len(text))
    last = f"</{begun[1]}>" if begun[1] else f"[/{begun[2]}]"
    at = text.lower().find(last.lower())
    return (len(text), len(text)) if at < 0 else (at + len(last), len(text))


def _fence(text: str) -> Span | None:
    """What is inside a fence. An explanation may follow a JSON object in one; after a bare name it could be a second
    thought."""
    begun = FENCE.match(text)
    if begun is None:
        return None
    at = text.find(begun[1], begun.end())
    if at < 0:
        return begun.end(), len(text)
    body, rest = text[begun.end() : at].strip(), text[at:].lstrip("`~").strip()
    if rest and (not body.startswith("{") or "{" in rest or "```" in rest):
        return None
    return begun.end(), at


def _pair(text: str) -> Span | None:
    for pair in PAIRS:
        left, right = (pair, pair) if isinstance(pair, str) else pair
        if len(text) >= len(left) + len(right) and text.startswith(left) and text.endswith(right):
            return len(left), len(text) - len(right)
    return None


def _lead(text: str) -> Span | None:
    found = LEAD.match(text)
    return None if found is None else (found.end(), len(text))


def _stop(text: str) -> Span | None:
    return (0, len(text) - 1) if text.endswith(STOPS) and len(text) > 1 else None
