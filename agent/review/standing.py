"""How a person's labels stand beside the machine's and other people's, for the page to tell now and then.

It is for the person's own eyes: how others voted is told to a lead alone, and as one share. What was judged blind is
counted in tens, so that no single answer shows what the machine had said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.certifying import certificates
from agent.review.desk import Desk, same
from agent.store import Beside
from agent.tasks.intervals import horvitz_thompson_mean, wilson

TENS = 10


def standing(desk: Desk) -> dict[str, Any]:
    """Shares with their 95 % intervals, each None where nothing can be told yet.

    `seen` and `blind` are how often this person said what the machine had said, with its label in sight and without;
    `accepted` is how many of the accepted labels are right, by what people said of blind ones; `people` is how often
    all who labelled a text said the same, for a lead.
    """
    store, job = desk.store, desk.job.name
    mine = store.beside_machine(job, desk.person)
    hidden = [b for b in reversed(mine) if b.blind]  # oldest first: a ten that is full stays what it is
    texts, same = store.said_alike(job) if desk.lead else (0, 0)
    return {
        "seen": _share(_alike(desk, [b for b in mine if not b.blind])),
        "blind": _share(_alike(desk, _in_tens(hidden))),
        "accepted": _accepted(desk),
        "people": _share([True] * same + [False] * (texts - same)),
    }


def _accepted(desk: Desk) -> dict[str, Any] | None:
    """Of the newest audit that is done; else by what triage drew."""
    done = [c.share for c in certificates(desk.store, desk.job.name, desk.task) if c.is_final and c.share is not None]
    if done:
        share = done[-1]
        return {"value": share.value, "lo": share.lo, "hi": share.hi, "items": share.items}
    drawn = _in_tens(desk.store.blind_verdicts(desk.job.name))
    right = _alike(desk, drawn)
    chances = [b.probability or 1.0 for b in drawn]
    if len(set(chances)) < 2:  # drawn alike
        return _share(right)
    value, lo, hi = horvitz_thompson_mean([float(r) for r in right], chances)
    return {"value": value, "lo": lo, "hi": hi, "items": len(right)}


def _alike(desk: Desk, found: Sequence[Beside]) -> list[bool]:
    return [same(b.given, b.machine, desk.task) for b in found]


def _in_tens(found: Sequence[Beside]) -> Sequence[Beside]:
    return found[: len(found) // TENS * TENS]


def _share(alike: Sequence[bool]) -> dict[str, Any] | None:
    if not alike:
        return None
    lo, hi = wilson(sum(alike), len(alike))
    return {"value": sum(alike) / len(alike), "lo": lo, "hi": hi, "items": len(alike)}
