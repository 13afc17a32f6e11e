"""The packaged MiniLM on real reviews: a few labels, noisy ones at that, make a useful model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from agent.distill import Examples, Model, distil
from agent.job import DistilSettings
from tests.distill.test_saved_model import pipeline_says

NAMES = ("negative", "positive")


def reviews(folder: Path, split: str, n: int) -> tuple[list[str], list[str]]:
    rows = parquet.read_table(folder / "uci_sentiment" / f"{split}.parquet").to_pylist()
    chosen = np.random.default_rng(0).permutation(len(rows))[:n]
    return [rows[i]["text"] for i in chosen], [str(rows[i]["label"]) for i in chosen]
