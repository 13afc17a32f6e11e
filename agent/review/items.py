"""What leaves for another tool and comes back from it: texts with what was said of them, whatever the format.

Nothing of the machine's answer leaves for a blind item, as on the page: neither label nor figures nor reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from agent.errors import DataError
from agent.job import Job
from agent.records import Label, Source, TextId
from agent.review.card import BLIND, failed, finite, why_here
from agent.review.desk import LONGEST_S
from agent.review.unseen import look_of
from agent.store import History, Store
from agent.tasks import Task

BY_RANK = (Source.STUDENT, Source.ORACLE, Source.SEED)  # of what is no person's, what counts most last
EMPTY, CANCELLED = "empty", "cancelled"


class Given(NamedTuple):
    """A label of a person that stands, and the seconds it took; 0 where that is not known."""

    label: Label
    seconds: float = 0.0


class Item(NamedTuple):
    """One text as it leaves. `machines` are labels of oracles and others that are no person, the one that counts
    last; there are none where the item is blind. `people` has each person's newest label, the oldest first."""

    text_id: TextId
    text: str
    blind: bool
    reason: str = ""
    round: int | None = None
    slice: str = ""
    machines: tuple[Label, ...] = ()
    people: tuple[Given, ...] = ()

    def provenance(self) -> dict[str, Any]:
        """Where it and its labels come from, as JSON; of a blind item that it is one."""
        if self.blind:
            return {"blind": True, "reason": self.reason}
        return {
            "blind": False,
            "reason": self.reason,
            "round": self.round,
            "slice": self.slice,
            "machines": [
                {
                    "by": label.by,
                    "source": label.source.value,
                    "confidence": finite(label.confidence),
                    "probabilities": label.probabilities and {k: finite(v) for k, v in label.probabilities.items()},
                    "prompt_hash": label.prompt_hash,
                    "cost_dollars": label.cost / 1e6,
                    "created_at": written_at(label),
                }
                for label in self.machines
            ],
        }


@dataclass(frozen=True, slots=True)
class Filled:
    """One label that came back.

    Attributes:
        place: where in the file, as a message goes on after its name and a colon: a line, or a record with its key.
        answer: the label: a cell of text, or a list of names.
        person: who gave it; None where the file does not say.
        seconds: how long it took, 0 if unknown.
        at: when it was given; None if unknown.
    """

    place: str
    text_id: TextId
    answer: str | list[str]
    person: str | None = None
    seconds: float = 0.0
    at: datetime | None = None


class Format(Protocol):
    """A way of writing items to a file (or a folder), and of reading labels back."""

    def write(self, items: Iterator[Item], job: Job, task: Task, path: Path) -> int:
        """Write items, and what else the other tool needs; returns how many. Raises DataError."""
        ...

    def read(self, path: Path, task: Task, tally: Counter[str], people: Collection[str]) -> Iterator[Filled]:
        """The labels of a file. What holds none is counted in `tally`, as `empty` or `cancelled`; `people` are those
        who labelled before. Raises DataError."""
        ...


def is_written(task: Task) -> bool:
    """Whether a label is no choice among names, and other programs have it written as JSON."""
    return task.widget in ("json", "number", "spans", "answer", "text")


def seconds_of(said: object) -> float:
    """How long a label took, in seconds; 0 where a file does not say."""
    if not isinstance(said, int | float) or isinstance(said, bool) or not said > 0:
        return 0.0
    return min(float(said), LONGEST_S)


def moment(said: object, where: str) -> datetime | None:
    """A time of a file, UTC where it names no zone; None where there is none. Raises DataError that begins with
    `where`."""
    if said is None:
        return None
    try:
        found = datetime.fromisoformat(str(said))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise DataError(f"{where}: {str(said)[:60]!r} is no time; write it as 2026-11-30T19:45:00+00:00") from None


def written_at(label: Label) -> str | None:
    """When a label was given, in ISO 8601."""
    return None if label.created_at is None else label.created_at.isoformat()


def waiting_items(store: Store, job: Job) -> Iterator[Item]:
    """What waits for a person, most urgent first, skipped texts last."""
    look = look_of(job)
    for rows in store.queue_in_parts(job.name):
        in_vain = [row.text_id for row in rows if failed(row)]
        troubles = store.troubles(job.name, in_vain) if in_vain else {}
        for row in rows:
            machines = () if row.blind or row.suggestion is None else (row.suggestion,)
            said = (why_here(row, troubles.get(row.text_id)), look(row.text).said)
            reason = " ".join(filter(None, said))
            yield Item(row.text_id, row.text, row.blind, reason, row.round, row.slice, machines)


def labelled_items(store: Store, job: Job) -> Iterator[Item]:
    """Every text that has a label, with all that stand, by text id."""
    yield from map(_labelled, store.histories(job.name))


def _labelled(history: History) -> Item:
    newest = {(label.source, label.by): label for label in history.labels}  # oldest first: the newest stays
    ranked = sorted(newest.values(), key=lambda x: x.id or 0)
    people = tuple([Given(x, history.seconds.get(x.id or 0, 0.0)) for x in ranked if x.source is Source.PERSON])
    route = history.route
    if history.blind:
        return Item(history.text_id, history.text, True, BLIND, people=people)
    machines = tuple(sorted([x for x in ranked if x.source in BY_RANK], key=lambda x: BY_RANK.index(x.source)))
    reason = "" if route is None else route.reason
    return Item(history.text_id, history.text, False, reason, history.round, history.slice, machines, people)
