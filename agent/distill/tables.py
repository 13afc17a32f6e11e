"""Files of texts, read and written a chunk of rows at a time with columns added: CSV, TSV, JSONL, Parquet.

Knows rows and columns; no model. Every file is read through once before the first chunk is handed out, so that what
is wrong with its last row is said before hours of work and not after.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from agent.errors import DataError
from agent.pairing import join
from agent.pool.batch import check_columns
from agent.pool.lines import BOM, read_csv

ROWS_AT_ONCE = 4096
OPTIONS = ("--text", "--second")
Whole = Callable[..., str | None]
"""The cells of a row that are read, as one text; None where it has none."""


class Kind(StrEnum):
    """What a new column holds."""

    NAME = "name"
    NAMES = "names"
    NUMBER = "number"
    FLAG = "flag"
    WHOLE = "whole"


Added = Mapping[str, Sequence[Any]]
"""New column → the cell of each row of a chunk: None, or what the column's kind says."""


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows: `rows` as the file's own kind has them, and the text of each, None where it has none; of
    two columns both texts as one (`agent.pairing`), None where either is missing."""

    rows: Any
    texts: list[str | None]


class Table(Protocol):
    """A file of rows.

    Attributes:
        columns: every column that occurs.
        total: rows.
    """

    columns: list[str]
    total: int

    def chunks(self) -> Iterator[Chunk]: ...

    def writer(self, path: Path, added: Mapping[str, Kind]) -> AbstractContextManager[Callable[[Chunk, Added], None]]:
        """Writes chunks with new columns to a file of the same kind."""
        ...


@dataclass(frozen=True)
class Wanted:
    """The columns that hold the texts, the options that name them in messages, and how a row's cells become one."""

    columns: Sequence[str]
    options: Sequence[str] = OPTIONS
    whole: Whole = field(default_factory=lambda: _text)

    @property
    def asked(self) -> dict[str, str]:
        """The option that names each column."""
        return dict(zip(self.options, self.columns, strict=False))

    def texts(self, columns: Iterable[Sequence[str | None]]) -> list[str | None]:
        """The text of each row, of the cells of one column or of two."""
        return [self.whole(*cells) for cells in zip(*columns, strict=True)]


def open_table(path: Path, *text_columns: str, wanted: Wanted | None = None) -> Table:
    """The table at a path, its texts in one column or in two, or as `wanted` says. Raises DataError: no such file, an
    unknown kind, no such column, a broken row."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: empty (0 bytes)")
    return KINDS[kind_of(path)](path, wanted or Wanted(text_columns))


def kind_of(path: Path) -> str:
    """The suffix that says what a file is. Raises DataError for one that is not known."""
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise DataError(f"{path}: unknown file type {path.suffix!r}; known: {', '.join(KINDS)}")
    return suffix


def check_output(source: Path, target: Path) -> None:
    """Raises DataError where `target` is of another kind than `source`, or the same file."""
    families = {".tsv": ".csv", ".ndjson": ".jsonl"}
    wanted, given = (families.get(k, k) for k in (kind_of(source), kind_of(target)))
    if wanted != given:
        way_out = f"name the output {target.stem}{source.suffix}"
        raise DataError(f"{target}: a {source.suffix} file keeps its kind; {way_out}")
    if target.exists() and target.samefile(source):
        raise DataError(f"{target}: this is the file that is read; name another output")


# CSV and TSV ------------------------------------------------------------------------------------------------------


class CsvTable:
    """Comma- or tab-separated, with a header; every cell stays the string it was."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self._path, self._wanted = path, wanted
        self._mark = _mark(path)
        self.columns = self._header()
        check_columns(path.name, wanted.asked, self.columns)
        self._all = {name: name for name in self.columns}
        self.total = sum(len(batch) for batch in read_csv(path, self._all, self._mark))

    def chunks(self) -> Iterator[Chunk]:
        for batch in read_csv(self._path, self._all, self._mark):
            yield Chunk(
                list(zip(*batch.cells.values(), strict=True)),
                self._wanted.texts(batch.cells[c] for c in self._wanted.columns),
            )

    @contextmanager
    def writer(self, path: Path, added: Mapping[str, Kind]) -> Iterator[Callable[[Chunk, Added], None]]:
        with path.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, delimiter=_mark(path), lineterminator="\n")
            out.writerow([*self.columns, *added])

            def write(chunk: Chunk, new: Added) -> None:
                columns = zip(*([_cell(c) for c in cells] for cells in new.values()), strict=True)
                out.writerows([*row, *more] for row, more in zip(chunk.rows, columns, strict=True))

            yield write

    def _header(self) -> list[str]:
        with self._path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return next(csv.reader(file, delimiter=self._mark), [])


def _mark(path: Path) -> str:
    return "\t" if path.name.removesuffix(".partial").lower().endswith(".tsv") else ","


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else json.dumps(list(value), ensure_ascii=False)


# JSONL ------------------------------------------------------------------------------------------------------------


class JsonlTable:
    """One JSON object a line; each may have keys of its own."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self._path, self._wanted = path, wanted
        names: dict[str, None] = {}
        self.total = 0
        for line, row in self._rows():
            check_columns(f"{path.name}:{line}", wanted.asked, list(row))
            for option, column in wanted.asked.items():
                _json_text(row[column], f"{path.name}:{line}", option)
            names |= dict.fromkeys(row)
            self.total += 1
        self.columns = list(names)

    def chunks(self) -> Iterator[Chunk]:
        rows: list[dict[str, Any]] = []
        for _, row in self._rows():
            rows.append(row)
            if len(rows) == ROWS_AT_ONCE:
                yield Chunk(rows, self._wanted.texts([r[c] for r in rows] for c in self._wanted.columns))
                rows = []
        if rows:
            yield Chunk(rows, self._wanted.texts([r[c] for r in rows] for c in self._wanted.columns))

    @contextmanager
    def writer(self, path: Path, added: Mapping[str, Kind]) -> Iterator[Callable[[Chunk, Added], None]]:
        with path.open("w", encoding="utf-8") as file:

            def write(chunk: Chunk, new: Added) -> None:
                for row, cells in zip(chunk.rows, zip(*new.values(), strict=True), strict=True):
                    more = {k: round(c, 6) if isinstance(c, float) else c for k, c in zip(added, cells, strict=True)}
                    line = json.dumps(row | more, ensure_ascii=False)
                    # half a surrogate pair in another column is no UTF-8; escaped it comes through as it was
                    file.write((line if _encodes(line) else json.dumps(row | more)) + "\n")

            yield write

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self._path.open("rb") as file:
            for line, raw in enumerate(file, start=1):
                body = raw.removeprefix(BOM) if line == 1 else raw
                if not body.strip():
                    continue
                try:
                    found = json.loads(body.decode())
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{self._path.name}:{line}: not a JSON object in UTF-8 ({error})") from None
                if not isinstance(found, dict):
                    raise DataError(f"{self._path.name}:{line}: a JSON {type(found).__name__}, not an object")
                yield line, found


def _json_text(cell: Any, place: str, option: str) -> None:
    if cell is not None and not isinstance(cell, str):
        raise DataError(f"{place}: `{option}` holds {type(cell).__name__} {str(cell)[:40]!r}, not text")
    if cell is not None and not _encodes(cell):
        raise DataError(f"{place}: `{option}` holds half of a surrogate pair, which is no text")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Parquet ----------------------------------------------------------------------------------------------------------


class ParquetTable:
    """Columns keep their types; new ones are strings, lists of strings, float32 and int64."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._path, self._wanted = path, wanted
        try:
            with parquet.ParquetFile(path) as file:
                self._schema, self.total = file.schema_arrow, file.metadata.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            said = str(error).strip().splitlines()[0]
            raise DataError(f"{path.name}: cannot be read as Parquet ({said})") from None
        self.columns = list(self._schema.names)
        check_columns(path.name, wanted.asked, self.columns)
        for option, column in wanted.asked.items():
            kind = self._schema.field(column).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_text_of_words(kind)):
                raise DataError(f"{path.name}: column {column!r} (`{option}`) holds {kind}, not text")

    def chunks(self) -> Iterator[Chunk]:
        from pyarrow import parquet

        with parquet.ParquetFile(self._path) as file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                yield Chunk(batch, self._wanted.texts(batch.column(c).to_pylist() for c in self._wanted.columns))

    @contextmanager
    def writer(self, path: Path, added: Mapping[str, Kind]) -> Iterator[Callable[[Chunk, Added], None]]:
        import pyarrow as pa
        from pyarrow import parquet

        types = {
            Kind.NAME: pa.string(),
            Kind.NAMES: pa.list_(pa.string()),
            Kind.NUMBER: pa.float32(),
            Kind.FLAG: pa.bool_(),
            Kind.WHOLE: pa.int64(),
        }
        schema = self._schema
        for name, kind in added.items():
            schema = schema.append(pa.field(name, types[kind]))
        with parquet.ParquetWriter(path, schema) as file:

            def write(chunk: Chunk, new: Added) -> None:
                columns = [pa.array(cells, schema.field(name).type) for name, cells in new.items()]
                file.write_batch(pa.record_batch([*chunk.rows.columns, *columns], schema=schema))

            yield write


def _is_text_of_words(kind: Any) -> bool:
    """Whether a column is a dictionary of strings, as pandas writes categories."""
    import pyarrow as pa

    return bool(pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))


def _text(*cells: str | None) -> str | None:
    """Both texts of a pair as one, or the text."""
    given = [cell for cell in cells if cell is not None and cell.strip()]
    if len(given) < len(cells):
        return None
    return given[0] if len(given) == 1 else join(*given)


KINDS: dict[str, Callable[[Path, Wanted], Table]] = {
    ".csv": CsvTable,
    ".tsv": CsvTable,
    ".jsonl": JsonlTable,
    ".ndjson": JsonlTable,
    ".parquet": ParquetTable,
}
