"""CSV, TSV and JSONL, read so that whatever is wrong is named with its line.

These go through the standard library rather than `datasets`: its readers pad short rows, read `NA` as missing and
`007` as seven, and name no line.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from agent.errors import DataError
from agent.pool.batch import Batch, Columns, check_columns

ROWS_AT_ONCE = 4096
BOM = b"\xef\xbb\xbf"

Row = tuple[int, list[Any]]
"""A line number, counted from 1, and one cell for each wanted column."""


def read_csv(path: Path, columns: Columns, delimiter: str = ",") -> Iterator[Batch]:
    """Rows of a file with a header. Raises DataError: not UTF-8, ragged, a quote never closed, a column missing."""
    csv.field_size_limit(sys.maxsize)  # the module's own limit, 128 KiB a cell, is less than a long text
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            yield from _batches(path, columns, _csv_rows(path, columns, file, delimiter))
        except UnicodeDecodeError:
            raise _not_utf8(path) from None


def _csv_rows(path: Path, columns: Columns, file: TextIO, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    line = 1
    try:
        header = next(reader, [])
        check_columns(path.name, columns, header)
        wanted = [header.index(name) for name in columns.values()]
        line = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                said = f"{len(row)} cells where the header has {len(header)}"
                way_out = "put a cell that holds the separator or a line break in double quotes"
                raise DataError(f"{path.name}:{line}: {said}; {way_out}")
            if row:  # a blank line is no row
                yield line, [row[i] for i in wanted]
            line = reader.line_num + 1
    except csv.Error as error:
        said = "a double quote is opened and never closed" if "end of data" in str(error) else str(error)
        raise DataError(f"{path.name}:{line}: {said}; write a double quote inside a quoted cell twice") from None


def read_jsonl(path: Path, columns: Columns) -> Iterator[Batch]:
    """One JSON object a line. Raises DataError: not UTF-8, not JSON, not an object, a key missing."""
    with path.open("rb") as file:
        yield from _batches(path, columns, _jsonl_rows(path, columns, file))


def _jsonl_rows(path: Path, columns: Columns, file: Iterable[bytes]) -> Iterator[Row]:
    for line, raw in enumerate(file, start=1):
        body = raw.removeprefix(BOM) if line == 1 else raw
        if not body.strip():
            continue
        try:
            found = json.loads(body.decode())
        except UnicodeDecodeError:
            raise _not_utf8(path) from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path.name}:{line}: not a JSON object ({error}); each line must be one whole") from None
        if not isinstance(found, dict):
            raise DataError(f"{path.name}:{line}: a JSON {type(found).__name__}; each line must be one object")
        check_columns(f"{path.name}:{line}", columns, list(found))
        yield line, [found[name] for name in columns.values()]


def _batches(path: Path, columns: Columns, rows: Iterator[Row]) -> Iterator[Batch]:
    if path.stat().st_size == 0:
        raise DataError(f"{path.name}: empty (0 bytes)")
    lines: list[int] = []
    cells: dict[str, list[Any]] = {key: [] for key in columns}
    for line, row in rows:
        lines.append(line)
        for column, cell in zip(cells.values(), row, strict=True):
            column.append(cell)
        if len(lines) == ROWS_AT_ONCE:
            yield Batch(cells, path.name, lines, by_line=True)
            lines, cells = [], {key: [] for key in columns}
    if lines:
        yield Batch(cells, path.name, lines, by_line=True)


def _not_utf8(path: Path) -> DataError:
    """Finds the first byte that is not UTF-8, which a text stream names only within its buffer."""
    offset = 0
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            if line == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
                return DataError(f"{path.name}: UTF-16, not UTF-8 (by its first two bytes); save it as UTF-8")
            try:
                raw.decode()
            except UnicodeDecodeError as error:
                where = f"byte {raw[error.start]:#04x} at offset {offset + error.start}"
                return DataError(f"{path.name}:{line}: not UTF-8: {where}; save the file as UTF-8")
            offset += len(raw)
    return DataError(f"{path.name}: not UTF-8; save the file as UTF-8")
