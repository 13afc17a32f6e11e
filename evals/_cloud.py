"""A made-up pool of any size for evals.selection_speed: clustered vectors of length one, in half precision on disk.

Block k depends on k alone, so a pool of a million rows is the beginning of one of ten million, and one file does for
both.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from agent.pool import Embeddings
from agent.records import Floats, Rows, Texts
from agent.student import HeadStudent

DIM, CLASSES, CENTRES = 384, 10, 200
BLOCK = 20_000
NOISE = 0.06  # a number: texts of one cluster then have a cosine of about 0.4, as MiniLM gives texts of one topic
LABELLED = 200


def lay(folder: Path, rows: int) -> Path:
    """The file `pool.f16` with at least `rows` rows, a multiple of the block; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pool.f16"
    with path.open("ab") as file, ThreadPoolExecutor(2) as threads:
        done = file.tell() // (BLOCK * DIM * 2)
        file.truncate(done * BLOCK * DIM * 2)
        for start in range(done, rows // BLOCK, 4):
            for block in threads.map(_block, range(start, min(start + 4, rows // BLOCK))):
                file.write(block)
    return path


def classes(rows: Rows) -> Rows:
    """(n,) int64: the true class of each row."""
    out = np.empty(len(rows), np.int64)
    for k in np.unique(rows // BLOCK).tolist():
        here = rows // BLOCK == k
        out[here] = _centre_of(np.random.default_rng([1, k]))[rows[here] % BLOCK] % CLASSES
    return out


class Stored(Embeddings):
    """The first `rows` rows of such a file, read as a job reads its own."""

    def __init__(self, path: Path, rows: int) -> None:
        super().__init__(path.parent, "cloud", DIM, _never)
        self._stored = np.memmap(path, np.float16, "r", shape=(rows, DIM))

    def texts(self, rows: Rows) -> Texts:
        return Texts(rows, _never)

    def of(self, rows: Rows) -> Floats:
        """(m, d) float32, the way in which a job's strategies ask for them."""
        return self.vectors(self.texts(rows))


class World:
    """A pool of which 200 texts, spread over all of it, are labelled, and a student taught on them.

    Attributes:
        stored: its vectors; labelled (200,) pool rows; candidates (n,) the others; targets (200, C) one-hot.
        student: the one that a job has.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self.stored = Stored(folder / "pool.f16", rows)
        rng = np.random.default_rng([2, rows])
        self.labelled: Rows = np.sort(rng.choice(rows, LABELLED, replace=False))
        free = np.ones(rows, bool)
        free[self.labelled] = False
        self.candidates: Rows = np.flatnonzero(free)
        self.labels = classes(self.labelled)
        self.targets: Floats = np.eye(CLASSES, dtype=np.float32)[self.labels]
        task: Any = SimpleNamespace(names=[f"class {c}" for c in range(CLASSES)])
        self.student = HeadStudent(task, self.stored.vectors, multilabel=False)
        self.student.fit(self.stored.texts(self.labelled), self.targets, np.ones(LABELLED, np.float32), rng)


def _never(_: Any) -> Any:
    raise AssertionError("choosing texts reads their vectors, never the texts")


def _centres() -> Floats:
    centres = np.random.default_rng(0).standard_normal((CENTRES, DIM), dtype=np.float32)
    return np.asarray(centres / np.linalg.norm(centres, axis=1, keepdims=True), np.float32)


CENTRE = _centres()


def _centre_of(rng: np.random.Generator) -> Rows:
    return rng.integers(CENTRES, size=BLOCK)


def _block(k: int) -> bytes:
    rng = np.random.default_rng([1, k])
    centre = _centre_of(rng)
    x = rng.standard_normal((BLOCK, DIM), dtype=np.float32)
    x *= np.float32(NOISE)
    x += CENTRE[centre]
    x /= np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    return x.astype(np.float16).tobytes()
