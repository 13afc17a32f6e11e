"""Does a text look as if it spoke to who labels it? A cheap look at its words, before any model is asked.

It errs on both sides, and decides nothing: what is suspected is asked about twice, which costs one question more.
`python -m evals.hostile` says how often ordinary texts are suspected, and how many hostile ones are not.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files

from agent.oracle.fence import fenced, folded

MOST_CHARS = 100_000
"""A longer text is suspected unseen: much can be hidden in it, and to look takes a second for so many characters."""
LABEL = (
    r"(?:labels?|answers?|categor(?:y|ies)|class(?:ification)?|sentiment|verdict|tags?|topic|output|response|rating)"
)
THIS = (
    r"(?:this|it|that|these|the (?:\w+ )?(?:text|review|message|item|article|comment|input|document|above|following))"
)
STRONG = re.compile(
    r"ignore|instruction|disregard|\blabels?\b|\banswer\b|classif|system|\bpositive\b|\bnegative\b", re.IGNORECASE
)
"""One of these in what a text turns out to say when it is decoded is enough: nobody decodes by accident."""
ENCODED = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")
HEXED = re.compile(r"(?:[0-9a-fA-F]{2}[ :]?){12,}")
SPACED = re.compile(r"(?<!\w)(?:\w[ ._-]){5,}\w(?!\w)")
DIGITS = str.maketrans("0134578@$!|", "oieastbasil")


def looks_hostile(text: str, names: Sequence[str] = ()) -> bool:
    """Whether the text looks as if it gave orders, or said what its label is.

    Args:
        names: of the labels that may be given.
    """
    if len(text) > MOST_CHARS or fenced(text) != text:
        return True
    said = _one_blank(folded(text))
    if _phrases().search(said) or (names and _named(tuple(names)).search(said)):
        return True
    return any(STRONG.search(inner) for inner in _decoded(text, said))


@lru_cache(maxsize=1)
def _phrases() -> re.Pattern[str]:
    """What hostile.txt lists."""
    whole = (files("agent.oracle") / "hostile.txt").read_text(encoding="utf-8")
    own, _, foreign = whole.partition("\n-----\n")
    listed = [line for line in own.splitlines() if line and not line.startswith("# ")]
    listed += [folded(line) for line in foreign.splitlines()]
    return re.compile("|".join(listed).replace("LABEL", LABEL).replace("THIS", THIS))


@lru_cache(maxsize=32)
def _named(names: tuple[str, ...]) -> re.Pattern[str]:
    """An order or a claim with a label's name in it: `answer: sport`, `the label is "sport"`."""
    known = "|".join(re.escape(_one_blank(folded(n))) for n in sorted(names, key=len, reverse=True))
    name = f"(?:{known})"
    said = "|".join(
        (
            r"say|write|answer|choose|pick|select|return|print|reply|respond|output|vote|type",
            r"be|put|belongs? to|(?:call(?:ed|ing)?|answering|meant?|saying|label(?:led)?)(?: (?:it|this|text))?",
            r"counts? as|(?:down|it|goes|classed|registered|recorded|filed|set) (?:as|under|to|on the)",
        )
    )
    given = r"label|classify|mark|tag|rate|file|count|treat|record|grade|code"
    ways = (
        rf"\b{LABEL}\b(?: (?:is|must|should|be|of|for|this|to|as|text|review)){{0,6}}\W{{0,8}}{name}\b",
        rf"\b(?:{said})(?: (?:with|only|just|the|word|label|it|is|as|for)){{0,6}}\W{{1,4}}{name}\b",
        rf"\b(?:{given})(?: \w+){{0,4}}? (?:as|under|with)\W{{1,4}}{name}\b",
        rf"[\"'`«*\[]{name}[\"'`»*\]]",
        rf"(?:[|#,(]|[-=]>|[:=]) ?{name} ?(?:[|#,);.]|\n|$)",
        rf"\b({known})\b(?:\W+\1\b){{2}}|#{name}\b",
    )
    return re.compile("|".join(ways))


def _decoded(text: str, said: str) -> Iterator[str]:
    """What a text says in codes that models read: base64, hex, rot13, backwards, digits or blanks between letters."""
    for found in ENCODED.findall(text):
        try:
            raw = base64.b64decode(found + "=" * (-len(found) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        yield from _printable(raw)
    for found in HEXED.findall(text):
        yield from _printable(bytes.fromhex(re.sub("[ :]", "", found)))
    for other in (said[::-1], codecs.encode(said, "rot13"), said.translate(DIGITS)):
        yield from (found[0] for found in _phrases().finditer(other) if found[0] not in said)
    yield from (re.sub(r"\W|_", "", found) for found in SPACED.findall(said))


def _printable(raw: bytes) -> list[str]:
    return [raw.decode()] if raw.isascii() and raw.decode().isprintable() else []


def _one_blank(said: str) -> str:
    """One blank for several, line ends kept: a role stands at the beginning of a line."""
    return re.sub(r"[^\S\n]+", " ", re.sub(r" ?\n ?", "\n", said)).replace("’", "'")
