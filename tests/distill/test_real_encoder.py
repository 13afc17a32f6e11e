"""The packaged MiniLM on real text: a few labels, some of them wrong, make a model that is better than they are."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from pyarrow import parquet

from agent.distill import Examples, Model, distil
from agent.job import DistilSettings

NAMES = ("Animal", "Athlete", "Building", "Film")


def articles(folder: pathlib.Path, split: str, n: int) -> tuple[list[str], list[int]]:
    rows = [
        r for r in parquet.read_table(folder / "dbpedia14" / f"{split}.parquet").to_pylist() if r["label"] in NAMES
    ]
    chosen = np.random.default_rng(0).permutation(len(rows))[:n]
    return [rows[i]["text"][:120] for i in chosen], [NAMES.index(rows[i]["label"]) for i in chosen]


@pytest.mark.slow
def test_sixty_labels_of_which_every_sixth_is_wrong(shared_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    texts, gold = articles(shared_data, "train", 60)
    wanted = np.eye(len(NAMES), dtype=np.float32)[gold]
    wanted[::6] = np.roll(wanted[::6], 1, axis=1)
    known = Examples(texts, 0.9 * wanted + 0.025, np.ones(60, np.float32), NAMES)
    distil(known, DistilSettings(epochs=3), folder=tmp_path / "m")
    new, truth = articles(shared_data, "test", 120)
    model = Model.load(tmp_path / "m")
    right = np.mean([NAMES.index(v) == t for v, t in zip(model.predict(new).values, truth, strict=True)])
    assert model.network.model.config.num_hidden_layers == 7
    assert right > 1 - 1 / 6  # than which the teacher was no better
