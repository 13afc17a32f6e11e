"""Label files, one writer a format: rows go in batch by batch, and a file appears whole or not at all.

The same rows give the same bytes: no clock, no random name and no fingerprint of the moment reaches a file.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from agent.errors import DataError
from agent.tasks.bio import conll
from agent.tasks.generation import texts_in

Row = Mapping[str, Any]
TIME = pa.timestamp("us", tz="UTC")
CONLL, SQUAD, CHAT = "conll", "squad", "chat"
OF_ONE_KIND = {CONLL: "tags of words", SQUAD: "answers to questions", CHAT: "texts that were written"}
"""Formats that hold labels of one kind of task alone, and what those are."""
TOLD = b"told"
"""Of the columns' metadata: what the job's guideline says, for conversations."""
UNSURE = ("waiting", "unsure")
"""Standings of a label that does not count yet."""
DATASET_ROWS = "data-00000-of-00001.arrow"


class Batch:
    """Rows, in the forms that writers want them in: each is made once, for all of them."""

    def __init__(self, rows: Sequence[Row], columns: pa.Schema) -> None:
        self.rows, self._columns = rows, columns

    @cached_property
    def table(self) -> pa.Table:
        """As Arrow. Probabilities of a task without classes are a column of JSON."""
        if self._columns.field("probabilities").type != pa.string():
            return _table(self.lines, self._columns)
        told = ("probabilities", "posterior")
        return _table([_json({**r, **{name: r[name] and _json(r[name]) for name in told}}) for r in self.rows],
                      self._columns)  # fmt: skip

    @cached_property
    def lines(self) -> list[str]:
        """As JSON."""
        return [_json(row) for row in self.rows]


class Writer(Protocol):
    """Takes batches, then either makes the file appear (`finish`) or leaves no trace (`discard`)."""

    path: Path

    def write(self, batch: Batch) -> None: ...
    def finish(self) -> None: ...
    def discard(self) -> None: ...


def schema(names: Sequence[str], several: bool, texts: Sequence[str] = ("text",)) -> pa.Schema:
    """The columns.

    Args:
        names: the classes; where there are none, probabilities are JSON.
        several: a label is a list of them.
        texts: the columns of what is labelled.
    """
    chances = pa.struct([(name, pa.float64()) for name in names]) if names else pa.string()
    columns = {
        "id": pa.string(),
        **{name: pa.string() for name in texts},
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


def features(columns: pa.Schema) -> list[dict[str, Any]]:
    """The columns as `datasets` names their types on a card."""
    return [{"name": field.name, **_feature(field.type)} for field in columns]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_struct(kind):
        return {"struct": features(kind)}
    if pa.types.is_list(kind):
        return {"list": _feature(kind.value_type)["dtype"]}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind))}


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
        try:
            self._writer = pq.ParquetWriter(self._part, columns, compression="zstd")
        except OSError:
            self._part.unlink(missing_ok=True)
            raise

    def write(self, batch: Batch) -> None:
        self._writer.write_table(batch.table)

    def _close(self) -> None:
        self._writer.close()


class CsvFile(_File):
    """One CSV file (RFC 4180, UTF-8). Lists and probabilities are JSON, what is not known is an empty cell."""

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        super().__init__(folder, "labels.csv")
        self._file = self._part.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns.names)

    def write(self, batch: Batch) -> None:
        self._writer.writerows([_cell(v) for v in row.values()] for row in batch.rows)

    def _close(self) -> None:
        self._file.close()


class JsonLinesFile(_File):
    """One JSON object a line, UTF-8."""

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        super().__init__(folder, "labels.jsonl")
        self._file = self._part.open("w", encoding="utf-8", newline="\n")

    def write(self, batch: Batch) -> None:
        self._file.writelines(f"{line}\n" for line in batch.lines)

    def _close(self) -> None:
        self._file.close()


class DatasetFolder:
    """A folder for `datasets.load_from_disk`, laid out as its `save_to_disk` does (datasets 1.0 to 5.2).

    The library is not loaded for it: that takes longer than everything else at the end of a run. What the columns are
    is read from the Arrow schema, so that every version of it understands them.
    """

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        self.path, self._part = folder / "datasets", folder / ".datasets.part"
        if self.path.exists() and not (self.path / "state.json").exists() and any(self.path.iterdir()):
            raise DataError(
                f"{self.path} holds something else than an exported data set: move it, or export elsewhere"
            )
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir()
        try:
            self._writer = pa.ipc.new_stream(str(self._part / DATASET_ROWS), columns)
        except OSError:
            shutil.rmtree(self._part, ignore_errors=True)
            raise
        self._digest = hashlib.sha256(str(columns).encode())

    def write(self, batch: Batch) -> None:
        self._writer.write_table(batch.table)
        for line in batch.lines:
            self._digest.update(line.encode("utf-8", "replace"))

    def finish(self) -> None:
        self._writer.close()
        # a fingerprint of the content: the one that `datasets` would make differs each time
        state: dict[str, Any] = {
            "_data_files": [{"filename": DATASET_ROWS}],
            "_fingerprint": self._digest.hexdigest()[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        info = {"citation": "", "description": "", "features": None, "homepage": "", "license": ""}
        for name, content in (("state.json", state), ("dataset_info.json", info)):
            (self._part / name).write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
        shutil.rmtree(self.path, ignore_errors=True)
        self._part.replace(self.path)

    def discard(self) -> None:
        with suppress(OSError):
            self._writer.close()
        shutil.rmtree(self._part, ignore_errors=True)


class ConllFile(_File):
    """Two columns, word and tag, of tasks with spans: an id as a comment, a line for each word, an empty line."""

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        super().__init__(folder, "labels.conll")
        self._file = self._part.open("w", encoding="utf-8", newline="\n")

    def write(self, batch: Batch) -> None:
        for row in batch.rows:
            if row["label"] is not None:
                spans = [(s["start"], s["end"], s["label"]) for s in json.loads(row["label"])]
                self._file.write(f"# id = {' '.join(str(row['id']).split())}\n{conll(row['text'], spans)}")

    def _close(self) -> None:
        self._file.close()


class SquadFile(_File):
    """SQuAD's own JSON, a paragraph for each run of rows with one context: version 2.0 where a question has no
    answer, else 1.1. Of tasks with questions, whose `text` is the question and `second` the context."""

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        super().__init__(folder, "labels.squad.json")
        self._file = self._part.open("w", encoding="utf-8", newline="\n")
        self._file.write('{"data": [{"title": "labels", "paragraphs": [')
        self._context: str | None = None
        self._asked: list[dict[str, Any]] = []
        self._has_none = self._has_any = False

    def write(self, batch: Batch) -> None:
        for row in batch.rows:
            if row["label"] is None:
                continue
            if row["second"] != self._context:
                self._paragraph()
                self._context = row["second"]
            answers = [{"text": a["text"], "answer_start": a["start"]} for a in json.loads(row["label"])]
            self._has_none |= not answers
            asked = {"id": row["id"], "question": row["text"], "answers": answers, "is_impossible": not answers}
            self._asked.append(asked)

    def _paragraph(self) -> None:
        if self._asked:
            self._file.write(
                (",\n" if self._has_any else "\n") + _json({"context": self._context, "qas": self._asked})
            )
            self._has_any, self._asked = True, []

    def finish(self) -> None:
        self._paragraph()
        self._file.write(f'\n]}}], "version": "{"v2.0" if self._has_none else "1.1"}"}}\n')
        super().finish()

    def _close(self) -> None:
        self._file.close()


class ChatFile(_File):
    """What models are fine-tuned on: one conversation a line, of texts whose label counts. Those that wait for a
    person are left out, and copies."""

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        super().__init__(folder, "labels.chat.jsonl")
        self._told = (columns.metadata or {}).get(TOLD, b"").decode("utf-8")
        self._file = self._part.open("w", encoding="utf-8", newline="\n")

    def write(self, batch: Batch) -> None:
        for row in batch.rows:
            if row["label"] is None or row["duplicate_of"] is not None or row["route"] in UNSURE:
                continue
            turns = [("system", self._told)] if self._told else []
            turns += [("user", row["text"]), ("assistant", texts_in(row["label"])[0])]
            told = [{"role": role, "content": words} for role, words in turns]
            self._file.write(_json({"messages": told}) + "\n")

    def _close(self) -> None:
        self._file.close()


WRITERS: dict[str, Callable[[Path, pa.Schema], Writer]] = {
    "parquet": ParquetFile,
    "csv": CsvFile,
    "jsonl": JsonLinesFile,
    "datasets": DatasetFolder,
    CONLL: ConllFile,
    SQUAD: SquadFile,
    CHAT: ChatFile,
}


def _table(lines: Sequence[str], columns: pa.Schema) -> pa.Table:
    """JSON objects as Arrow: a third of the time that `Table.from_pylist` takes, which loads pandas besides."""
    if not lines:
        return columns.empty_table()
    whole = "\n".join(lines).encode("utf-8")
    how = pj.ParseOptions(explicit_schema=columns, unexpected_field_behavior="error")
    read = pj.ReadOptions(use_threads=False, block_size=len(whole) + 1)
    return pj.read_json(pa.BufferReader(whole), read_options=read, parse_options=how)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_time)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    return _time(value) if isinstance(value, datetime) else _json(value)


def _time(value: datetime) -> str:
    return value.isoformat()
