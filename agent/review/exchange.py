"""The queue as a CSV table, for people who would rather fill in a column than use the page.

Columns: id, text, suggestion, confidence, reason, label. Only `label` is to be filled in; `id` and `label` are all
that is read back, and `seconds` where somebody added such a column: it counts towards the people's minutes. An empty
label leaves the text in the queue. Where no label is a label too (multilabel), write [].
"""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.certifying import settle
from agent.errors import DataError
from agent.job import Job
from agent.records import Source, Text, TextId, Value
from agent.review.card import failed, finite, why_here
from agent.review.cells import guarded, unguarded
from agent.review.desk import LABEL, LONGEST_S, person_label, same
from agent.review.unseen import look_of
from agent.store import QueueRow, Store, Trouble
from agent.tasks import Task

COLUMNS = ("id", "text", "suggestion", "confidence", "reason", "label")
DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, in rows: `replaced` took the place of another label of the same person, `unchanged` was
    this person's label already, `empty` had none."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    empty: int = 0

    def __str__(self) -> str:
        parts = [f"{self.added} added"]
        parts += [f"{n} {word}" for n, word in ((self.replaced, "replaced"), (self.unchanged, "unchanged")) if n]
        return ", ".join([*parts, f"{self.empty} still empty"])


@dataclass(frozen=True, slots=True)
class Filled:
    """One row with a label: the line it begins on (1-based), its two cells, and the seconds it took, 0 if unknown."""

    line: int
    text_id: TextId
    cell: str
    seconds: float = 0.0


# Out -------------------------------------------------------------------------------------------------------------


def export_queue(store: Store, job: Job, task: Task, path: str | Path) -> int:
    """Write what waits for a person, most urgent first, skipped texts last; returns how many rows.

    The file is whole or not there at all. Raises DataError where it cannot be written.
    """
    rows = store.queue(job.name, include_skipped=True)
    troubles = store.troubles(job.name, [row.text_id for row in rows if failed(row)])
    look = look_of(job)
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    writer.writerows(_cells(row, task, troubles.get(row.text_id), look(row.text).said) for row in rows)
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        # the mark at the start tells Excel that this is UTF-8
        part.write_bytes(b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "surrogatepass"))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written: {error.strerror}; name a file in a folder of yours") from None
    return len(rows)


def _cells(row: QueueRow, task: Task, trouble: Trouble | None, unseen: str) -> list[str]:
    machine = None if row.blind else row.suggestion
    sure = None if machine is None else finite(machine.confidence)
    return [
        guarded(row.text_id),
        guarded(row.text),
        "" if machine is None else guarded(task.show(machine.value)),
        "" if sure is None else f"{sure:.4f}",
        guarded(" ".join(said for said in (why_here(row, trouble), unseen) if said)),
        "",
    ]


# In --------------------------------------------------------------------------------------------------------------


def import_queue(store: Store, job: Job, task: Task, path: str | Path, person: str) -> ImportReport:
    """Give the labels that `person` filled in, all or none.

    The same file twice adds nothing. A later import replaces that person's earlier label of a text. UTF-8 with or
    without a byte order mark; commas, semicolons or tabs.

    Raises DataError with every unreadable row, unknown id and unknown label, each with its line.
    """
    path = Path(path)
    filled, empty = read_filled(path)
    values = _values(store, job, task, path, filled)
    spent = {row.text_id: row.seconds for row in filled}
    with store.transaction(job.name) as tx:
        mine = {
            text_id: label
            for text_id, label in store.current(job.name).items()
            if label.source is Source.PERSON and label.by == person
        }
        new = [i for i, value in values.items() if i not in mine or not same(mine[i].value, value, task)]
        for text_id in new:
            label = person_label(text_id, values[text_id], person)
            store.review(job.name, text_id, person, LABEL, label, spent.get(text_id, 0.0), tx=tx)
        settle(store, job.name, task, new, tx=tx)
    replaced = sum(text_id in mine for text_id in new)
    return ImportReport(len(new) - replaced, replaced, len(values) - len(new), empty)


def _values(store: Store, job: Job, task: Task, path: Path, filled: Sequence[Filled]) -> dict[TextId, Value]:
    texts = store.texts(job.name, [row.text_id for row in filled])
    values: dict[TextId, Value] = {}
    first: dict[TextId, int] = {}
    problems = []
    for row in filled:
        if row.text_id not in texts:
            problems.append(f"{path}:{row.line}: id {row.text_id[:80]!r} is no text of job {job.name}")
            continue
        try:
            value = task.read(row.cell, Text(row.text_id, texts[row.text_id]))
        except ValueError as error:
            problems.append(f"{path}:{row.line}: {error}")
            continue
        if row.text_id in values and not same(values[row.text_id], value, task):
            said = f"id {row.text_id[:80]!r} has another label on line {first[row.text_id]}"
            problems.append(f"{path}:{row.line}: {said}")
        values[row.text_id] = value
        first.setdefault(row.text_id, row.line)
    if problems:
        raise DataError("\n".join([*problems, "nothing was imported: correct these rows and import the file again"]))
    return values


def read_filled(path: Path) -> tuple[list[Filled], int]:
    """The rows of a table whose label is filled in, and how many are not. Raises DataError."""
    text = _read(path)
    delimiter, id_at, label_at, seconds_at = _columns(text, path)
    filled: list[Filled] = []
    empty = 0
    for line, cells in _records(text, delimiter, path):
        if len(cells) <= max(id_at, label_at, seconds_at or 0):
            if any(cells):
                raise DataError(f"{path}:{line}: only {len(cells)} cells; a row needs an id and a label, even empty")
            continue
        cell = unguarded(cells[label_at])
        if cell.strip():
            seconds = _seconds(cells[seconds_at], path, line) if seconds_at is not None else 0.0
            filled.append(Filled(line, TextId(unguarded(cells[id_at])), cell, seconds))
        else:
            empty += 1
    return filled, empty


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; `labelwright queue export` writes one") from None
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8; in Excel, save it as `CSV UTF-8 (Comma delimited)`") from None


def _seconds(cell: str, path: Path, line: int) -> float:
    """How long a person took; an empty cell is not known. Raises DataError."""
    said = unguarded(cell).strip()
    try:
        found = float(said.replace(",", ".") or 0)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise DataError(f"{path}:{line}: seconds {said[:40]!r} is no time; give a number, or leave the cell empty")
    return min(found, LONGEST_S)


def _columns(text: str, path: Path) -> tuple[str, int, int, int | None]:
    """The delimiter that the first row makes sense with, and where its id, label and seconds columns are."""
    heads = {mark: _head(text, mark) for mark in DELIMITERS}
    for mark, head in heads.items():
        if head.count("id") == 1 and head.count("label") == 1:
            seconds = head.index("seconds") if head.count("seconds") == 1 else None
            return mark, head.index("id"), head.index("label"), seconds
    found = ", ".join(sorted(heads.values(), key=len)[-1])[:200]
    raise DataError(f"{path}:1: needs one column `id` and one column `label`; found: {found or 'nothing'}")


def _head(text: str, delimiter: str) -> list[str]:
    try:
        first = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []
    return [cell.strip().casefold() for cell in first]


def _records(text: str, delimiter: str, path: Path) -> list[tuple[int, list[str]]]:
    """The line that each record begins on, and its cells; without the first record."""
    found = []
    line = 1
    with _large_cells():
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                found.append((line, cells))
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}:{line}: not a CSV row: {error}") from None
    return found[1:]


@contextmanager
def _large_cells() -> Iterator[None]:
    """The csv module's limit of 128 KiB a cell is one number for the whole process."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
