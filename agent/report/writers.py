"""Label files, one writer a format: rows go in batch by batch, and a file appears whole or not at all.

The same rows give the same bytes: no clock, no random name and no fingerprint of the moment reaches a file.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import json
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from agent.errors import DataError

Row = Mapping[str, Any]
TIME = pa.timestamp("us", tz="UTC")


class Writer(Protocol):
    """Takes rows, then either makes the file appear (`finish`) or leaves no trace (`discard`)."""

    path: Path

    def write(self, rows: Sequence[Row]) -> None: ...
    def finish(self) -> None: ...
    def discard(self) -> None: ...


def schema(names: Sequence[str], several: bool) -> pa.Schema:
    """The columns. `names` are the classes (none: probabilities are JSON), `several`: a label is a list of them."""
    chances = pa.struct([(name, pa.float64()) for name in names]) if names else pa.string()
    columns = {
        "id": pa.string(),
        "text": pa.string(),
        "label": pa.list_(pa.string()) if several else pa.string(),
        "source": pa.string(),
        "by": pa.string(),
        "confidence": pa.float64(),
        "lost_mass": pa.float64(),
        "probabilities": chances,
        "posterior": chances,
        "cost_dollars": pa.float64(),
        "prompt_hash": pa.string(),
        "round": pa.int64(),
        "slice": pa.string(),
        "inclusion_probability": pa.float64(),
        "score": pa.float64(),
        "because": pa.string(),
        "why": pa.string(),
        "route": pa.string(),
        "review_probability": pa.float64(),
        "created_at": TIME,
        "text_id": pa.string(),
        "duplicate_of": pa.string(),
    }
    return pa.schema(list(columns.items()))


class _File:
    """A file that is written under another name until it is whole."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        self._part = folder / f".{name}.part"

    def _close(self) -> None: ...

    def finish(self) -> None:
        self._close()
        self._part.replace(self.path)

    def discard(self) -> None:
        with suppress(OSError):  # a full disk refuses the last bytes as well
            self._close()
        self._part.unlink(missing_ok=True)


class ParquetFile(_File):
    """One Parquet file, zstd; a row group a batch."""

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        super().__init__(folder, "labels.parquet")
        self._columns = columns
        try:
            self._writer = pq.ParquetWriter(self._part, columns, compression="zstd")
        except OSError:
            self._part.unlink(missing_ok=True)
            raise

    def write(self, rows: Sequence[Row]) -> None:
        self._writer.write_table(_table(rows, self._columns))

    def _close(self) -> None:
        self._writer.close()


class CsvFile(_File):
    """One CSV file (RFC 4180, UTF-8). Lists and probabilities are JSON, what is not known is an empty cell."""

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        super().__init__(folder, "labels.csv")
        self._file = self._part.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns.names)

    def write(self, rows: Sequence[Row]) -> None:
        self._writer.writerows([_cell(v) for v in row.values()] for row in rows)

    def _close(self) -> None:
        self._file.close()


class JsonLinesFile(_File):
    """One JSON object a line, UTF-8."""

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        super().__init__(folder, "labels.jsonl")
        self._file = self._part.open("w", encoding="utf-8", newline="\n")

    def write(self, rows: Sequence[Row]) -> None:
        self._file.writelines(f"{_json(row)}\n" for row in rows)

    def _close(self) -> None:
        self._file.close()


class DatasetFolder:
    """A folder for `datasets.load_from_disk`."""

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        self.path, self._part = folder / "datasets", folder / ".datasets.part"
        if self.path.exists() and not (self.path / "state.json").exists() and any(self.path.iterdir()):
            raise DataError(
                f"{self.path} holds something else than an exported data set: move it, or export elsewhere"
            )
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir()
        self._columns, self._raw = columns, self._part / "rows.arrow"
        try:
            self._writer = pa.ipc.new_stream(str(self._raw), columns)
        except OSError:
            shutil.rmtree(self._part, ignore_errors=True)
            raise
        self._digest = hashlib.sha256(str(columns).encode())

    def write(self, rows: Sequence[Row]) -> None:
        self._writer.write_table(_table(rows, self._columns))
        for row in rows:
            self._digest.update(_json(row).encode("utf-8", "replace"))

    def finish(self) -> None:
        from datasets import Dataset
        from datasets.table import MemoryMappedTable

        self._writer.close()
        rows = MemoryMappedTable.from_file(str(self._raw))
        # a fingerprint of the content: the one that `datasets` would make differs each time
        made = Dataset(rows, fingerprint=self._digest.hexdigest()[:16])
        with _quietly():
            made.save_to_disk(self._part / "whole", num_shards=None if len(made) else 1)
        del made, rows
        shutil.rmtree(self.path, ignore_errors=True)
        (self._part / "whole").replace(self.path)
        self.discard()

    def discard(self) -> None:
        with suppress(OSError):
            self._writer.close()
        shutil.rmtree(self._part, ignore_errors=True)


def load_ahead() -> None:
    """Load `datasets`, which takes over a second, while somebody waits for something else."""

    def load() -> None:
        with suppress(Exception):  # who needs it loads it again, and is told why it cannot be
            importlib.import_module("datasets")

    threading.Thread(target=load, name="load datasets", daemon=True).start()


WRITERS: dict[str, Callable[[Path, pa.Schema], Writer]] = {
    "parquet": ParquetFile,
    "csv": CsvFile,
    "jsonl": JsonLinesFile,
    "datasets": DatasetFolder,
}


class _quietly:  # noqa: N801 - reads as a word
    """No progress bar of `datasets`; as it was afterwards."""

    def __enter__(self) -> None:
        from datasets.utils import are_progress_bars_disabled, disable_progress_bars

        self._off = are_progress_bars_disabled()
        disable_progress_bars()

    def __exit__(self, *exc: object) -> None:
        from datasets.utils import enable_progress_bars

        if not self._off:
            enable_progress_bars()


def _table(rows: Sequence[Row], columns: pa.Schema) -> pa.Table:
    """Rows as Arrow. Probabilities of a task without classes are a column of JSON."""
    as_json = columns.field("probabilities").type == pa.string()
    if as_json:
        rows = [{**r, **{name: r[name] and _json(r[name]) for name in ("probabilities", "posterior")}} for r in rows]
    return pa.Table.from_pylist(list(rows), schema=columns)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_time)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    return _time(value) if isinstance(value, datetime) else _json(value)


def _time(value: datetime) -> str:
    return value.isoformat()
