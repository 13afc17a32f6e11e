"""A text with what it says of a person hidden behind placeholders: `[EMAIL]`, or `[EMAIL 1]` where there are several.

Knows no oracle and no job. Presidio is imported when a redactor is made, and takes some seconds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agent.errors import ExtraMissing, RedactionFailed
from agent.pairing import stretches

PLACEHOLDERS = {"email": "EMAIL", "iban": "IBAN", "card": "CARD", "phone": "PHONE", "name": "NAME"}
"""Kind to the word that stands for it. Where two kinds see the same place, the first of them counts."""
WORDS = {
    "email": ("e-mail address", "e-mail addresses"),
    "iban": ("IBAN", "IBANs"),
    "card": ("card number", "card numbers"),
    "phone": ("phone number", "phone numbers"),
    "name": ("name", "names"),
}
PLAIN = str.maketrans(
    {chr(c): " " for c in (0x00A0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000, 0x0009)}
    | {chr(c): "-" for c in (0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212, 0xFE63, 0xFF0D)}
    | {chr(0xFF10 + d): str(d) for d in range(10)}
    | {chr(0x0660 + d): str(d) for d in range(10)}
    | {chr(0x06F0 + d): str(d) for d in range(10)}
    | {chr(0x0966 + d): str(d) for d in range(10)}
    | {"＠": "@", "＋": "+", "．": ".", "（": "(", "）": ")"}
)
"""Other blanks, dashes and digits as those that the recognizers know, a character each."""
UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
TAKEN = "|"
"""What stands for a place that has been found while the next kind is looked for."""
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """One place that is hidden: characters `start` to `end` of the text, and what stands for them."""

    kind: str
    start: int
    end: int
    placeholder: str


class Redactor:
    """Hides what it finds. Called with a text, it gives the text as it may leave the machine.

    Args:
        finders: by kind, how it is found: spans of characters in a text.
    """

    def __init__(self, finders: Mapping[str, Sequence[Callable[[str], Iterable[tuple[int, int]]]]]) -> None:
        self._finders = {kind: finders[kind] for kind in PLACEHOLDERS if kind in finders}
        self.found = lru_cache(REMEMBERED)(self._found)
        """`found(text) -> tuple[Found, ...]` in the text's order; raises RedactionFailed."""

    @classmethod
    def of(cls, kinds: Sequence[str], model: str | None = None) -> Redactor:
        """Presidio's recognizers and ours. Raises ExtraMissing, ModelError (for names) where something is missing."""
        try:
            from agent.redaction.recognizers import finders
        except ImportError as error:
            raise ExtraMissing(
                f"`data.redact` needs {error.name or 'presidio_analyzer'}, which is not installed: "
                "pip install 'labelwright[redaction]'"
            ) from None
        return cls(finders(kinds, model))

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self._finders)

    def __call__(self, text: str) -> str:
        """The text with placeholders. Raises RedactionFailed: it must not be sent then."""
        parts, end = [], 0
        for found in self.found(text):
            parts += [text[end : found.start], found.placeholder]
            end = found.end
        return "".join([*parts, text[end:]])

    def tally(self, texts: Iterable[str]) -> dict[str, int]:
        """How many of the texts have something of each kind, and how many have anything (`texts`)."""
        counts: Counter[str] = Counter()
        for text in texts:
            try:
                kinds = {f.kind for f in self.found(text)}
            except RedactionFailed:  # never sent
                continue
            counts.update(kinds | {"texts"} if kinds else kinds)
        return dict(counts)

    def _found(self, text: str) -> tuple[Found, ...]:
        if not text.strip():
            return ()
        try:
            # nothing is found across the mark between the texts of a pair, which so stays where it is
            parts = stretches(text)
            spans = [(kind, at + start, at + end) for at, part in parts for kind, start, end in self._spans(part)]
        except Exception as error:  # whatever went wrong inside: a text that was not looked through stays here
            raise RedactionFailed(
                f"it could not be redacted ({type(error).__name__}), and so it was not sent"
            ) from error
        return _numbered(text, _merged(spans))

    def _spans(self, text: str) -> Iterator[tuple[str, int, int]]:
        kept = [i for i, c in enumerate(text) if not UNSEEN.match(c)] if UNSEEN.search(text) else range(len(text))
        plain = (text if isinstance(kept, range) else "".join(text[i] for i in kept)).translate(PLAIN)
        for kind, ways in self._finders.items():
            spans = [(start, end) for find in ways for start, end in find(plain) if end > start]
            for start, end in spans:
                yield kind, kept[start], kept[end - 1] + 1
                plain = plain[:start] + TAKEN * (end - start) + plain[end:]


def _merged(spans: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Those that overlap become one, of the kind that was looked for first: nothing found is left in part."""
    order = {kind: i for i, kind in enumerate(PLACEHOLDERS)}
    merged: list[tuple[str, int, int]] = []
    for kind, start, end in sorted(spans, key=lambda s: (s[1], s[2])):
        if merged and start < merged[-1][2]:
            before, first, last = merged[-1]
            merged[-1] = (min(before, kind, key=order.__getitem__), first, max(last, end))
        else:
            merged.append((kind, start, end))
    return merged


def _numbered(text: str, spans: Sequence[tuple[str, int, int]]) -> tuple[Found, ...]:
    """Placeholders: the same for the same value, with a number where a text has several values of a kind."""
    values = [(kind, _value(kind, text[start:end])) for kind, start, end in spans]
    numbers: dict[str, dict[str, int]] = {}
    for kind, value in values:
        of_kind = numbers.setdefault(kind, {})
        of_kind.setdefault(value, len(of_kind) + 1)
    return tuple(
        Found(kind, start, end, _placeholder(kind, numbers[kind][value], len(numbers[kind])))
        for (kind, start, end), (_, value) in zip(spans, values, strict=True)
    )


def _placeholder(kind: str, number: int, of: int) -> str:
    return f"[{PLACEHOLDERS[kind]} {number}]" if of > 1 else f"[{PLACEHOLDERS[kind]}]"


def _value(kind: str, said: str) -> str:
    """What two ways of writing one value have in common."""
    plain = UNSEEN.sub("", said).translate(PLAIN).casefold()
    if kind in ("card", "phone"):
        return "".join(c for c in plain if c.isdigit())
    return "".join(c for c in plain if c.isalnum()) if kind == "iban" else " ".join(plain.split())


def counted(found: Iterable[Found]) -> Counter[str]:
    """How many different values of each kind."""
    return Counter(kind for kind, _ in {(f.kind, f.placeholder) for f in found})


def said(counts: Mapping[str, int]) -> str:
    """`2 e-mail addresses, 1 card number`; "" where there is none."""
    told = [(kind, counts.get(kind, 0)) for kind in PLACEHOLDERS]
    return ", ".join(f"{n:,} {WORDS[kind][n != 1]}" for kind, n in told if n)
