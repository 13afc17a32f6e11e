"""Reads a source once and leaves a pool on disk: rows in Arrow, everything else in arrays of fixed width.

Memory holds one batch of texts; while copies are found, some 70 bytes for each row.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import DataError
from agent.images import Images
from agent.job import DataSettings
from agent.picture import with_words, words_of
from agent.pool.arrow import strings
from agent.pool.batch import Batch, text_columns, whole_text
from agent.pool.distinct import DIGEST, Digests, Index, collapse, digest
from agent.pool.overlong import cut, cut_pairs
from agent.pool.reader import Source
from agent.records import CountTokens, Rows

EMPTY, OVER_LONG = "empty", "over-long"
REASONS = (EMPTY, OVER_LONG)
VERSION = 2


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of one batch: lists of equal length, and the rows left out with the reason's number."""

    rows: list[int]  # in the source, counted from 0
    ids: list[str]
    texts: list[str]
    whole: list[bytes]  # digests of the texts as they stood there
    final: list[bytes]  # and of what is left of them
    cut: int
    left_out: list[tuple[int, int]]


class _Spool:
    """Columns of fixed width, written as they come: memory does not grow with the rows.

    `source-rows` (8 bytes) and three digests (16 bytes each): `whole`, of the text as it stood there; `final`, of
    what is left of it after a cut; `ids`, of the id. `left-out`: pairs of a row and the number of its reason.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        names = ("source-rows", "whole", "final", "ids", "left-out")
        self._files = {n: stack.enter_context((folder / n).open("wb")) for n in names}
        self.left_out: Counter[str] = Counter()
        self.kept = self.cut = self.total = 0

    def add(self, kept: _Kept, total: int) -> None:
        columns = {"whole": kept.whole, "final": kept.final, "ids": [digest(i) for i in kept.ids]}
        for name, column in columns.items():
            self._files[name].write(b"".join(column))
        self._files["source-rows"].write(np.array(kept.rows, np.int64).tobytes())
        self._files["left-out"].write(np.array(kept.left_out, np.int64).tobytes())
        self.left_out.update(REASONS[reason] for _, reason in kept.left_out)
        self.kept += len(kept.rows)
        self.cut += kept.cut
        self.total = total


def build(
    source: Source, data: DataSettings, count_tokens: CountTokens | None, folder: Path, images: Images | None = None
) -> None:
    """Write the pool into `folder`, which appears whole or not at all. Raises DataError.

    Args:
        images: where the pictures are, of texts that have some.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that died
    part.mkdir(parents=True)
    try:
        spool = _write_rows(source, data, count_tokens, part, images)
        if not spool.kept:
            raise DataError(_nothing(source.name, spool))
        _write_arrays(spool, source.name, part)
        _sync(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _nothing(name: str, spool: _Spool) -> str:
    if not spool.total:
        return f"{name}: a header and no rows; there is nothing to label"
    counts = ", ".join(f"{spool.left_out[reason]} {reason}" for reason in REASONS)
    return f"{name}: none of its {spool.total} rows has a text to label ({counts})"


def _write_rows(
    source: Source, data: DataSettings, count_tokens: CountTokens | None, folder: Path, images: Images | None
) -> _Spool:
    import pyarrow as pa

    wanted = text_columns(data) | ({"data.id": data.id} if data.id else {})
    schema = pa.schema({"id": pa.string(), "text": pa.large_string()})
    with ExitStack() as stack:
        spool = _Spool(folder, stack)
        sink = stack.enter_context(pa.OSFile(str(folder / "rows.arrow"), "wb"))
        writer = stack.enter_context(pa.ipc.new_stream(sink, schema))
        for batch in source.read(wanted):
            kept = _keep(batch, spool.total, data, count_tokens, images)
            spool.add(kept, spool.total + len(batch))
            if kept.rows:
                columns = [strings(kept.ids, large=False), strings(kept.texts, large=True)]
                writer.write_batch(pa.record_batch(columns, schema=schema))
    return spool


def _keep(
    batch: Batch, start: int, data: DataSettings, count_tokens: CountTokens | None, images: Images | None
) -> _Kept:
    texts: dict[int, str] = {i: whole_text(batch, i, images) for i in range(len(batch))}
    left_out = [(start + i, REASONS.index(EMPTY)) for i, t in texts.items() if not t.strip()]
    for row, _ in left_out:
        del texts[row - start]
    whole = {i: digest(t) for i, t in texts.items()}
    long = _over_long(texts, data.max_tokens, count_tokens) if count_tokens else {}
    cuts = 0
    if long and data.over_long == "refuse":
        i, count = next(iter(long.items()))
        said = f"{count} tokens, more than data.max_tokens = {data.max_tokens}"
        raise DataError(f"{batch.place(i)}: {said}; raise it, or set `data.over_long` to cut or skip")
    if long and data.over_long == "skip":
        left_out += [(start + i, REASONS.index(OVER_LONG)) for i in long]
        texts = {i: t for i, t in texts.items() if i not in long}
    elif long and count_tokens:
        cuts = len(long)
        whole_texts, most = [texts[i] for i in long], data.max_tokens
        if data.second:
            short = cut_pairs(whole_texts, most, count_tokens)
        else:
            words = [words_of(t) for t in whole_texts] if images else whole_texts
            short = cut(words, list(long.values()), most, count_tokens)
            if images:
                short = [with_words(t, w) for t, w in zip(whole_texts, short, strict=True)]
        texts |= dict(zip(long, short, strict=True))
    final = [digest(t) if i in long else whole[i] for i, t in texts.items()]
    ids = [batch.identity("data.id", i) if data.id else whole[i].hex() for i in texts]
    kept = [start + i for i in texts]
    return _Kept(kept, ids, list(texts.values()), [whole[i] for i in texts], final, cuts, sorted(left_out))


def _over_long(texts: dict[int, str], most: int, count_tokens: CountTokens) -> dict[int, int]:
    """Place → tokens, of the texts with more than `most`. A token is at least a byte: short texts go uncounted."""
    doubtful = [i for i, t in texts.items() if len(t.encode()) > most]
    counts = count_tokens([texts[i] for i in doubtful]) if doubtful else []
    return {i: n for i, n in zip(doubtful, counts, strict=True) if n > most}


def _write_arrays(spool: _Spool, name: str, folder: Path) -> None:
    rows = np.memmap(folder / "source-rows", np.int64, "r")
    whole, final, ids = (np.memmap(folder / n, DIGEST, "r") for n in ("whole", "final", "ids"))
    first, number = collapse(final)
    by_id = Index.of(ids, number)
    if (twice := by_id.clashing()) is not None:
        first_one, *others = np.flatnonzero(ids == twice).tolist()
        other = next(i for i in others if number[i] != number[first_one])
        where = f"rows {rows[first_one] + 1} and {rows[other] + 1}"
        said = _id_at(folder / "rows.arrow", first_one)
        raise DataError(f"{name}: id {said!r} belongs to two different texts ({where}); ids must be unique")
    by_id.save(folder, "ids")
    Index.of(whole, number).save(folder, "texts")
    np.save(folder / "first.npy", first)
    np.save(folder / "number.npy", number)
    about = {
        "content": _content(final, first),
        "total_rows": spool.total,
        "cut": spool.cut,
        "left_out": spool.left_out,
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    for spooled in ("whole", "final", "ids"):
        (folder / spooled).unlink()


def _content(final: Digests, first: Rows) -> str:
    """One hash of all the distinct texts in their order."""
    found = hashlib.sha256()
    for start in range(0, len(first), 1 << 16):
        found.update(final[first[start : start + (1 << 16)]].tobytes())
    return found.hexdigest()


def _id_at(path: Path, row: int) -> Any:
    for ids in _id_batches(path):
        if row < len(ids):
            return ids[row].as_py()
        row -= len(ids)
    raise IndexError(row)


def _id_batches(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield batch.column("id")


def _sync(folder: Path) -> None:
    """Onto the disk before it gets its name: a name without its content would be trusted later."""
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
