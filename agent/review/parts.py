"""What an item is made of, as the page shows it: both texts of a pair, each under the name of its column, or a text
beside its picture; a single text has no parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.pairing import SIGN, stretches
from agent.picture import words_of
from agent.review.unseen import Place, units
from agent.tasks import Task
from agent.tasks.pairs import Depicted, parts


def shown_parts(task: Task, text: str, places: Sequence[Place], most: int) -> dict[str, Any]:
    """What an item has beside its text: `parts`, each with its name, its first `most` characters, its length in
    UTF-16 units and the places in it that no oracle saw. Of a text with a picture its words in place of all of it,
    and what the picture is called: not the path, which may name a label. Nothing for a single text."""
    if depicted := _words_and_picture(task, text):
        words, picture = depicted
        return {"text": words[:most], "length": units(words), "picture": picture}
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
    """Both texts of a pair, whole; the words of a text with a picture. Nothing for a single text."""
    if depicted := _words_and_picture(task, text):
        return {"text": depicted[0]}
    found = parts(task, text)
    return {} if len(found) == 1 else {"parts": [part.text for part in found]}


def opening(task: Task, text: str) -> str:
    """How an item begins, for a list of many; of a picture without words what it is called."""
    if depicted := _words_and_picture(task, text):
        words, picture = depicted
        return words.strip() or picture
    return text.strip()


def _words_and_picture(task: Task, text: str) -> tuple[str, str] | None:
    """The words of a text with a picture, and what the picture is called; None for another text."""
    if not isinstance(task, Depicted) or task.image is None:
        return None
    return words_of(text), task.image


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
