"""The scripted model: what it says of a text, how sure it is, and what that weighs in tokens.

Everything follows from a seed and the text, so a question asked twice gets the same answer. A wrong answer is less
sure than a right one, but only on average. Standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FENCE = re.compile(r"<text>\n?(.*?)\n?</text>", re.DOTALL)
PIECES = re.compile(r"[A-Za-z0-9]{1,5}|[^A-Za-z0-9]", re.DOTALL)
LISTED = re.compile(r"^- ([^:\n]+): ([^:\n]+)", re.MULTILINE)
PICTURE = 64  # tokens of one
NOTHING = "∅"  # mass that goes to no label
NONE = "none of these"  # what is right where the right label is not among those that may be answered

Token = tuple[str, float, list[tuple[str, float]]]  # token, log probability, alternatives


def chance(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def pieces(text: str) -> list[str]:
    """The scripted tokenizer: runs of up to five letters, and every other character alone."""
    return PIECES.findall(text)


def said_and_shown(content: object) -> tuple[str, list[bytes]]:
    """The words of a turn, and the pictures that it brings along as `data:` URIs."""
    if not isinstance(content, list):
        return str(content), []
    words = "".join(part["text"] for part in content if part["type"] == "text")
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return words, [base64.b64decode(url.partition(";base64,")[2], validate=True) for url in urls]


def weight(messages: Iterable[Mapping[str, Any]]) -> int:
    """Prompt tokens: a quarter of the bytes, four for each turn, and `PICTURE` for each picture."""
    turns = [said_and_shown(m.get("content", "")) for m in messages]
    return sum(len(words.encode()) // 4 + 5 + PICTURE * len(pictures) for words, pictures in turns)


def asked_about(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text between <text> and </text> in the last user message, or that message itself; of a pair both texts,
    with a line break between them; after that the SHA-256 of each picture."""
    last = next((m.get("content", "") for m in reversed(messages) if m.get("role") == "user"), "")
    words, pictures = said_and_shown(last)
    parts = FENCE.findall(words) or [words]
    return "\n".join([*(part.strip() for part in parts), *(hashlib.sha256(p).hexdigest() for p in pictures)])


@dataclass(frozen=True)
class Form:
    """The form that a request asks its answer in: `choice`, `json` or `free`, and the labels it allows.

    `means` says what a code stands for, where the prompt lists codes; `before` is what the answer has to begin with.
    """

    kind: str
    labels: tuple[str, ...] = ()
    member: str = "label"
    means: Mapping[str, str] = field(default_factory=dict)
    before: str = ""

    @classmethod
    def of(cls, body: Mapping[str, Any], ignored: frozenset[str]) -> Form:
        """What the request demands by `structured_outputs` or `response_format`, unless that field is ignored."""
        means = dict(LISTED.findall(str(body["messages"][0].get("content", ""))))
        structured = body.get("structured_outputs") or {}
        if "choice" in structured and "structured_outputs" not in ignored:
            return cls("choice", tuple(structured["choice"]), means=means)
        wanted = body.get("response_format") or {}
        if wanted.get("type") == "json_schema" and "response_format" not in ignored:
            *first, (member, schema) = wanted["json_schema"]["schema"]["properties"].items()
            before = "".join(f'"{name}": "it says so", ' for name, _ in first)
            labels = tuple((schema.get("items") or schema).get("enum", ()))
            return cls("json", labels, member, means, before)
        return cls("free")


@dataclass(frozen=True)
class ScriptedModel:
    """Answers from `gold` with a seeded share `errors` of wrong ones."""

    gold: Mapping[str, Any]
    errors: float = 0.0
    seed: int = 0
    labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[str, None] = {}
        for value in self.gold.values():
            said = value if isinstance(value, list) else [value]
            found |= dict.fromkeys(v for v in said if isinstance(v, str))
        object.__setattr__(self, "labels", tuple(found))

    def is_wrong_about(self, text: str) -> bool:
        return chance(self.seed, "wrong", text) < self.errors

    def sureness(self, text: str) -> float:
        """Probability of what it says: 0.5 to 1 where it is right, 0.45 to 0.95 where it is wrong."""
        u = chance(self.seed, "sure", text)
        return 0.45 + 0.5 * u if self.is_wrong_about(text) else 1 - 0.5 * u * u

    def says(self, text: str, form: Form) -> tuple[str, list[Token]]:
        """Content and tokens of the answer to one text."""
        if form.kind == "free" and text not in self.gold:
            return "Paris", [("Paris", -0.01, [("Paris", -0.01)])]
        value = self.gold.get(text)
        if value is None or isinstance(value, str):
            beliefs = self.beliefs(text, form.labels or self.labels, form.means)
            name = max(beliefs, key=beliefs.__getitem__)
            lead, tail = (f'{{{form.before}"{form.member}": "', '"}') if form.kind == "json" else ("", "")
            tokens = _certain(lead) + _told_apart(name, beliefs) + _certain(tail)
            return lead + name + tail, tokens
        if self.is_wrong_about(text):
            value = value[:-1] if isinstance(value, list) and value else value
        content = json.dumps(value if isinstance(value, dict) else {form.member: value}, ensure_ascii=False)
        sure = math.log(self.sureness(text))
        return content, [(p, sure if p[0].isalnum() else 0.0, [(p, sure)]) for p in pieces(content)]

    def garbage(self, form: Form) -> tuple[str, list[Token]]:
        """An answer in the form that was asked for, with a label that nobody offered."""
        said = "none of these labels"
        content = f'{{"{form.member}": "{said}"}}' if form.kind == "json" else said
        return content, _certain(content)

    def beliefs(self, text: str, labels: Sequence[str], means: Mapping[str, str] | None = None) -> dict[str, float]:
        """Probability of each label and of nothing at all: the answer, a runner-up, a few more, a little lost."""
        known = self.gold.get(text)
        if known is not None and known not in labels:
            codes = {meaning: code for code, meaning in (means or {}).items() if code in labels}
            known = codes.get(str(known), codes.get(NONE, NONE))
        guess = labels[int(chance(self.seed, "guess", text) * len(labels))]
        right = str(known) if known in labels else guess
        others = [n for n in labels if n != right] or [right]
        other = others[int(chance(self.seed, "other", text) * len(others))]
        answer, second = (other, right) if self.is_wrong_about(text) else (right, other)
        sure = self.sureness(text) if known is not None else 0.5
        rest = 1 - sure
        crowd = [n for n in labels if n not in (answer, second)][:8]
        found = {answer: sure} | ({second: rest * 0.7} if second != answer else {})
        found |= {n: rest * 0.2 / len(crowd) for n in crowd}
        return found | {NOTHING: 1 - sum(found.values())}


def _certain(text: str) -> list[Token]:
    return [(p, 0.0, [(p, 0.0)]) for p in pieces(text)]


def _told_apart(name: str, beliefs: Mapping[str, float]) -> list[Token]:
    """The tokens of `name`, each with the probabilities that `beliefs` give to what could stand there."""
    alive = {n: (pieces(n), p) for n, p in beliefs.items()}
    out: list[Token] = []
    for place, piece in enumerate(pieces(name)):
        mass: dict[str, float] = {}
        for parts, p in alive.values():
            step = parts[place] if place < len(parts) else "</s>"
            mass[step] = mass.get(step, 0.0) + p
        total = sum(mass.values())
        top = sorted(((s, math.log(m / total)) for s, m in mass.items() if m > 0), key=lambda x: -x[1])
        out.append((piece, dict(top)[piece], top))
        alive = {n: (parts, p) for n, (parts, p) in alive.items() if parts[place : place + 1] == [piece]}
    return out
