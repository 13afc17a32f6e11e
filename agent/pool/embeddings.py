"""The vectors of a pool, made once and kept on disk in half precision.

The file is only ever appended to. After each block its bytes are brought onto the disk, then a small record says how
far it is; so whatever is killed, and wherever, what the record covers is whole, and the rest is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from agent.errors import DataError, ModelError
from agent.pool.half import widen
from agent.pool.lock import locked
from agent.pool.pool import Pool
from agent.records import Floats, Rows, Text, Texts

Encode = Callable[[list[str]], Floats]
"""n texts → (n, d) float32. It batches by length itself; a block gives it enough texts to do so well."""
Progress = Callable[[int, int], None]
"""(rows done, rows in all)"""

BLOCK = 2048
READ_AT_ONCE = 1024
"""Rows that are gathered and widened together: the halves stay in the processor's cache."""
REMEMBERED = 600_000
"""Vectors that are kept in memory, of texts that no file holds: more than a round looks at of a pool too large to be
embedded whole (500,000). Half a gigabyte, once there are as many."""


@dataclass(frozen=True)
class _Record:
    """How far a file is: `done` rows are on the disk, the last `last` of them with checksum `crc`."""

    key: str
    dim: int
    done: int = 0
    last: int = 0
    crc: int = 0


class Embeddings:
    """Vectors by row of the pool, and by content for any other text.

    Args:
        folder: where the files are, one for each encoder and pool.
        key: names what `encode` does: the same key must mean the same vectors.
        dim: length of a vector.
        encode: makes vectors of texts.
    """

    def __init__(self, folder: str | Path, key: str, dim: int, encode: Encode) -> None:
        self.folder, self.key, self.dim = Path(folder), key, dim
        self._encode = encode
        self._stored: npt.NDArray[np.float16] = np.zeros((0, dim), np.float16)
        self._other: dict[bytes, npt.NDArray[np.float16]] = {}

    def __len__(self) -> int:
        return len(self._stored)

    def fill(self, pool: Pool, progress: Progress | None = None) -> None:
        """Make the vectors of every text of the pool that are not on disk yet, and open them.

        `progress` is called once at the start and after each block. Raises DataError where the folder cannot be
        written or the disk is full, ModelError where the encoder gives what is no vector.
        """
        name = hashlib.sha256(f"{self.key} {self.dim} {pool.key}".encode()).hexdigest()[:24]
        path = self.folder / f"{self.key[:60]}-{name}.f16"
        try:
            with locked(path.with_suffix(".lock")):
                self._append(pool, path, name, progress or (lambda done, total: None))
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}; set `student.cache` to a folder with room") from None
        self._stored = np.memmap(path, np.float16, "r", shape=(len(pool), self.dim))

    def rows(self, rows: Rows) -> Floats:
        """(n, d) float32 of n rows of the pool, in their order; about half a second a million of 384 numbers."""
        out = np.empty((len(rows), self.dim), np.float32)
        stored = self._stored.view(np.ndarray)
        for start in range(0, len(rows), READ_AT_ONCE):
            part = rows[start : start + READ_AT_ONCE]
            widen(stored[_run(part, len(stored))], out[start : start + READ_AT_ONCE])
        return out

    def chunks(self, size: int = 65_536) -> Iterator[tuple[Rows, Floats]]:
        """Every row of the pool in order: (n,) rows and (n, d) float32, n at most `size`."""
        for start in range(0, len(self._stored), size):
            rows = np.arange(start, min(start + size, len(self._stored)))
            yield rows, self.rows(rows)

    def vectors(self, texts: Sequence[Text]) -> Floats:
        """(n, d) float32 of any texts: read from disk for those of the pool, made and remembered for others."""
        rows = texts.rows if isinstance(texts, Texts) else np.fromiter((t.row for t in texts), np.int64, len(texts))
        inside = (rows >= 0) & (rows < len(self._stored))
        if inside.all():
            return self.rows(rows)
        out = np.empty((len(texts), self.dim), np.float32)
        out[inside] = self.rows(rows[inside])
        out[~inside] = self._by_content([texts[int(i)].text for i in np.flatnonzero(~inside)])
        return out

    def _by_content(self, texts: list[str]) -> Floats:
        keys = [hashlib.sha256(t.encode("utf-8", "surrogatepass")).digest() for t in texts]
        found = {k: self._other[k] for k in keys if k in self._other}
        new = {k: t for k, t in zip(keys, texts, strict=True) if k not in found}
        if new:
            found |= dict(zip(new, self._checked(list(new.values())), strict=True))
            self._other |= found
        while len(self._other) > REMEMBERED:
            del self._other[next(iter(self._other))]
        return np.stack([found[k] for k in keys]).astype(np.float32)

    def _checked(self, texts: list[str]) -> npt.NDArray[np.float16]:
        vectors = self._encode(texts)
        if vectors.shape != (len(texts), self.dim):
            raise ModelError(f"encoder {self.key}: vectors {vectors.shape} where {(len(texts), self.dim)} were due")
        if not np.isfinite(vectors).all():
            raise ModelError(f"encoder {self.key}: a vector with values that are no numbers; its weights are broken")
        return vectors.astype(np.float16)

    # Onto the disk ------------------------------------------------------------------------------------------------

    def _append(self, pool: Pool, path: Path, name: str, progress: Progress) -> None:
        total = len(pool)
        with path.open("ab+") as file:
            record = _trusted(file, path, _Record(name, self.dim))
            progress(record.done, total)
            while record.done < total:
                rows = np.arange(record.done, min(record.done + BLOCK, total))
                block = self._checked([t.text for t in pool.texts(rows)]).tobytes()
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
                record = replace(record, done=record.done + len(rows), last=len(rows), crc=zlib.crc32(block))
                _save(record, path)
                progress(record.done, total)


def _run(rows: Rows, total: int) -> Rows | slice:
    """The same rows as a slice, where each follows the one before it: then nothing is copied to read them."""
    first, after = int(rows[0]), int(rows[0]) + len(rows)
    if first >= 0 and after <= total and int(rows[-1]) == after - 1 and bool((np.diff(rows) == 1).all()):
        return slice(first, after)
    return rows


def _trusted(file: BinaryIO, path: Path, fresh: _Record) -> _Record:
    """The record, where it and the file agree, with the file cut to what it covers; else a fresh start."""
    try:
        record = _Record(**json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        record = fresh
    width = 2 * fresh.dim
    if (record.key, record.dim) != (fresh.key, fresh.dim) or file.seek(0, os.SEEK_END) < record.done * width:
        record = fresh
    file.seek((record.done - record.last) * width)
    if zlib.crc32(file.read(record.last * width)) != record.crc:
        record = fresh
    file.truncate(record.done * width)
    return record


def _save(record: _Record, path: Path) -> None:
    """The record in place of the older one, at once and for good."""
    part = path.with_suffix(".json.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path.with_suffix(".json"))
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
