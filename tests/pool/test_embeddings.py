"""Vectors are made once, survive any death, and are the same whichever way one asks."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.errors import DataError, ModelError
from agent.pool import Embeddings, Pool, embeddings
from agent.records import Floats, Text, TextId
from tests.pool.making import pool_of

DIM = 8


def vector(text: str) -> Floats:
    """One of length one, made from the text alone."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    out = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return out / np.linalg.norm(out)


class Encoder:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Floats:
        self.asked += texts
        return np.stack([vector(t) for t in texts])


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return pool_of(tmp_path, [f"text {i}" for i in range(50)])


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "BLOCK", 8)


def filled(folder: Path, pool: Pool, encode: Encoder | None = None, key: str = "k") -> Embeddings:
    made = Embeddings(folder, key, DIM, encode or Encoder())
    made.fill(pool)
    return made


def expected(pool: Pool) -> Floats:
    return np.stack([vector(t.text) for t in pool.texts()]).astype(np.float16).astype(np.float32)


def test_every_row_has_the_vector_of_its_text(tmp_path: Path, pool: Pool) -> None:
    made = filled(tmp_path, pool)
    rows = np.array([49, 0, 7, 7])
    np.testing.assert_array_equal(made.rows(rows), expected(pool)[rows])
    assert made.rows(rows).dtype == np.float32
    parts = list(made.chunks(16))
    assert np.concatenate([r for r, _ in parts]).tolist() == list(range(50))
    np.testing.assert_array_equal(np.concatenate([v for _, v in parts]), expected(pool))


@pytest.mark.parametrize("rows", [[], [3], range(50), range(10, 40), [5, 6, 8], [4, 3], [7, 9, 9], [8, 8], [-1, 0]])
def test_rows_in_a_run_and_rows_in_pieces_are_the_same_vectors(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch, rows: Sequence[int]
) -> None:
    monkeypatch.setattr(embeddings, "READ_AT_ONCE", 8)
    wanted = np.array(rows, np.int64)
    np.testing.assert_array_equal(filled(tmp_path, pool).rows(wanted), expected(pool)[wanted])


def test_a_row_past_the_end_is_refused(tmp_path: Path, pool: Pool) -> None:
    with pytest.raises(IndexError):
        filled(tmp_path, pool).rows(np.arange(45, 51))


def test_vectors_are_made_once_for_each_encoder_and_content(tmp_path: Path, pool: Pool) -> None:
    filled(tmp_path / "e", pool)
    again, other_key, other_pool = Encoder(), Encoder(), Encoder()
    filled(tmp_path / "e", pool, again)
    filled(tmp_path / "e", pool, other_key, key="k2")
    filled(tmp_path / "e", pool_of(tmp_path, ["another"]), other_pool)
    assert (len(again.asked), len(other_key.asked), other_pool.asked) == (0, 50, ["another"])


def test_progress_tells_what_is_done_from_the_start(tmp_path: Path, pool: Pool) -> None:
    told: list[tuple[int, int]] = []
    made = Embeddings(tmp_path, "k", DIM, Encoder())
    made.fill(pool, lambda done, total: told.append((done, total)))
    assert told == [(n, 50) for n in (0, 8, 16, 24, 32, 40, 48, 50)]
    made.fill(pool, lambda done, total: told.append((done, total)))
    assert told[-1] == (50, 50)


def test_a_text_has_the_same_vector_from_the_pool_and_by_content(tmp_path: Path, pool: Pool) -> None:
    made = filled(tmp_path, pool)
    lazy = pool.texts(np.array([3, 1]))
    outside = [Text(TextId("x"), t.text) for t in lazy]
    want = expected(pool)[[3, 1]]
    for texts in (lazy, list(lazy), outside, [lazy[0], outside[1]]):
        np.testing.assert_array_equal(made.vectors(texts), want)
    assert made.vectors([]).shape == (0, DIM)


def test_texts_outside_the_pool_are_embedded_once(tmp_path: Path) -> None:
    encode = Encoder()
    made = Embeddings(tmp_path, "k", DIM, encode)
    texts = [Text(TextId(str(i)), t) for i, t in enumerate(["a", "b", "a"])]
    assert made.vectors(texts).shape == (3, DIM)
    made.vectors(texts[:2])
    assert encode.asked == ["a", "b"]


def test_what_is_remembered_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "REMEMBERED", 4)
    encode = Encoder()
    made = Embeddings(tmp_path, "k", DIM, encode)
    texts = [Text(TextId(str(i)), f"t{i}") for i in range(6)]
    assert made.vectors(texts).shape == (6, DIM)
    made.vectors(texts[2:])
    assert len(encode.asked) == 6
    made.vectors(texts[:1])
    assert encode.asked[6:] == ["t0"]


def test_scoring_the_pool_reads_no_text(tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(tmp_path, pool)
    monkeypatch.setattr(Pool, "_read", lambda *_: pytest.fail("a text was read"))
    assert made.vectors(pool.texts()).shape == (50, DIM)


@pytest.mark.parametrize("harm", ["shorter", "other bytes", "no record", "half a record"])
def test_a_file_that_its_record_does_not_fit_is_made_anew(tmp_path: Path, pool: Pool, harm: str) -> None:
    filled(tmp_path, pool)
    (data,), (record,) = tmp_path.glob("*.f16"), tmp_path.glob("k-*.json")
    if harm == "shorter":
        data.write_bytes(data.read_bytes()[:-1])
    elif harm == "other bytes":
        data.write_bytes(data.read_bytes()[:-1] + b"\x7f")
    elif harm == "no record":
        record.unlink()
    else:
        record.write_text(record.read_text()[:20])
    encode = Encoder()
    made = filled(tmp_path, pool, encode)
    assert len(encode.asked) == 50
    np.testing.assert_array_equal(made.rows(np.arange(50)), expected(pool))


DIES = """
import os, signal, sys
from agent.pool import embeddings
from tests.pool.making import opened
from tests.pool.test_embeddings import DIM, Encoder

folder, call, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
calls = 0

def dying(real):
    def wrapped(*args, **kwargs):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return wrapped

from pathlib import Path
pool = opened(Path(folder), pool="pool.jsonl")
embeddings.BLOCK = 8
encode = Encoder()
if call == "encode":
    encode = dying(encode)
elif call == "fsync":
    os.fsync = dying(os.fsync)
else:
    Path.replace = dying(Path.replace)
embeddings.Embeddings(Path(folder) / "e", "k", DIM, encode).fill(pool)
"""


@pytest.mark.parametrize(
    ("call", "at", "kept"),
    [("encode", 3, 16), ("fsync", 7, 16), ("fsync", 8, 16), ("fsync", 9, 24), ("replace", 3, 16)],
    ids=["while encoding", "before the data is down", "before the record is down", "before its name is", "unnamed"],
)
def test_after_kill_9_what_was_recorded_is_kept_and_the_rest_made(
    tmp_path: Path, pool: Pool, call: str, at: int, kept: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path), call, str(at)], check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    encode = Encoder()
    made = filled(tmp_path / "e", pool, encode)
    assert encode.asked == [t.text for t in pool.texts()][kept:]
    np.testing.assert_array_equal(made.rows(np.arange(50)), expected(pool))


def test_an_encoder_that_gives_no_numbers_is_refused(tmp_path: Path, pool: Pool) -> None:
    made = Embeddings(tmp_path, "k", DIM, lambda texts: np.full((len(texts), DIM), np.nan, np.float32))
    with pytest.raises(ModelError, match="no numbers"):
        made.fill(pool)
    made = Embeddings(tmp_path, "k", DIM, lambda texts: np.zeros((len(texts), DIM + 1), np.float32))
    with pytest.raises(ModelError, match=r"vectors \(8, 9\) where \(8, 8\) were due"):
        made.fill(pool)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, pool: Pool) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file.*set `student\.cache`"):
        filled(tmp_path / "file" / "e", pool)


def test_a_full_disk_says_so(tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"No space left on device; set `student.cache` to a folder with room"):
        filled(tmp_path / "e", pool)
