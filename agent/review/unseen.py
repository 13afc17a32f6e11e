"""What the oracle did not see of a text, for the person who labels it: a sentence, and the places.

Found again when the text is shown, by the job's own settings; people always see the text as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.errors import RedactionFailed, UserError
from agent.job import Job
from agent.redaction import Redactor, counted, redactor_of, said

Place = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Unseen:
    """`said` is a sentence, "" where nothing was hidden. A place is where it begins and ends in the text, in UTF-16
    units as a browser counts, and what the oracle saw there."""

    said: str = ""
    places: tuple[Place, ...] = ()


Look = Callable[[str], Unseen]


def look_of(job: Job) -> Look:
    """How a text of the job is looked at. Takes some seconds where the job redacts."""
    try:
        redactor = redactor_of(job)
    except UserError as error:  # whoever reviews need not have what the run had
        missing = Unseen(f"What was hidden from the oracle cannot be shown here: {error}.")
        return lambda _: missing
    if redactor is None:
        nothing = Unseen()
        return lambda _: nothing
    return lambda text: _unseen(redactor, text)


def _unseen(redactor: Redactor, text: str) -> Unseen:
    try:
        found = redactor.found(text)
    except RedactionFailed as error:
        return Unseen(f"No oracle was shown this text: {error}.")
    if not found:
        return Unseen()
    places = tuple((units(text[: f.start]), units(text[: f.end]), f.placeholder) for f in found)
    return Unseen(f"The oracle did not see: {said(counted(found))}.", places)


def units(text: str) -> int:
    """How long a browser finds the text: most emoji are two units of UTF-16, and one character here."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
