"""The pool: every distinct text, read where it lies on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent.errors import DataError
from agent.job import DataSettings, Job
from agent.pool.build import REASONS, VERSION, build
from agent.pool.distinct import Index, digest
from agent.pool.lock import locked
from agent.pool.reader import Source, find, find_on_hub, looks_like_file
from agent.pool.rows import ArrowRows
from agent.records import CountTokens, Rows, Text, TextId, Texts

AT_ONCE = 4096


class Copy(NamedTuple):
    """One row of the source: its number (0-based), its own id, the row of the pool that it is, and the text there."""

    source_row: int
    id: TextId
    row: int
    text: Text


@dataclass(frozen=True)
class Copies:
    """Every row of the source that is in the pool, in order; may be gone through as often as one likes."""

    pool: Pool

    def __len__(self) -> int:
        return len(self.pool._number)

    def __iter__(self) -> Iterator[Copy]:
        for start in range(0, len(self), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            numbers = np.asarray(self.pool._number[part])
            ids = self.pool._rows.take("id", np.arange(start, start + len(numbers))).tolist()
            texts = self.pool.texts(numbers)
            yield from map(Copy, self.pool._source_rows[part].tolist(), ids, numbers.tolist(), texts)


class Pool:
    """The distinct texts of a source, numbered from 0 in order of first occurrence.

    Attributes:
        key: hash of the texts and their order; the same texts have the same key, wherever they came from.
        total_rows: rows of the source, copies and those left out counted.
        left_out: reason (`empty`, `over-long`) → number of rows that are not in the pool because of it.
        cut: rows whose text was cut to `data.max_tokens`.
    """

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        self.key: str = about["content"]
        self.total_rows: int = about["total_rows"]
        self.cut: int = about["cut"]
        self.left_out: Mapping[str, int] = about["left_out"]
        self._rows = ArrowRows(folder / "rows.arrow")
        self._source_rows: Rows = np.memmap(folder / "source-rows", np.int64, "r")
        self._first: Rows = np.load(folder / "first.npy", mmap_mode="r")
        self._number: Rows = np.load(folder / "number.npy", mmap_mode="r")
        self._left_out: Rows = np.fromfile(folder / "left-out", np.int64).reshape(-1, 2)
        self._ids = Index.load(folder, "ids")
        self._texts = Index.load(folder, "texts")

    @classmethod
    def open(cls, data: DataSettings, job: Job, count_tokens: CountTokens | None = None) -> Pool:
        """Read what `data.pool` names, once; later calls find it in `<output>/cache` unless the source changed.

        Args:
            data: which source and columns, and what to do with over-long texts.
            job: for its folder, where paths start, and its output folder.
            count_tokens: the student's own count; of a pair that of both texts; without it no text is over-long.

        Raises DataError: nothing there, not readable, a column missing, nothing to label, an id used twice.
        """
        cache = job.output_folder / "cache"
        try:
            cache.mkdir(parents=True, exist_ok=True)
            source = _source(data, job, cache)
            counter = job.student.encoder if count_tokens else ""
            what = [VERSION, source.identity, data.text, data.id, data.max_tokens, data.over_long, counter]
            what += [data.second] if data.second else []
            what += ["image", data.image] if data.image else []
            folder = cache / f"pool-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}"
            with locked(cache / "pool.lock"):
                if not folder.is_dir():
                    build(source, data, count_tokens, folder, job.images)
        except OSError as error:
            said = f"{error.filename or cache}: {error.strerror or error}"
            raise DataError(f"{said}; set `data.pool` or `output` to another place") from None
        return cls(folder)

    def __len__(self) -> int:
        return len(self._first)

    def texts(self, rows: Rows | None = None) -> Texts:
        """The texts of `rows`, all of them by default; strings are read when asked for."""
        return Texts(np.arange(len(self)) if rows is None else np.asarray(rows, np.int64), self._read)

    def lengths(self, rows: Rows) -> Rows:
        """(n,) int64: characters of each text; no string of it is made."""
        return self._rows.characters("text", np.asarray(self._first[rows]))

    def id_of(self, row: int) -> TextId:
        return self._read(np.array([row]))[0].id

    def row_of(self, text_id: TextId) -> int:
        """The row of the text with that id, also where it is the id of a copy. Raises KeyError."""
        row = int(self._ids.find([digest(text_id)])[0])
        if row < 0:
            raise KeyError(text_id)
        return row

    def rows_of(self, ids: Sequence[TextId]) -> Rows:
        """(n,) int64: the row of each id, or -1 where it is not in the pool."""
        return self._ids.find([digest(i) for i in ids])

    def find(self, texts: Sequence[str]) -> Rows:
        """(n,) int64: the row that holds exactly each text (before any cut), or -1."""
        return self._texts.find([digest(t) for t in texts])

    @property
    def copies(self) -> Copies:
        """Every row of the source with the distinct text it holds: what an export expands by."""
        return Copies(self)

    @property
    def left_out_rows(self) -> Iterator[tuple[int, str]]:
        """Number (0-based) of each row of the source that was left out, and why."""
        return ((row, REASONS[reason]) for row, reason in self._left_out.tolist())

    def _read(self, rows: Rows) -> list[Text]:
        kept = np.asarray(self._first[rows])
        ids, texts = (self._rows.take(column, kept).tolist() for column in ("id", "text"))
        return [Text(*each) for each in zip(ids, texts, rows.tolist(), strict=True)]


def _source(data: DataSettings, job: Job, cache: Path) -> Source:
    path = job.path(data.pool)
    if path.exists() or looks_like_file(data.pool):
        return find(path, "data.pool", data.split)
    return find_on_hub(data.pool, "data.pool", data.split, cache)
