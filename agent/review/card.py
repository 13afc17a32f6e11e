"""What is sent of one queued text. Nothing of the machine's answer leaves here for a blind item.

A blind item is an audit: its label is worth something only if the person did not see what the machine said. So what
is sent of it is made from its text alone; the route's reason, the pick and the figures behind both stay here, since
each can give the answer away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from agent.records import Label, Value
from agent.review.parts import shown_parts
from agent.review.unseen import Unseen, units
from agent.selection.reasons import cause, notes
from agent.store import LABEL_ERROR, QueueRow, ReviewRow, Trouble
from agent.tasks import Task

OPENING = 6000
"""Characters of a text that are sent at once; the page fetches the rest when it is unfolded."""

MOST_SAID = 60
"""Characters of a text that was written, where it stands in a sentence."""

BLIND = "A check of the machine: what it said is hidden, so that your answer is your own."

TORN = "People disagree about it, and your label decides."

REASONS = {
    "unsure": "The machine is not sure enough to decide this alone.",
    "no confidence": "The machine answered, but nothing says how sure it is.",
    "failed": "The machine gave no usable label",
    LABEL_ERROR: "This label was accepted, and looks wrong",
    "suspect": "It may hold instructions to the machine, whose answer is not shown",
}

BADGES = {"cold": "Typical", "unsure": "Unsure", "uncovered": "New ground", "random": "Random", "again": "Doubtful"}


def card(
    row: QueueRow,
    task: Task,
    trouble: Trouble | None = None,
    unseen: Unseen | None = None,
    *,
    votes: Sequence[Label] = (),
    flags: Sequence[ReviewRow] = (),
) -> dict[str, Any]:
    """One item as the page gets it: plain JSON. `trouble` is what went wrong where it was asked in vain, `unseen`
    what no oracle was shown: it comes from the text alone, and says nothing of an answer. `votes` are the labels of
    people who disagree, `flags` what people wrote to a lead: both are for a lead's eyes. Who flagged a text while it
    was not blind saw the machine's label and may have told it, so of a blind one only notes are sent that were
    written blind. `length` is that of the whole text in UTF-16 units, by which the page knows whether it shows all of
    it."""
    item: dict[str, Any] = {
        "id": row.text_id,
        "text": row.text[:OPENING],
        "length": units(row.text),
        "blind": row.blind,
        "torn": bool(votes),
        "skipped": row.skipped,
        "unseen": unseen.said if unseen else "",
        "places": list(unseen.places) if unseen else [],
        **shown_parts(task, row.text, unseen.places if unseen else (), OPENING),
        "notes": [{"by": f.person, "note": f.note or ""} for f in flags if f.blind or not row.blind],
    }
    if votes:
        told = "; ".join(f"{label.by}: {said(label.value, task)}" for label in votes)
        return item | {"badge": "Disagreement", "reason": f"{TORN} {told}.", "picked": "", "suggestion": None}
    if row.blind:
        return item | {"badge": "Blind", "reason": why_here(row), "picked": "", "suggestion": None}
    return item | {
        "badge": BADGES.get(row.slice, row.slice.capitalize() or "For you"),
        "reason": why_here(row, trouble),
        "picked": _picked(row),
        "suggestion": None if row.suggestion is None else _suggestion(row.suggestion, task),
    }


def failed(row: QueueRow) -> bool:
    """Whether a text waits because it was asked in vain."""
    return not row.blind and row.reason.partition(":")[0].strip() == "failed"


def why_here(row: QueueRow, trouble: Trouble | None = None) -> str:
    """Why a text waits for a person, as a sentence; nothing of the machine where it is blind."""
    if row.blind:
        return BLIND
    if trouble is not None and failed(row):
        times = "once" if trouble.times == 1 else f"{trouble.times} times"
        reasons = "; ".join(f"{why}{f' ({n} times)' if n > 1 else ''}" for why, n in trouble.reasons)
        return f"The oracle failed {times}, for {_dollars(trouble.cost)}: {_sentence(reasons)}"
    kind, colon, more = row.reason.partition(":")
    words = REASONS.get(kind.strip(), kind) + colon + more
    return _sentence(words) or "It waits for a person."


def plain(value: Value, task: Task) -> Any:
    """A label's value as the page's widget takes and gives it: a name, a list of names, or a cell of text."""
    if task.widget == "choice":
        return str(value)
    return [str(v) for v in value] if task.widget == "multiple" else task.show(value)


def said(value: Value, task: Task) -> str:
    """A label's value in a sentence."""
    if task.widget == "text":
        shown = " ".join(task.show(value).split())
        return shown if len(shown) <= MOST_SAID else f"{shown[:MOST_SAID]}…"
    if task.widget == "spans":
        return ", ".join(f"{quote} ({name})" for _, _, name, quote in value) or "nothing marked"
    if task.widget == "answer":
        return " / ".join(quote for *_, quote in value) or "no answer"
    return (", ".join(str(v) for v in value) or "no label") if task.widget == "multiple" else task.show(value)


def _suggestion(label: Label, task: Task) -> dict[str, Any]:
    return {
        "value": plain(label.value, task),
        "shown": None if task.widget == "text" else said(label.value, task),  # it stands in the box
        "by": label.by,
        "source": label.source.value,
        "confidence": finite(label.confidence),
        "probabilities": _probabilities(label.probabilities, task),
    }


def _probabilities(found: Mapping[str, float] | None, task: Task) -> dict[str, float] | None:
    if not found:
        return None
    known = {name: finite(found.get(name)) for name in task.names}
    return {name: p for name, p in known.items() if p is not None}


def finite(number: float | None) -> float | None:
    """A number that JSON can carry, or None."""
    return None if number is None or not math.isfinite(number) else float(number)


def _picked(row: QueueRow) -> str:
    because, figures = cause(row.slice, row.why), notes(row.slice, row.why)
    said = f" because {because}" if because else ""
    return f"Picked in round {row.round}{said}{f' ({figures})' if figures else ''}."


def _dollars(micro: int) -> str:
    """Micro-dollars to the last one, without zeros that say nothing."""
    return f"${micro / 1e6:.6f}".rstrip("0").rstrip(".")


def _sentence(words: str) -> str:
    words = words.strip()
    return words[:1].upper() + words[1:] + ("" if not words or words[-1] in ".!?" else ".")
