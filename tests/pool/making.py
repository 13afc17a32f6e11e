"""Pools on disk in every format, and jobs that name them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from pyarrow import parquet

from agent.job import Job
from agent.pool import Pool

Rows = Sequence[dict[str, Any]]


def job(folder: Path, **data: Any) -> Job:
    settings = {
        "task": {"labels": ["card_arrival", "lost_card"]},
        "data": {"pool": "pool.csv", **data},
        "oracle": {"model": "m", "tape": "tape.gz"},
        "budget": {"dollars": 1},
    }
    return Job.of(settings, folder)


def opened(folder: Path, count_tokens: Callable[[list[str]], list[int]] | None = None, **data: Any) -> Pool:
    made = job(folder, **data)
    return Pool.open(made.data, made, count_tokens)


def pool_of(folder: Path, texts: Sequence[str], **data: Any) -> Pool:
    write_jsonl(folder / "pool.jsonl", [{"text": t} for t in texts])
    return opened(folder, pool="pool.jsonl", **data)


def words(texts: list[str]) -> list[int]:
    """A tokenizer of whole words."""
    return [len(t.split()) for t in texts]


def write_csv(path: Path, rows: Rows, delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def write_parquet(path: Path, rows: Rows) -> None:
    parquet.write_table(pa.Table.from_pylist(list(rows)), path)


def write_saved(path: Path, rows: Rows) -> None:
    datasets.disable_progress_bars()
    datasets.Dataset.from_list(list(rows)).save_to_disk(str(path))


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "pool.csv": write_csv,
    "pool.tsv": lambda path, rows: write_csv(path, rows, "\t"),
    "pool.jsonl": write_jsonl,
    "pool.parquet": write_parquet,
    "saved": write_saved,
}
