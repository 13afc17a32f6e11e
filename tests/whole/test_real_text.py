"""A job on real questions of bank customers: 77 overlapping classes, an oracle that is wrong about one in ten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.job import Job
from agent.store import Store
from tests.servers.scripted import ScriptedServer

Row = dict[str, Any]


def shuffled(path: Path) -> list[Row]:
    """The file's rows, each text once, in random order: it is sorted by label."""
    rows = list({row["text"].strip(): row for row in pq.read_table(path).to_pylist()}.values())
    return [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]


def write(path: Path, rows: list[Row], columns: list[str]) -> str:
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in columns}), path)
    return path.name


@pytest.mark.slow
def test_seventy_seven_classes_of_real_text(
    shared_data: Path, tmp_path: Path, serve_gold: Callable[..., ScriptedServer]
) -> None:
    folder = shared_data / "banking77"
    names = json.loads((folder / "labels.json").read_text())
    rows, gold = shuffled(folder / "train.parquet"), shuffled(folder / "test.parquet")[:200]
    seed = list({row["label"]: row for row in rows}.values())
    chosen = {row["id"] for row in seed}
    pool = [row for row in rows if row["id"] not in chosen][:500]
    server = serve_gold({row["text"]: row["label"] for row in pool}, errors=0.1, seed=7)
    job = Job.of(
        {
            "name": "banking",
            "task": {"labels": names},
            "data": {
                "pool": write(tmp_path / "pool.parquet", pool, ["id", "text"]),
                "seed": write(tmp_path / "seed.parquet", seed, ["text", "label"]),
                "gold": write(tmp_path / "gold.parquet", gold, ["text", "label"]),
                "id": "id",
            },
            "oracle": {"base_url": server.url, "model": "scripted", "price": {"input": 0.05, "output": 0.1}},
            "student": {"refresh": False},
            "selection": {"batch": 120, "cold_start": 120},
            "stop": {"max_rounds": 2},
            "budget": {"dollars": 1},
            "distil": {"enabled": False},
        },
        tmp_path,
    )
    outcome = job.run()

    assert outcome.labels == 240
    assert outcome.spending.spent <= outcome.spending.cap
    paid = [row for row in server.asked if row["status"] == 200]
    assert outcome.spending.usage.prompt_tokens == sum(row["prompt_tokens"] for row in paid)
    with Store.open(job.store_url) as store:
        labels, last = store.current("banking"), store.rounds("banking")[-1].figures
        texts = store.texts("banking", list(labels))
    assert {label.value for label in labels.values()} <= set(names)
    truth = {row["text"]: row["label"] for row in pool}
    right = [labels[i].value == truth[text] for i, text in texts.items()]
    assert 0.8 < np.mean(right) < 0.97, "the oracle was wrong about one text in ten"
    sure = [labels[i].confidence or 0 for i in texts]
    assert np.mean([c for c, r in zip(sure, right, strict=True) if r]) > np.mean(
        [c for c, r in zip(sure, right, strict=True) if not r]
    ), "wrong answers are less sure, and that survives the way through tokens"
    assert last["accuracy"] > 0.5, "from 77 seeds and 240 labels; chance is 0.013"
