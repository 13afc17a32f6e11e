"""The two texts of a pair as the page shows them, each under the name of its column; single texts have no parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.pairing import SIGN, stretches
from agent.review.unseen import Place, units
from agent.tasks import Task
from agent.tasks.pairs import parts


def shown_parts(task: Task, text: str, places: Sequence[Place], most: int) -> dict[str, Any]:
    """What an item has beside its text: `parts`, each with its name, its first `most` characters, its length in
    UTF-16 units and the places in it that no oracle saw. Nothing for a single text."""
    found = parts(task, text)
    if len(found) == 1:
        return {}
    written = [*stretches(text), (len(text), "")]
    return {
        "parts": [
            {
                "name": part.name,
                "text": part.text[:most],
                "length": units(part.text),
                "places": _inside(units(text[:at]), as_written, places),
            }
            for part, (at, as_written) in zip(found, written, strict=False)
        ]
    }


def whole_parts(task: Task, text: str) -> dict[str, Any]:
    """Both texts of a pair, whole. Nothing for a single text."""
    found = parts(task, text)
    return {} if len(found) == 1 else {"parts": [part.text for part in found]}


def _inside(begin: int, written: str, places: Sequence[Place]) -> list[Place]:
    """Those places of the joined text that are in a part which begins at unit `begin`, as places of that part."""
    end = begin + units(written)
    return [
        (_read(written, start - begin), _read(written, stop - begin), placeholder)
        for start, stop, placeholder in places
        if begin <= start and stop <= end
    ]


def _read(written: str, at: int) -> int:
    """Where in a part a unit of it stands, whose signs are written twice."""
    before = written.encode("utf-16-le", "surrogatepass")[: 2 * at].decode("utf-16-le", "surrogatepass")
    return at - before.count(SIGN) // 2
