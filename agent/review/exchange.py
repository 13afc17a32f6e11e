"""The queue, and every labelled text, as a file for another tool, and people's labels back (docs/exchange.md).

What leaves and comes back is the same in each format (`items`); how it is written is a file a format: `table` (CSV),
`label_studio`, `argilla`. An import takes all labels of a file or none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path

from agent.certifying import settle
from agent.errors import DataError
from agent.job import Job
from agent.records import Label, Source, Text, TextId, Value
from agent.review.argilla import Argilla
from agent.review.desk import person_label, same
from agent.review.items import CANCELLED, EMPTY, Filled, Format, labelled_items, waiting_items
from agent.review.label_studio import LabelStudio
from agent.review.records import read_all
from agent.review.table import Table
from agent.store import Store
from agent.tasks import Task

AT_ONCE = 250  # labels whose texts are held
TOLD = 50  # problems that a message lists


class Kind(StrEnum):
    """The formats by name."""

    CSV = "csv"
    LABEL_STUDIO = "label-studio"
    ARGILLA = "argilla"


OUTPUTS = {Kind.CSV: "queue.csv", Kind.LABEL_STUDIO: "queue.json", Kind.ARGILLA: "queue-argilla"}


def kind_named(name: str) -> Kind:
    """A format by its name. Raises DataError for one that is not known."""
    try:
        return Kind(name.strip().casefold())
    except ValueError:
        raise DataError(f"unknown format {name!r}; known: {', '.join(Kind)}") from None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, in labels: `replaced` took the place of another label of the same person, `unchanged` was
    this person's label already. Of items `empty` had none, and `cancelled` ones a person did not want to label."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    empty: int = 0
    cancelled: int = 0

    def __str__(self) -> str:
        more = ((self.replaced, "replaced"), (self.unchanged, "unchanged"), (self.cancelled, "cancelled"))
        parts = [f"{self.added} added", *(f"{n} {word}" for n, word in more if n)]
        return ", ".join([*parts, f"{self.empty} still empty"])


def export_queue(  # noqa: PLR0917 - from where, what, where to
    store: Store, job: Job, task: Task, path: str | Path, kind: Kind = Kind.CSV, everything: bool = False
) -> int:
    """Write what waits for a person, most urgent first, skipped texts last; returns how many texts.

    With `everything` every text that has a label instead, by id, with all that machines and people said. Texts come
    from the store a few hundred at a time. The file is whole or not there at all. Raises DataError where it cannot be
    written.
    """
    items = labelled_items(store, job) if everything else waiting_items(store, job)
    return _format(kind, everything).write(items, job, task, Path(path))


def import_queue(  # noqa: PLR0917 - to where, what, where from, by whom
    store: Store, job: Job, task: Task, path: str | Path, person: str, kind: Kind | None = None
) -> ImportReport:
    """Give the labels of a file, all or none.

    The same file twice adds nothing. A later import replaces a person's earlier label of a text. `person` gave what
    the file names nobody for. The format is told by what is in the file where `kind` does not say.

    Raises DataError with every unreadable row, unknown id and unknown label, each with its line or record.
    """
    path = Path(path)
    tally: Counter[str] = Counter()
    known = {r.person for r in store.reviews(job.name)}
    filled = _format(kind or kind_of(path)).read(path, task, tally, known)
    given = _read(filled, store, job, task, path, person)
    with store.transaction(job.name) as tx:
        mine: dict[tuple[TextId, str], Label] = {}
        for label in store.standing(job.name, (x.text_id for x, _ in given), tx=tx):
            if label.source is Source.PERSON:
                mine[label.text_id, label.by] = label
        new = [(x, s) for x, s in given if not _is_known(x, mine, task)]
        replaced = sum((x.text_id, x.by) in mine for x, _ in new)
        store.review_all(job.name, new, tx=tx)
        settle(store, job.name, task, [x.text_id for x, _ in new], tx=tx)
    unchanged = len(given) - len(new)
    return ImportReport(len(new) - replaced, replaced, unchanged, tally[EMPTY], tally[CANCELLED])


def kind_of(path: Path) -> Kind:
    """The format of a file, by what is in it. Raises DataError."""
    if path.is_dir():
        return Kind.ARGILLA
    try:
        with path.open("rb") as file:
            begins = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; `labelwright queue export` writes one") from None
    if begins not in (b"[", b"{"):
        return Kind.CSV
    first = next(read_all(path), None)
    if first is None or first.content.keys() & {"data", "annotations", "annotator", "annotation_id"}:
        return Kind.LABEL_STUDIO
    if "fields" in first.content:
        return Kind.ARGILLA
    keys = ", ".join(sorted(first.content))[:200] or "none"
    raise DataError(
        f"{path}:{first.place}: neither Label Studio's (`data`) nor Argilla's (`fields`): its keys are {keys}; "
        "say which it is with --format"
    )


def _format(kind: Kind, everything: bool = False) -> Format:
    if kind is Kind.CSV:
        return Table(everything)
    return LabelStudio() if kind is Kind.LABEL_STUDIO else Argilla()


def _is_known(label: Label, mine: dict[tuple[TextId, str], Label], task: Task) -> bool:
    before = mine.get((label.text_id, label.by))
    return before is not None and same(before.value, label.value, task)


def _read(  # noqa: PLR0917 - what is read, and all that it is read with
    filled: Iterator[Filled], store: Store, job: Job, task: Task, path: Path, person: str
) -> list[tuple[Label, float]]:
    """The labels of a file with the seconds each took, one of a person and text. Raises DataError with every problem.

    What a label is may depend on its text, so texts are looked up, a few hundred at a time.
    """
    found: dict[tuple[TextId, str], tuple[Label, float]] = {}
    first: dict[tuple[TextId, str], str] = {}
    problems: list[str] = []
    for part in _parts(filled):
        texts = store.texts(job.name, [row.text_id for row in part])
        for row in part:
            if row.text_id not in texts:
                problems.append(f"{path}:{row.place}: id {row.text_id[:80]!r} is no text of job {job.name}")
                continue
            try:
                value = _value(row.answer, Text(row.text_id, texts[row.text_id]), task)
            except ValueError as error:
                problems.append(f"{path}:{row.place}: {error}")
                continue
            key = row.text_id, row.person or person
            if key in found and not same(found[key][0].value, value, task):
                said = f"id {row.text_id[:80]!r} has another label {_where(first[key])}"
                problems.append(f"{path}:{row.place}: {said}")
            label = person_label(row.text_id, value, key[1])
            found[key] = (label if row.at is None else replace(label, created_at=row.at)), row.seconds
            first.setdefault(key, row.place)
    if problems:
        rest = [f"and {len(problems) - TOLD} more"] if len(problems) > TOLD else []
        again = "nothing was imported: correct these rows and import the file again"
        raise DataError("\n".join([*problems[:TOLD], *rest, again]))
    return list(found.values())


def _value(answer: str | Sequence[str], text: Text, task: Task) -> Value:
    return task.read(answer if isinstance(answer, str) else list(answer), text)


def _where(place: str) -> str:
    return f"on line {place}" if place.isdigit() else f"in{place}"


def _parts(filled: Iterable[Filled]) -> Iterator[list[Filled]]:
    rest = iter(filled)
    while part := list(islice(rest, AT_ONCE)):
        yield part
