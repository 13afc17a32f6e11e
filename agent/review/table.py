"""Items as a CSV table, for people who would rather fill in a column than use a page.

Columns: id, text (of pairs text and second), suggestion, confidence, reason, label; of labelled texts by, seconds and
at as well, with one row for each person who labelled a text. Only `label` is to be filled in. What is read back is
`id` and `label`, and where there are such columns `by` (who gave the label), `seconds` (which count towards the
people's minutes) and `at`. An empty label leaves the text in the queue. Where no label is a label too (multilabel),
write [].
"""

from __future__ import annotations

import csv
import io
import math
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.errors import DataError
from agent.job import Job
from agent.records import TextId
from agent.review.card import finite
from agent.review.cells import guarded, unguarded
from agent.review.desk import LONGEST_S
from agent.review.items import EMPTY, Filled, Given, Item, moment, written_at
from agent.review.records import written
from agent.tasks import Task
from agent.tasks.pairs import parts

COLUMNS = ("suggestion", "confidence", "reason", "label")  # after the id and what is labelled
PEOPLE = ("by", "seconds", "at")  # of labelled texts
DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file; `people` is whether it has columns for what people said."""

    people: bool = False

    def write(self, items: Iterator[Item], job: Job, task: Task, path: Path) -> int:
        """Write a row an item, or one for each person who labelled it; returns how many items."""
        count = 0
        with written(path, newline="") as file:
            file.write("\ufeff")  # the mark at the start tells Excel that this is UTF-8
            columns = ["id", *(part.key for part in parts(task, "")), *COLUMNS]
            file.write(quoted([*columns, *PEOPLE] if self.people else columns))
            for item in items:
                file.writelines(map(quoted, self._rows(item, task)))
                count += 1
        return count

    def _rows(self, item: Item, task: Task) -> Iterator[list[str]]:
        machine = item.machines[-1] if item.machines else None
        sure = None if machine is None else finite(machine.confidence)
        cells = [
            guarded(item.text_id),
            *(guarded(part.text) for part in parts(task, item.text)),
            "" if machine is None else guarded(task.show(machine.value)),
            "" if sure is None else f"{sure:.4f}",
            guarded(item.reason),
        ]
        if not self.people:
            yield [*cells, ""]
        elif not item.people:
            yield [*cells, "", "", "", ""]
        for given in item.people if self.people else ():
            yield [*cells, *_given(given, task)]

    def read(self, path: Path, task: Task, tally: Counter[str], people: Collection[str]) -> Iterator[Filled]:
        """The rows whose label is filled in."""
        text = _read(path)
        delimiter, columns = _columns(text, path)
        for line, cells in _records(text, delimiter, path):
            if len(cells) <= max(columns.values()):
                if any(cells):
                    raise DataError(
                        f"{path}:{line}: only {len(cells)} cells; a row needs an id and a label, even empty"
                    )
                continue
            said = {name: unguarded(cells[place]) for name, place in columns.items()}
            if not said["label"].strip():
                tally[EMPTY] += 1
                continue
            seconds = _seconds(said.get("seconds", ""), path, line)
            at = moment(said.get("at", "").strip() or None, f"{path}:{line}: at")
            yield Filled(str(line), TextId(said["id"]), said["label"], said.get("by") or None, seconds, at)


def quoted(cells: Iterable[str]) -> str:
    """A row with every cell in quotes, as the csv module writes it, which looks at each character twice for that."""
    return '"' + '","'.join([cell.replace('"', '""') for cell in cells]) + '"\r\n'


def _given(given: Given, task: Task) -> list[str]:
    label = given.label
    seconds = f"{given.seconds:.3f}".rstrip("0").rstrip(".") if given.seconds else ""
    return [guarded(task.show(label.value)), guarded(label.by), seconds, written_at(label) or ""]


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
    said = cell.strip()
    try:
        found = float(said.replace(",", ".") or 0)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise DataError(f"{path}:{line}: seconds {said[:40]!r} is no time; give a number, or leave the cell empty")
    return min(found, LONGEST_S)


def _columns(text: str, path: Path) -> tuple[str, dict[str, int]]:
    """The delimiter that the first row makes sense with, and where the columns are that are read."""
    heads = {mark: _head(text, mark) for mark in DELIMITERS}
    for mark, head in heads.items():
        if head.count("id") == 1 and head.count("label") == 1:
            return mark, {name: head.index(name) for name in ("id", "label", *PEOPLE) if head.count(name) == 1}
    found = ", ".join(sorted(heads.values(), key=len)[-1])[:200]
    raise DataError(f"{path}:1: needs one column `id` and one column `label`; found: {found or 'nothing'}")


def _head(text: str, delimiter: str) -> list[str]:
    try:
        first = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []
    return [cell.strip().casefold() for cell in first]


def _records(text: str, delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line that each record begins on, and its cells; without the first record."""
    line = 1
    with _large_cells():
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            for number, cells in enumerate(reader):
                if number:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}:{line}: not a CSV row: {error}") from None


@contextmanager
def _large_cells() -> Iterator[None]:
    """The csv module's limit of 128 KiB a cell is one number for the whole process."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
