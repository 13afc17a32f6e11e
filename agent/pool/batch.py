"""Rows on their way in: cells with the place each came from, and the sentences for what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import DataError
from agent.images import Images
from agent.job import DataSettings
from agent.pairing import join
from agent.picture import join as depicted

FIRST, SECOND, IMAGE = "data.text", "data.second", "data.image"
Columns = Mapping[str, str]
"""Key of the job file (`data.text`) → name of the column it names."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive rows of one file.

    Attributes:
        cells: key of the job file → the cell of each row.
        file: name of the file, as the person knows it.
        places: line in the file of each row (where `by_line`), or its number counted from 1.
    """

    cells: Mapping[str, list[Any]]
    file: str
    places: Sequence[int]
    by_line: bool

    def __len__(self) -> int:
        return len(self.places)

    def place(self, i: int) -> str:
        """Where row `i` of this batch stands: `pool.csv:17`, or `pool.parquet, row 16`."""
        return f"{self.file}:{self.places[i]}" if self.by_line else f"{self.file}, row {self.places[i]}"

    def text(self, key: str, i: int) -> str:
        """The text in that cell. Raises DataError where it is none, or not one that UTF-8 can hold."""
        cell = self.cells[key][i]
        if isinstance(cell, str):
            try:
                cell.encode()
            except UnicodeEncodeError:
                said = "holds half of a surrogate pair, which is no text; write that character whole"
                raise DataError(f"{self.place(i)}: `{key}` {said}") from None
            return cell
        if cell is None:
            way_out = "remove the row, or make it an empty text, which is left out and counted"
            raise DataError(f"{self.place(i)}: `{key}` is null; {way_out}")
        raise DataError(f"{self.place(i)}: `{key}` holds {type(cell).__name__} {str(cell)[:40]!r}, not text")

    def identity(self, key: str, i: int) -> str:
        """The id in that cell. Raises DataError where there is none."""
        cell = self.cells[key][i]
        if isinstance(cell, int) and not isinstance(cell, bool):
            return str(cell)
        if cell is None or cell == "":
            raise DataError(f"{self.place(i)}: `{key}` is empty, so that row has no id; give it one, or drop `{key}`")
        return self.text(key, i)


def text_columns(data: DataSettings) -> dict[str, str]:
    """The columns that hold what is labelled: one, or of pairs, and of texts with pictures, two."""
    more = {SECOND: data.second, IMAGE: data.image}
    return {FIRST: data.text} | {key: column for key, column in more.items() if column}


def whole_text(batch: Batch, i: int, images: Images | None = None) -> str:
    """The text of a row. Both texts of a pair as one, or "" where either is blank; a text with its picture as one
    (`agent.picture`), whatever it says, or "" where none is named. Raises DataError.

    Args:
        images: where the pictures are, of rows that have some.
    """
    first = batch.text(FIRST, i)
    if images is not None:
        name = batch.text(IMAGE, i).strip()
        return depicted(first, images.found(name, batch.place(i))) if name else ""
    if SECOND not in batch.cells:
        return first
    second = batch.text(SECOND, i)
    return join(first, second) if first.strip() and second.strip() else ""


def check_columns(file: str, columns: Columns, there: Sequence[str]) -> None:
    """Raise DataError where a wanted column is missing or stands there twice."""
    for key, name in columns.items():
        if there.count(name) == 1:
            continue
        if name in there:
            raise DataError(f"{file}: column {name!r} (`{key}`) stands there {there.count(name)} times")
        near = difflib.get_close_matches(name, there, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if len(there) == 1 and (mark := next((m for m in ";\t|," if m in there[0]), None)):
            hint = f"; it seems separated by {mark!r}: save it with commas, or with tabs as .tsv"
        more = f" and {len(there) - 20} more" if len(there) > 20 else ""
        some = ", ".join(repr(t[:60]) for t in there[:20]) + more
        raise DataError(f"{file}: no column {name!r} (`{key}`); the columns there are {some}{hint}")
