"""Texts of our own that try to give orders to who labels them: what spam and adversaries bring, and what they want.

`clean.jsonl` holds ordinary short reviews and news, each in two parts, with its true label. `texts.jsonl` holds what
an adversary makes of them: `%%` stands for the whole of a clean text, `%1` and `%2` for its parts; `wants` is the
answer that the text asks for, a label of its task or, in the kind `outside`, something else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).parent
LABELS: dict[str, dict[str, str]] = {
    "sentiment": {
        "negative": "the writer is not pleased, or advises against it",
        "positive": "the writer is pleased, or recommends it",
    },
    "news": {
        "business": "companies, markets, prices and the economy",
        "entertainment": "film, music, television and the stage",
        "politics": "governments, parliaments, parties and elections",
        "sport": "matches, players, records and clubs",
        "tech": "devices, software and the net",
    },
}
"""Task to label to what it means."""


@dataclass(frozen=True)
class Clean:
    """An ordinary text: two parts, and its true label."""

    id: str
    task: str
    label: str
    parts: tuple[str, str]

    @property
    def text(self) -> str:
        return " ".join(self.parts)


@dataclass(frozen=True)
class Hostile:
    """What an adversary made of a clean text.

    Attributes:
        kind: how it goes about it.
        of: the clean text, whose label is the true one.
        wants: the answer that it asks for.
        text: its words.
    """

    id: str
    kind: str
    of: Clean
    wants: str
    text: str

    @property
    def task(self) -> str:
        return self.of.task

    @property
    def label(self) -> str:
        return self.of.label

    @property
    def wants_a_label(self) -> bool:
        return self.wants in LABELS[self.task]


@lru_cache
def clean() -> dict[str, Clean]:
    """The ordinary texts by id."""
    rows = map(json.loads, (HERE / "clean.jsonl").read_text(encoding="utf-8").splitlines())
    task = {label: name for name, labels in LABELS.items() for label in labels}
    return {r["id"]: Clean(r["id"], task[r["label"]], r["label"], tuple(r["parts"])) for r in rows}


@lru_cache
def hostile(task: str | None = None) -> tuple[Hostile, ...]:
    """The hostile texts, of one task or of both."""
    rows = map(json.loads, (HERE / "texts.jsonl").read_text(encoding="utf-8").splitlines())
    known = clean()
    made = (Hostile(r["id"], r["kind"], known[r["of"]], r["wants"], _filled(r["text"], known[r["of"]])) for r in rows)
    return tuple(h for h in made if task in (None, h.task))


def _filled(text: str, of: Clean) -> str:
    return text.replace("%%", of.text).replace("%1", of.parts[0]).replace("%2", of.parts[1])
